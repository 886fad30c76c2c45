r"""Residual blocks with frozen weights on a CPU: the same numbers, in little memory and few passes over it.

Plain twin: `tagbox.generators.vqvae.Residual`. Parity test: tests/test_residual_cpu.py.

A block :math:`y = x + W_1\,\mathrm{relu}(W_3 *_d a + b_3) + b_1` with :math:`a = \mathrm{relu}(x)` carries a
gradient back as

.. math::
    \bar h = (W_1^T \bar y) \odot [W_3 *_d a + b_3 > 0], \qquad
    \bar x = \bar y + [a > 0] \odot (W_3^T *_d \bar h)

so the backward pass needs only two masks: where the input is positive, and where the hidden signal is. In
float32 both masks are saved, a byte for each number, which is half of the memory of :math:`a`. In bfloat16
:math:`a` takes no more memory than the masks, and some processors multiply so fast that passes over masks
would cost more than they save: :math:`a` is saved, and the sign of the hidden signal is computed again. A
comparison with zero would be a pass of its own. A clamp to :math:`[0, \epsilon]` comes with the convolution;
:math:`\epsilon` is a tiny power of two that the weights of the next operation divide by.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from tagbox.kernels import conv_onednn
from tagbox.kernels.conv_onednn import CLAMP_MAX, PackedBlock, tiles


def residual_blocks(x: Tensor, stack: Sequence[PackedBlock], reusable: list[Tensor]) -> Tensor:
    """Apply all blocks of `stack`, one after the other. Gradients reach `x` only.

    Args:
        x: (batch, channels, 1, time), on the CPU; not changed.
        stack: frozen, in the precision of `x`.
        reusable: the buffer that an earlier backward pass has left there, which this forward pass takes; its
            own backward pass leaves another.

    Returns:
        the shape of `x`, channels last in memory.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    if not (torch.is_grad_enabled() and x.requires_grad):
        return _forward(x, stack, _alternating_buffers(x, stack))
    return cast(Tensor, _function_for(x.dtype).apply(x, stack, reusable))  # type: ignore[no-untyped-call]


class Saved(Protocol):
    """What is saved of one block for the backward pass, for one item of the batch."""

    def hidden_gradient(self, gradient: Tensor, start: int, block: PackedBlock) -> Tensor:
        """Compute the hidden signal's gradient from a tile of the output's, which begins at `start`."""
        ...

    def add_input_gradient(self, back: Tensor, gradient: Tensor, start: int, block: PackedBlock) -> None:
        """Add what came `back` through the dilated convolution to a tile of the input's gradient."""
        ...


@dataclass(frozen=True, eq=False)
class ReluMasks:
    """Where a block's input and its hidden signal are positive, each (1, channels, 1, time)."""

    input_positive: Tensor
    hidden_positive: Tensor

    def hidden_gradient(self, gradient: Tensor, start: int, block: PackedBlock) -> Tensor:
        """Mask the gradient that comes back through the pointwise convolution."""
        mask = self.hidden_positive.narrow(3, start, gradient.shape[3])
        return conv_onednn.pointwise_backward(gradient, block).mul_(mask)

    def add_input_gradient(self, back: Tensor, gradient: Tensor, start: int, block: PackedBlock) -> None:
        """Mask `back` and add it."""
        mask = self.input_positive.narrow(3, start, gradient.shape[3])
        gradient.add_(back.mul_(mask), alpha=CLAMP_MAX)


@dataclass(frozen=True, eq=False)
class SavedActivation:
    """A block's input after ReLU, (1, channels, 1, time + 2 dilations), with zeros at both ends."""

    activation: Tensor

    def hidden_gradient(self, gradient: Tensor, start: int, block: PackedBlock) -> Tensor:
        """Mask by the hidden signal's sign, computed again as 0 or `CLAMP_MAX`."""
        activation = self.activation.narrow(3, start, gradient.shape[3] + 2 * block.dilation)
        clamped = conv_onednn.conv_clamp(activation, block)
        return conv_onednn.pointwise_backward_times(gradient, block, clamped)

    def add_input_gradient(self, back: Tensor, gradient: Tensor, start: int, block: PackedBlock) -> None:
        """Add `back` where the input is positive."""
        activation = self.activation.narrow(3, start + block.dilation, gradient.shape[3])
        conv_onednn.add_where_positive(activation, back, gradient)


class _MaskSavingBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stack: Sequence[PackedBlock], reusable: list[Tensor]) -> Tensor:
        batch, channels, _, time = x.shape
        ctx.stack, ctx.reusable = stack, reusable
        ctx.buffer = _take_buffer(2 * len(stack) * x.numel(), torch.bool, reusable)
        # (input or hidden, block, batch, channels, 1, time), channels last in memory.
        masks = ctx.buffer.view(2, len(stack), batch, 1, time, channels).permute(0, 1, 2, 5, 3, 4)
        ctx.save_for_backward(masks)
        return _forward(x, stack, _alternating_buffers(x, stack), masks)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (masks,) = ctx.saved_tensors
        saved = [
            list(map(ReluMasks, _items(input_positive), _items(hidden_positive)))
            for input_positive, hidden_positive in zip(*masks, strict=True)
        ]
        return _backward(ctx, gradients[0], saved), None, None


