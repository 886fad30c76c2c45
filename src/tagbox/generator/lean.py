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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

TINY = 2.0**-40
"""Far below what matters, far above the smallest float32 and bfloat16, even times a gradient."""

PIECE = 24576
"""Positions at a time, at the most. What oneDNN compiles for a convolution grows with its length, to
megabytes; pieces of one length share it."""

GRAIN = 32
"""Pieces are of multiples of it: of arbitrary lengths one in twenty takes oneDNN three times as long."""


@dataclass(frozen=True, eq=False)
class Block:
    """Weights of one block for signals (batch, channels, 1, time), in the order that its convolutions want.

    Attributes:
        wide: (channels, channels, 1, 3), with `wide_bias` (channels,), at `dilation`.
        narrow: (channels, channels, 1, 1), with `narrow_bias` (channels,).
        wide_back: of the convolution that carries gradients back through `wide`; takes `TINY` back.
        narrow_back: the same through `narrow`.
    """

    wide: Tensor
    wide_bias: Tensor
    narrow: Tensor
    narrow_bias: Tensor
    wide_back: Tensor
    narrow_back: Tensor
    dilation: int

    @classmethod
    def of(cls, wide: nn.Conv1d, narrow: nn.Conv1d) -> "Block":
        """The block whose convolutions are `wide` (three taps) and `narrow` (one)."""
        assert wide.bias is not None and narrow.bias is not None
        dilation = int(wide.dilation[0])
        return cls(
            _packed(wide.weight, dilation),
            wide.bias,
            _packed(narrow.weight, 1),
            narrow.bias,
            _packed(wide.weight.flip(2).transpose(0, 1) / TINY, dilation),
            _packed(narrow.weight.transpose(0, 1), 1),
            dilation,
        )


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
    for start, size in _pieces(time):
        above = _clipped(a[..., start : start + size + 2 * reach], block)
        waiting.append((start, _times(g[..., start : start + size], block.narrow_back, above)))
        seen = start + size
        while waiting and (seen == time or waiting[0][0] + waiting[0][1].shape[3] + reach <= seen):
            _reach(g, a, *waiting.popleft(), block)


def _reach(g: Tensor, a: Tensor, start: int, hidden: Tensor, block: Block) -> None:
    """Add to `g` what the gradient `hidden` of a piece that begins at `start` makes of it."""
    reach = block.dilation
    back = _returned(hidden, block)
    first, last = max(0, start - reach), min(g.shape[3], start + hidden.shape[3] + reach)
    part = back[..., first - start + reach : last - start + reach]
    _add_where(a[..., first + reach : last + reach], part, g[..., first:last])


def _forward(x: Tensor, stack: Sequence[Block], kept: Sequence[Tensor]) -> Tensor:
    """The blocks' output; `kept` takes what each of them hears."""
    y = x.clone(memory_format=torch.channels_last)
    _rectify(x, kept[0].narrow(3, stack[0].dilation, x.shape[3]))
    for i, block in enumerate(stack):
        for item, (start, size) in product(range(len(y)), _pieces(y.shape[3])):
            part = _part(y, item, start, size)
            hidden = _rectified(_part(kept[i], item, start, size + 2 * block.dilation), block)
            _add(part, hidden, block)
            if i + 1 < len(stack):
                _rectify(part, _part(kept[i + 1], item, start + stack[i + 1].dilation, size))
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


