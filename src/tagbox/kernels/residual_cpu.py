r"""Residual blocks with frozen weights on a CPU: few passes over memory, and little of it.

A block :math:`y = x + W_1\,\mathrm{relu}(W_3 *_d a + b_3) + b_1` with :math:`a = \mathrm{relu}(x)` carries a
gradient back as

.. math::
    \bar h = (W_1^T \bar y) \odot [W_3 *_d a + b_3 > 0], \qquad
    \bar x = \bar y + [a > 0] \odot (W_3^T *_d \bar h)

so all that has to be kept is where two things are above zero. In float32 two marks of a byte each say that,
in half of the memory that :math:`a` takes. In bfloat16 :math:`a` takes no more than they do, and some
processors multiply so fast that passes over marks would cost more than they save: :math:`a` is kept, and the
hidden sign is computed again. What is 1 where a number is above zero would be a pass of its own; clipping to
:math:`[0, \epsilon]` with a tiny :math:`\epsilon`, a power of two that weights or factors take back, comes
with the convolution.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from tagbox.kernels import conv_onednn
from tagbox.kernels.conv_onednn import TINY, Block, pieces


def blocks(x: Tensor, stack: Sequence[Block], buffer: list[Tensor]) -> Tensor:
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
        return _forward(x, stack, _in_turns(x, stack))
    return cast(Tensor, _kind(x.dtype).apply(x, stack, buffer))  # type: ignore[no-untyped-call]


class Saved(Protocol):
    """What is kept of one block for the way back, of one item of the batch."""

    def hidden(self, g: Tensor, start: int, block: Block) -> Tensor:
        """The hidden gradient at `start`, where `g` (1, channels, 1, size) is that of what the block says."""
        ...

    def add(self, back: Tensor, g: Tensor, start: int, block: Block) -> None:
        """Add to `g`, which begins at `start`, what came `back` through the wide convolution."""
        ...


@dataclass(frozen=True, eq=False)
class ReluMasks:
    """Where the block heard something, and where something was hidden in it: each (1, channels, 1, time)."""

    heard: Tensor
    hid: Tensor

    def hidden(self, g: Tensor, start: int, block: Block) -> Tensor:
        """As marked."""
        return conv_onednn.pointwise_backward(g, block).mul_(self.hid.narrow(3, start, g.shape[3]))

    def add(self, back: Tensor, g: Tensor, start: int, block: Block) -> None:
        """As marked."""
        g.add_(back.mul_(self.heard.narrow(3, start, g.shape[3])), alpha=TINY)


@dataclass(frozen=True, eq=False)
class SavedActivation:
    """What the block heard, (1, channels, 1, time), with the zeros that stand at both ends."""

    a: Tensor

    def hidden(self, g: Tensor, start: int, block: Block) -> Tensor:
        """By the wide convolution once more."""
        above = conv_onednn.conv_clamp(self.a.narrow(3, start, g.shape[3] + 2 * block.dilation), block)
        return conv_onednn.narrowed_times(g, block, above)

    def add(self, back: Tensor, g: Tensor, start: int, block: Block) -> None:
        """Where it heard something."""
        conv_onednn.add_where(self.a.narrow(3, start + block.dilation, g.shape[3]), back, g)


class _Marking(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stack: Sequence[Block], buffer: list[Tensor]) -> Tensor:
        batch, channels, _, time = x.shape
        ctx.stack, ctx.spare = stack, buffer
        ctx.room = _room(2 * len(stack) * x.numel(), torch.bool, buffer)
        # (heard or hid, block, batch, channels, 1, time), channels last in memory.
        marks = ctx.room.view(2, len(stack), batch, 1, time, channels).permute(0, 1, 2, 5, 3, 4)
        ctx.save_for_backward(marks)
        return _forward(x, stack, _in_turns(x, stack), marks)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (marks,) = ctx.saved_tensors
        kept = [list(map(ReluMasks, _items(heard), _items(hid))) for heard, hid in zip(*marks, strict=True)]
        return _backward(ctx, gradients[0], kept), None, None


class _Keeping(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, stack: Sequence[Block], buffer: list[Tensor]) -> Tensor:
        batch, channels, _, time = x.shape
        ctx.stack, ctx.spare = stack, buffer
        lengths = [batch * channels * (time + 2 * block.dilation) for block in stack]
        ctx.room = _room(sum(lengths), x.dtype, buffer)
        heard = [
            _zero_edges(part.view(batch, 1, -1, channels), block.dilation)
            for part, block in zip(torch.split(ctx.room, lengths), stack, strict=True)
        ]
        ctx.save_for_backward(*heard)
        return _forward(x, stack, heard)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        kept = [list(map(SavedActivation, _items(a))) for a in ctx.saved_tensors]
        return _backward(ctx, gradients[0], kept), None, None


def _kind(dtype: torch.dtype) -> type[torch.autograd.Function]:
    return _Marking if dtype == torch.float32 else _Keeping


def _forward(
    x: Tensor, stack: Sequence[Block], rooms: Sequence[Tensor], marks: Tensor | None = None
) -> Tensor:
    """The blocks' output; `rooms` take what each of them hears, and `marks` where there is something."""
    y = x.clone(memory_format=torch.channels_last)
    conv_onednn.rectify(x, rooms[0].narrow(3, stack[0].dilation, x.shape[3]))
    if marks is not None:
        torch.gt(x, 0, out=marks[0, 0])
    for i, block in enumerate(stack):
        for item, (start, size) in product(range(len(y)), pieces(y.shape[3], block)):
            part = _part(y, item, start, size)
            hidden = conv_onednn.conv_relu(_part(rooms[i], item, start, size + 2 * block.dilation), block)
            conv_onednn.add_narrow(part, hidden, block)
            if marks is not None:
                torch.gt(hidden, 0, out=_part(marks[1, i], item, start, size))
            if i + 1 < len(stack):
                conv_onednn.rectify(part, _part(rooms[i + 1], item, start + stack[i + 1].dilation, size))
                if marks is not None:
                    torch.gt(part, 0, out=_part(marks[0, i + 1], item, start, size))
    return y


