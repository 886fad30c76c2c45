r"""Residual blocks with frozen weights on a CPU: few passes over memory, and little of it.

A block :math:`y = x + W_1\,\mathrm{relu}(W_3 *_d a + b_3) + b_1` with :math:`a = \mathrm{relu}(x)` has so
few channels that a CPU waits for memory, not for arithmetic. Here a convolution and what follows it at each
point (ReLU, a sum, a product) are one pass where oneDNN offers that. Of a block only :math:`a` is kept for
the way back, which computes the hidden sign again:

.. math::
    \bar h = (W_1^T \bar y) \odot [W_3 *_d a + b_3 > 0], \qquad
    \bar x = \bar y + [a > 0] \odot (W_3^T *_d \bar h)

What is 1 where a number is above zero costs a pass of its own; clipping to :math:`[0, \epsilon]` with a tiny
:math:`\epsilon`, a power of two that weights or factors take back, comes with the convolution.
"""

from collections import deque
from collections.abc import Sequence
from itertools import product
from typing import Any, cast

import torch
from torch import Tensor

from tagbox.generator import passes
from tagbox.generator.passes import Block, pieces


def blocks(x: Tensor, stack: Sequence[Block], spare: list[Tensor]) -> Tensor:
    """All blocks of `stack`, one after the other; gradients reach `x` alone.

    Args:
        x: (batch, channels, 1, time), on the CPU; left as it is.
        stack: frozen, in the precision of `x`.
        spare: room that the way back of an earlier step has left there; this step's will leave its own.

    Returns:
        the shape of `x`, channels last in memory.
    """
    x = x.contiguous(memory_format=torch.channels_last)
    if not (torch.is_grad_enabled() and x.requires_grad):
        return _forward(x, stack, _shared(x, stack))
    return cast(Tensor, _Blocks.apply(x, stack, spare))  # type: ignore[no-untyped-call]


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stack: Sequence[Block], spare: list[Tensor]) -> Tensor:
        room, kept = _heard(x, stack, spare)
        ctx.save_for_backward(*kept)
        ctx.stack, ctx.room, ctx.spare = stack, room, spare
        return _forward(x, stack, kept)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        g = gradients[0].clone(memory_format=torch.channels_last)
        for block, a in zip(reversed(ctx.stack), reversed(ctx.saved_tensors), strict=True):
            for item in range(len(g)):
                _back(g[item : item + 1], a[item : item + 1], block)
        ctx.spare[:] = [ctx.room]
        return g, None, None


def _back(g: Tensor, a: Tensor, block: Block) -> None:
    """Carry the gradient `g` (1, channels, 1, time) through `block`, which heard `a`, in place.

    A piece moves `g` beyond its ends, as far as its convolution reaches; so it waits until all pieces that
    begin there have taken what they need of `g`.
    """
    reach, time = block.dilation, g.shape[3]
    waiting: deque[tuple[int, Tensor]] = deque()
    for start, size in pieces(time, block):
        above = passes.clipped(a[..., start : start + size + 2 * reach], block)
        waiting.append((start, passes.narrowed(g[..., start : start + size], block, above)))
        seen = start + size
        while waiting and (seen == time or waiting[0][0] + waiting[0][1].shape[3] + reach <= seen):
            _reach(g, a, *waiting.popleft(), block)


def _reach(g: Tensor, a: Tensor, start: int, hidden: Tensor, block: Block) -> None:
    """Add to `g` what the gradient `hidden` of a piece that begins at `start` makes of it."""
    reach = block.dilation
    back = passes.returned(hidden, block)
    first, last = max(0, start - reach), min(g.shape[3], start + hidden.shape[3] + reach)
    part = back[..., first - start + reach : last - start + reach]
    passes.add_where(a[..., first + reach : last + reach], part, g[..., first:last])


def _forward(x: Tensor, stack: Sequence[Block], kept: Sequence[Tensor]) -> Tensor:
    """The blocks' output; `kept` takes what each of them hears."""
    y = x.clone(memory_format=torch.channels_last)
    passes.rectify(x, kept[0].narrow(3, stack[0].dilation, x.shape[3]))
    for i, block in enumerate(stack):
        for item, (start, size) in product(range(len(y)), pieces(y.shape[3], block)):
            part = _part(y, item, start, size)
            hidden = passes.rectified(_part(kept[i], item, start, size + 2 * block.dilation), block)
            passes.add_narrow(part, hidden, block)
            if i + 1 < len(stack):
                passes.rectify(part, _part(kept[i + 1], item, start + stack[i + 1].dilation, size))
    return y


def _heard(x: Tensor, stack: Sequence[Block], spare: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Room, and in it for each block what it hears: `x` above zero, and the zeros that stand at both ends.

    All of it is one allocation, and the next step's as well: kept one by one, among others that come and go,
    they would leave holes that the C library cannot fill again.
    """
    batch, channels, _, time = x.shape
    lengths = [batch * channels * (time + 2 * block.dilation) for block in stack]
    room = spare.pop() if spare else x.new_empty(0)
    if len(room) != sum(lengths) or room.dtype != x.dtype:
        room = x.new_empty(sum(lengths))
    return room, [
        _edged(part.view(batch, 1, -1, channels), block.dilation)
        for part, block in zip(torch.split(room, lengths), stack, strict=True)
    ]


def _shared(x: Tensor, stack: Sequence[Block]) -> list[Tensor]:
    """The same for blocks of which nothing is kept: two rooms take turns."""
    widest = max(block.dilation for block in stack)
    rooms = [_zeros(x, widest) for _ in stack[:2]]
    return [
        rooms[i % 2].narrow(3, widest - block.dilation, x.shape[3] + 2 * block.dilation)
        for i, block in enumerate(stack)
    ]


def _zeros(x: Tensor, reach: int) -> Tensor:
    """Room for `x` with `reach` zeros at both ends."""
    batch, channels, _, time = x.shape
    return _edged(x.new_empty(batch, 1, time + 2 * reach, channels), reach)


def _edged(room: Tensor, reach: int) -> Tensor:
    """(batch, 1, time, channels) as (batch, channels, 1, time), zero where nobody will write."""
    room[:, :, :reach].zero_()
    room[:, :, room.shape[2] - reach :].zero_()
    return room.permute(0, 3, 1, 2)


def _part(x: Tensor, item: int, start: int, size: int) -> Tensor:
    return x[item : item + 1, :, :, start : start + size]