class _ActivationSavingBlocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stack: Sequence[PackedBlock], reusable: list[Tensor]) -> Tensor:
        batch, channels, _, time = x.shape
        ctx.stack, ctx.reusable = stack, reusable
        lengths = [batch * channels * (time + 2 * block.dilation) for block in stack]
        ctx.buffer = _take_buffer(sum(lengths), x.dtype, reusable)
        activations = [
            _zero_edges(part.view(batch, 1, -1, channels), block.dilation)
            for part, block in zip(torch.split(ctx.buffer, lengths), stack, strict=True)
        ]
        ctx.save_for_backward(*activations)
        return _forward(x, stack, activations)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved = [list(map(SavedActivation, _items(activation))) for activation in ctx.saved_tensors]
        return _backward(ctx, gradients[0], saved), None, None


def _function_for(dtype: torch.dtype) -> type[torch.autograd.Function]:
    return _MaskSavingBlocks if dtype == torch.float32 else _ActivationSavingBlocks


def _forward(
    x: Tensor, stack: Sequence[PackedBlock], activations: Sequence[Tensor], masks: Tensor | None = None
) -> Tensor:
    """Compute the output; write each block's input after ReLU to `activations`, and signs to `masks`."""
    y = x.clone(memory_format=torch.channels_last)
    conv_onednn.relu_into(x, activations[0].narrow(3, stack[0].dilation, x.shape[3]))
    if masks is not None:
        torch.gt(x, 0, out=masks[0, 0])
    for i, block in enumerate(stack):
        for item, (start, size) in product(range(len(y)), tiles(y.shape[3], block)):
            output = _tile(y, item, start, size)
            reached = _tile(activations[i], item, start, size + 2 * block.dilation)
            hidden = conv_onednn.conv_relu(reached, block)
            conv_onednn.add_pointwise(output, hidden, block)
            if masks is not None:
                torch.gt(hidden, 0, out=_tile(masks[1, i], item, start, size))
            if i + 1 < len(stack):
                following = _tile(activations[i + 1], item, start + stack[i + 1].dilation, size)
                conv_onednn.relu_into(output, following)
                if masks is not None:
                    torch.gt(output, 0, out=_tile(masks[0, i + 1], item, start, size))
    return y


def _backward(ctx: Any, output_gradient: Tensor, saved: Sequence[Sequence[Saved]]) -> Tensor:
    gradient = output_gradient.clone(memory_format=torch.channels_last)
    for block, saved_of_block in zip(reversed(ctx.stack), reversed(saved), strict=True):
        for of_item, saved_of_item in zip(_items(gradient), saved_of_block, strict=True):
            _block_backward(of_item, saved_of_item, block)
    ctx.reusable[:] = [ctx.buffer]
    return gradient


def _block_backward(gradient: Tensor, saved: Saved, block: PackedBlock) -> None:
    """Carry `gradient` (1, channels, 1, time) back through `block`, in place.

    A tile changes the gradient beyond its own ends, as far as the convolution reaches. So its change waits
    until all tiles that begin there have read what they need.
    """
    reach, time = block.dilation, gradient.shape[3]
    waiting: deque[tuple[int, Tensor]] = deque()
    for start, size in tiles(time, block):
        waiting.append((start, saved.hidden_gradient(gradient.narrow(3, start, size), start, block)))
        read = start + size
        while waiting and (read == time or waiting[0][0] + waiting[0][1].shape[3] + reach <= read):
            _scatter(gradient, saved, *waiting.popleft(), block)


def _scatter(gradient: Tensor, saved: Saved, start: int, hidden: Tensor, block: PackedBlock) -> None:
    """Add the contribution of a tile that begins at `start` and whose hidden gradient is `hidden`."""
    reach = block.dilation
    first, last = max(0, start - reach), min(gradient.shape[3], start + hidden.shape[3] + reach)
    back = conv_onednn.conv_transpose(hidden, block).narrow(3, first - start + reach, last - first)
    saved.add_input_gradient(back, gradient.narrow(3, first, last - first), first, block)


def _take_buffer(count: int, dtype: torch.dtype, reusable: list[Tensor]) -> Tensor:
    """Return a buffer for `count` numbers: the reusable one where it fits.

    All that is saved of a stack is one allocation, and the next step's as well. Allocated one by one, among
    other tensors that come and go, they would leave holes that the C library cannot fill again.
    """
    buffer = reusable.pop() if reusable else torch.empty(0)
    return buffer if len(buffer) == count and buffer.dtype == dtype else torch.empty(count, dtype=dtype)


def _alternating_buffers(x: Tensor, stack: Sequence[PackedBlock]) -> list[Tensor]:
    """Return buffers for each block's input where none of it is saved: two that blocks use in turn."""
    batch, channels, _, time = x.shape
    widest = max(block.dilation for block in stack)
    buffers = [_zero_edges(x.new_empty(batch, 1, time + 2 * widest, channels), widest) for _ in stack[:2]]
    return [
        buffers[i % 2].narrow(3, widest - block.dilation, time + 2 * block.dilation)
        for i, block in enumerate(stack)
    ]


def _zero_edges(buffer: Tensor, reach: int) -> Tensor:
    """View (batch, 1, time, channels) as (batch, channels, 1, time), and zero the edges, never written."""
    buffer[:, :, :reach].zero_()
    buffer[:, :, buffer.shape[2] - reach :].zero_()
    return buffer.permute(0, 3, 1, 2)


def _items(x: Tensor) -> tuple[Tensor, ...]:
    """Split a batch into batches of one."""
    return torch.split(x, 1)


def _tile(x: Tensor, item: int, start: int, size: int) -> Tensor:
    return x[item : item + 1, :, :, start : start + size]