def _pieces(time: int) -> Iterator[tuple[int, int]]:
    """Pieces of `time` positions, all but the last of one length: first position, positions."""
    length = -(-time // (-(-time // PIECE) * GRAIN)) * GRAIN
    for start in range(0, time, length):
        yield start, min(length, time - start)


def _part(x: Tensor, item: int, start: int, size: int) -> Tensor:
    return x[item : item + 1, :, :, start : start + size]


def _packed(weight: Tensor, dilation: int) -> Tensor:
    """(out, in, taps) to (out, in, 1, taps), channels last, or as oneDNN would put it at every call."""
    last = weight[:, :, None].contiguous(memory_format=torch.channels_last)
    if not _fuses(weight):
        return last
    pack = torch.ops.mkldnn._reorder_convolution_weight
    length = PIECE + (weight.shape[2] - 1) * dilation
    return cast(Tensor, pack(last, [0, 0], [1, 1], [1, dilation], 1, [1, weight.shape[1], 1, length]))


# A float above zero, read as an integer, is above zero, and larger if larger. PyTorch's passes over 16-bit
# integers are several times faster than over bfloat16, which it widens and rounds again.


def _rectify(x: Tensor, out: Tensor) -> None:
    if x.dtype == torch.bfloat16:
        torch.clamp_min(x.view(torch.int16), 0, out=out.view(torch.int16))
    else:
        torch.clamp_min(x, 0, out=out)


def _add_where(a: Tensor, back: Tensor, g: Tensor) -> None:
    """Add `back` / `TINY` to `g` where `a`, nowhere below zero, is above."""
    if a.dtype == torch.bfloat16:
        most = int(torch.tensor(TINY, dtype=torch.bfloat16).view(torch.int16))
        above = a.view(torch.int16).clamp_max(most).view(torch.bfloat16)
    else:
        above = a.clamp_max(TINY)
    g.addcmul_(back, above, value=1 / TINY)


# Each of these is one pass by oneDNN, by the operations that PyTorch's own compiler fuses to; else two.


def _fuses(x: Tensor) -> bool:
    """Whether PyTorch has the fused operations for `x`; oneDNN takes bfloat16 on some CPUs only."""
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (there and hasattr(torch.ops.mkldnn, "_convolution_pointwise_")):
        return False
    return x.dtype == torch.float32 or (
        x.dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )


def _rectified(x: Tensor, block: Block) -> Tensor:
    """ReLU after the wide convolution."""
    if not _fuses(x):
        return functional.relu_(_plain(x, block.wide, block.wide_bias, block.dilation))
    return _wide(x, block.wide, block.wide_bias, block.dilation, "relu", [])


def _clipped(x: Tensor, block: Block) -> Tensor:
    """The wide convolution, held between 0 and `TINY`."""
    if not _fuses(x):
        return _plain(x, block.wide, block.wide_bias, block.dilation).clamp_(0, TINY)
    return _wide(x, block.wide, block.wide_bias, block.dilation, "hardtanh", [0.0, TINY])


def _returned(x: Tensor, block: Block) -> Tensor:
    """Gradients back through the wide convolution, a dilation beyond both ends: that far it reaches."""
    if not _fuses(x):
        return functional.conv2d(x, block.wide_back, None, 1, (0, 2 * block.dilation), (1, block.dilation))
    return _wide(x, block.wide_back, None, block.dilation, "none", [], 2 * block.dilation)


def _plain(x: Tensor, weight: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """Nothing is filled up at the ends: what comes out is shorter."""
    return functional.conv2d(x, weight, bias, 1, 0, (1, dilation))


def _wide(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    dilation: int,
    then: str,
    numbers: list[float],
    padding: int = 0,
) -> Tensor:
    convolve = torch.ops.mkldnn._convolution_pointwise
    where = ([0, padding], [1, 1], [1, dilation], 1)
    return cast(Tensor, convolve(x, weight, bias, *where, then, numbers, ""))


def _times(x: Tensor, weight: Tensor, factor: Tensor) -> Tensor:
    """The convolution of one tap, times `factor`."""
    if not _fuses(x):
        return functional.conv2d(x, weight).mul_(factor)
    convolve = torch.ops.mkldnn._convolution_pointwise.binary
    where = ([0, 0], [1, 1], [1, 1], 1)
    return cast(Tensor, convolve(x, factor, weight, None, *where, "mul", None, None, [], None))


def _add(y: Tensor, x: Tensor, block: Block) -> None:
    """Add the narrow convolution of `x` to `y`, in place."""
    if not _fuses(x):
        y.add_(functional.conv2d(x, block.narrow, block.narrow_bias))
        return
    convolve = torch.ops.mkldnn._convolution_pointwise_.binary
    where = ([0, 0], [1, 1], [1, 1], 1)
    convolve(y, x, block.narrow, block.narrow_bias, *where, "add", 1.0, None, [], None)
