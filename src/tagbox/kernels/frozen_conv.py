"""Convolutions whose weights are frozen, on a CPU: the same numbers, without saving their inputs and outputs.

For the backward pass PyTorch saves a convolution's input, which only the gradient of a weight would need, and
all that a maximum was taken of. On a CPU that is most of what a step of steering holds in memory.

Plain twins: `torch.nn.functional.conv2d` and `max_pool2d`, `torch.Tensor.unfold`. Parity test:
tests/test_frozen_conv.py.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_input

MAX_CONV_OUTPUTS = 1 << 23
"""How many outputs of a convolution exist at a time before they are pooled: 16 MB in bfloat16."""

Pair = tuple[int, int]


def conv_maxpool(x: Tensor, weight: Tensor, bias: Tensor, padding: Pair, pool: Pair) -> Tensor:
    """Convolve, then take the maximum: (batch, channels, bands, time) to (batch, out, bands', time').

    Args:
        x: gradients reach it.
        weight: (out, channels, height, width), with `bias` (out,).
        padding: of the convolution.
        pool: area of the maximum, and the step to the next.
    """
    if x.device.type != "cpu" or weight.requires_grad or not (torch.is_grad_enabled() and x.requires_grad):
        return functional.max_pool2d(functional.conv2d(x, weight, bias, 1, padding), pool)
    return cast(Tensor, _ConvMaxPool.apply(x, weight, bias, padding, pool))  # type: ignore[no-untyped-call]


class _ConvMaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: Pair, pool: Pair) -> Tensor:
        size = tuple(x.shape[2 + i] + 2 * padding[i] - weight.shape[2 + i] + 1 for i in (0, 1))
        batch = max(1, MAX_CONV_OUTPUTS // (weight.shape[0] * size[0] * size[1]))
        pooled = []
        for part in torch.split(x, batch):
            outputs = functional.conv2d(part, weight, bias, 1, padding)
            pooled.append(functional.max_pool2d(outputs, pool, return_indices=True))
            del outputs
        # Half of the bytes: no spectrogram has two thousand million points.
        ctx.save_for_backward(weight, *(indices.int() for _, indices in pooled))
        ctx.geometry = (x.shape[1:], (weight.shape[0], *size), batch, padding, pool)
        return torch.cat([maxima for maxima, _ in pooled])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, *indices = ctx.saved_tensors
        input_shape, output_shape, batch, padding, pool = ctx.geometry
        unpool = torch.ops.aten.max_pool2d_with_indices_backward
        input_gradients = []
        # A gradient in another memory order would have all outputs put into that order, and back.
        pooled_gradient = gradients[0].contiguous(memory_format=torch.channels_last)
        for part, index in zip(torch.split(pooled_gradient, batch), indices, strict=True):
            # Only its shape and memory order are read: its pages are never touched.
            like = torch.empty(
                (len(part), *output_shape), dtype=part.dtype, memory_format=torch.channels_last
            )
            gradient = unpool(part, like, list(pool), list(pool), [0, 0], [1, 1], False, index.long())
            del like
            shape = (len(part), *input_shape)
            input_gradients.append(_input_gradient(shape, weight, gradient, (1, 1), padding, (1, 1)))
        return torch.cat(input_gradients), None, None, None, None


def unfold_bands(x: Tensor, height: int) -> Tensor:
    """Lay out as channels what a filter of `height` bands sees at each of its positions.

    Args:
        x: (batch, bands, time); gradients reach it.

    Returns:
        (batch, height, bands - height + 1, time), channels last in memory.
    """
    if x.device.type == "cpu" and torch.is_grad_enabled() and x.requires_grad:
        return cast(Tensor, _UnfoldBands.apply(x, height))  # type: ignore[no-untyped-call]
    return x.unfold(1, height, 1).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


class _UnfoldBands(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, height: int) -> Tensor:
        return unfold_bands(x.detach(), height)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # PyTorch's band by band takes five times as long: here the numbers of each sum are contiguous.
        batch, height, positions, time = gradients[0].shape
        gradient = gradients[0].new_zeros(batch, time, height + positions - 1, dtype=torch.float32)
        for position, part in enumerate(gradients[0].permute(2, 0, 3, 1).unbind()):
            gradient.narrow(2, position, height).add_(part)
        return gradient.transpose(1, 2).to(gradients[0].dtype), None


def conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Tensor:
    """Convolve `x` (batch, channels, 1, time) in time, on a CPU. Gradients reach `x` only.

    Args:
        weight: (out, channels, 1, taps), with `bias` (out,).
    """
    return cast(Tensor, _Conv.apply(x, weight, bias, (1, stride), (0, padding), (1, dilation)))  # type: ignore[no-untyped-call]


class _Conv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Pair) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.input_shape, ctx.geometry = x.shape, geometry
        return functional.conv2d(x, weight, bias, geometry[0], geometry[1], geometry[2])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        gradient = _input_gradient(ctx.input_shape, weight, gradients[0], *ctx.geometry)
        return gradient, None, None, None, None, None


def _input_gradient(
    shape: tuple[int, ...], weight: Tensor, gradient: Tensor, stride: Pair, padding: Pair, dilation: Pair
) -> Tensor:
    """Compute the gradient of a convolution's input, which was of `shape`, from that of its output.

    Without a stride it is itself a convolution, with the same weights reversed. PyTorch's own function would
    allocate and fill a tensor as large as the input, only to read its shape.
    """
    reversed_padding = [dilation[i] * (weight.shape[2 + i] - 1) - padding[i] for i in (0, 1)]
    if stride != (1, 1) or min(reversed_padding) < 0:
        result = conv2d_input(shape, weight, gradient, stride, padding, dilation)  # type: ignore[no-untyped-call]
        return cast(Tensor, result)
    reversed_weight = weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
    return functional.conv2d(gradient, reversed_weight, None, 1, reversed_padding, dilation)