def _backward(ctx: Any, gradient: Tensor, kept: Sequence[Sequence[Saved]]) -> Tensor:
    g = gradient.clone(memory_format=torch.channels_last)
    for block, of_block in zip(reversed(ctx.stack), reversed(kept), strict=True):
        for part, of_item in zip(_items(g), of_block, strict=True):
            _back(part, of_item, block)
    ctx.spare[:] = [ctx.room]
    return g


def _back(g: Tensor, kept: Saved, block: Block) -> None:
    """Carry the gradient `g` (1, channels, 1, time) through `block`, of which `kept` is kept, in place.

    A piece moves `g` beyond its ends, as far as its convolution reaches; so it waits until all pieces that
    begin there have taken what they need of `g`.
    """
    reach, time = block.dilation, g.shape[3]
    waiting: deque[tuple[int, Tensor]] = deque()
    for start, size in pieces(time, block):
        waiting.append((start, kept.hidden(g.narrow(3, start, size), start, block)))
        seen = start + size
        while waiting and (seen == time or waiting[0][0] + waiting[0][1].shape[3] + reach <= seen):
            _scatter(g, kept, *waiting.popleft(), block)


def _scatter(g: Tensor, kept: Saved, start: int, hidden: Tensor, block: Block) -> None:
    """Add to `g` what the gradient `hidden` of a piece that begins at `start` makes of it."""
    reach = block.dilation
    first, last = max(0, start - reach), min(g.shape[3], start + hidden.shape[3] + reach)
    back = conv_onednn.conv_transpose(hidden, block).narrow(3, first - start + reach, last - first)
    kept.add(back, g.narrow(3, first, last - first), first, block)


def _room(count: int, dtype: torch.dtype, buffer: list[Tensor]) -> Tensor:
    """Room for `count` numbers, the spare one where it fits.

    All that is kept of a stack is one allocation, and the next step's as well: kept one by one, among others
    that come and go, they would leave holes that the C library cannot fill again.
    """
    room = buffer.pop() if buffer else torch.empty(0)
    return room if len(room) == count and room.dtype == dtype else torch.empty(count, dtype=dtype)


def _in_turns(x: Tensor, stack: Sequence[Block]) -> list[Tensor]:
    """Room for what each block hears, of which nothing is kept: two rooms take turns."""
    batch, channels, _, time = x.shape
    widest = max(block.dilation for block in stack)
    rooms = [_zero_edges(x.new_empty(batch, 1, time + 2 * widest, channels), widest) for _ in stack[:2]]
    return [
        rooms[i % 2].narrow(3, widest - block.dilation, time + 2 * block.dilation)
        for i, block in enumerate(stack)
    ]


def _zero_edges(room: Tensor, reach: int) -> Tensor:
    """(batch, 1, time, channels) as (batch, channels, 1, time), zero where nobody will write."""
    room[:, :, :reach].zero_()
    room[:, :, room.shape[2] - reach :].zero_()
    return room.permute(0, 3, 1, 2)


def _items(x: Tensor) -> tuple[Tensor, ...]:
    """The batch, one by one."""
    return torch.split(x, 1)


def _part(x: Tensor, item: int, start: int, size: int) -> Tensor:
    return x[item : item + 1, :, :, start : start + size]
