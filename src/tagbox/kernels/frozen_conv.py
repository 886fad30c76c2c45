"""Convolutions whose weights never learn: their inputs need not be kept for the way back, nor what is pooled.

PyTorch keeps both all the same. On a CPU that is most of what a step of steering holds in memory.
"""

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.grad import conv2d_input

AT_ONCE = 1 << 23
"""Answers of a convolution that are there at the same time before they are pooled: 16 MB in bfloat16."""

Pair = tuple[int, int]


def conv_maxpool(x: Tensor, weight: Tensor, bias: Tensor, padding: Pair, pool: Pair) -> Tensor:
    """Convolution, then maximum: (batch, channels, bands, time) to (batch, out, fewer, shorter).

    Args:
        x: gradients reach it.
        weight: (out, channels, height, width), with `bias` (out,).
        padding: of the convolution.
        pool: of the maximum, which takes every number once.
    """
    if x.device.type != "cpu" or weight.requires_grad or not (torch.is_grad_enabled() and x.requires_grad):
        return functional.max_pool2d(functional.conv2d(x, weight, bias, 1, padding), pool)
    return cast(Tensor, _Pooled.apply(x, weight, bias, padding, pool))  # type: ignore[no-untyped-call]


class _Pooled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, padding: Pair, pool: Pair) -> Tensor:
        size = tuple(x.shape[2 + i] + 2 * padding[i] - weight.shape[2 + i] + 1 for i in (0, 1))
        at_once = max(1, AT_ONCE // (weight.shape[0] * size[0] * size[1]))
        found = []
        for part in torch.split(x, at_once):
            answers = functional.conv2d(part, weight, bias, 1, padding)
            found.append(functional.max_pool2d(answers, pool, return_indices=True))
            del answers
        # Half of the bytes: no spectrogram has two thousand million points.
        ctx.save_for_backward(weight, *(places.int() for _, places in found))
        ctx.about = (x.shape[1:], (weight.shape[0], *size), at_once, padding, pool)
        return torch.cat([peaks for peaks, _ in found])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, *places = ctx.saved_tensors
        heard, answered, at_once, padding, pool = ctx.about
        spread = torch.ops.aten.max_pool2d_with_indices_backward
        found = []
        # A gradient in another order would have all answers put into that order, and back.
        upstream = gradients[0].contiguous(memory_format=torch.channels_last)
        for g, at in zip(torch.split(upstream, at_once), places, strict=True):
            # Only shape and order in memory are asked of it: its pages are never touched.
            shape = (len(g), *answered)
            like = torch.empty(shape, dtype=g.dtype, memory_format=torch.channels_last)
            wide = spread(g, like, list(pool), list(pool), [0, 0], [1, 1], False, at.long())
            del like
            found.append(_input_gradient((len(g), *heard), weight, wide, (1, 1), padding, (1, 1)))
        return torch.cat(found), None, None, None, None


def unfold_bands(x: Tensor, height: int) -> Tensor:
    """What a filter of `height` bands sees at each of its positions, as channels, which are last in memory.

    Args:
        x: (batch, bands, time); gradients reach it.

    Returns:
        (batch, height, bands - height + 1, time).
    """
    if x.device.type == "cpu" and torch.is_grad_enabled() and x.requires_grad:
        return cast(Tensor, _Slid.apply(x, height))  # type: ignore[no-untyped-call]
    return x.unfold(1, height, 1).permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)


class _Slid(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, height: int) -> Tensor:
        return unfold_bands(x.detach(), height)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # Band by band, as PyTorch would, takes five times as long: here what is added lies in one piece.
        batch, height, positions, time = gradients[0].shape
        found = gradients[0].new_zeros(batch, time, height + positions - 1, dtype=torch.float32)
        each = gradients[0].permute(2, 0, 3, 1).unbind()
        for position, seen in enumerate(each):
            found.narrow(2, position, height).add_(seen)
        return found.transpose(1, 2).to(gradients[0].dtype), None


def conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, stride: int = 1, padding: int = 0, dilation: int = 1
) -> Tensor:
    """Convolution in time of `x` (batch, channels, 1, time) on a CPU; gradients reach `x`."""
    return cast(Tensor, _Convolved.apply(x, weight, bias, (1, stride), (0, padding), (1, dilation)))  # type: ignore[no-untyped-call]


class _Convolved(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, *how: Pair) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.about = (x.shape, how)
        return functional.conv2d(x, weight, bias, how[0], how[1], how[2])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        shape, how = ctx.about
        return _input_gradient(shape, weight, gradients[0], *how), None, None, None, None, None


def _input_gradient(
    shape: tuple[int, ...], weight: Tensor, gradient: Tensor, stride: Pair, padding: Pair, dilation: Pair
) -> Tensor:
    """The gradient towards what a convolution heard, which was of `shape`.

    Without a stride it is a convolution itself, by the same weights the other way round. PyTorch's own way
    wants room as large as what was heard, and fills it, to ask it for its shape.
    """
    beyond = [dilation[i] * (weight.shape[2 + i] - 1) - padding[i] for i in (0, 1)]
    if stride != (1, 1) or min(beyond) < 0:
        found = conv2d_input(shape, weight, gradient, stride, padding, dilation)  # type: ignore[no-untyped-call]
        return cast(Tensor, found)
    turned = weight.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
    return functional.conv2d(gradient, turned, None, 1, beyond, dilation)
