r"""The convolutions of a frozen residual block on a CPU, each with what follows it at every point: one pass.

PyTorch's own compiler fuses to these operations of oneDNN; where there are none, two passes do the same.

Where taps lie far apart, they are neighbours in the columns of an image whose rows are one dilation each. In
memory a signal of whole dilations is that image already.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

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

FAR = 81
"""The dilation from which on float32 runs as an image: with AVX2, taps that lie 243 apart took twice as long
without, and those that lie 81 apart as long. bfloat16 has not been tried."""


@dataclass(frozen=True, eq=False)
class Block:
    """Weights of one block for signals (batch, channels, 1, time), in the order that its convolutions want.

    Attributes:
        wide: (channels, channels, 1, 3), or 3, 1 for images; with `wide_bias` (channels,), at `dilation`.
        narrow: (channels, channels, 1, 1), with `narrow_bias` (channels,).
        wide_back: of the convolution that carries gradients back through `wide`; takes `TINY` back.
        narrow_back: the same through `narrow`.
        far: whether pieces are images.
    """

    wide: Tensor
    wide_bias: Tensor
    narrow: Tensor
    narrow_bias: Tensor
    wide_back: Tensor
    narrow_back: Tensor
    dilation: int
    far: bool

    @classmethod
    def of(cls, wide: nn.Conv1d, narrow: nn.Conv1d) -> "Block":
        """The block whose convolutions are `wide` (three taps) and `narrow` (one)."""
        assert wide.bias is not None and narrow.bias is not None
        dilation = int(wide.dilation[0])
        far = dilation >= FAR and wide.weight.dtype == torch.float32
        back = wide.weight.flip(2).transpose(0, 1) / TINY
        return cls(
            _packed(wide.weight, dilation, far),
            wide.bias,
            _packed(narrow.weight, 1),
            narrow.bias,
            _packed(back, dilation, far),
            _packed(narrow.weight.transpose(0, 1), 1),
            dilation,
            far,
        )


def pieces(time: int, block: Block) -> Iterator[tuple[int, int]]:
    """Pieces of `time` positions: first position, positions.

    Most of them are of one length. Images have whole rows, but for what is left of the last one.
    """
    length = -(-time // (-(-time // PIECE) * GRAIN)) * GRAIN
    whole = time
    if block.far:
        length = max(1, length // block.dilation) * block.dilation
        whole = time // block.dilation * block.dilation
    for start in range(0, whole, length):
        yield start, min(length, whole - start)
    if whole < time:
        yield whole, time - whole


def conv_relu(x: Tensor, block: Block) -> Tensor:
    """ReLU after the wide convolution, which is shorter than `x` by its reach at both ends."""
    return _wide(x, block.wide, block.wide_bias, block, "relu", [])


def conv_clamp(x: Tensor, block: Block) -> Tensor:
    """The same, held between 0 and `TINY` instead."""
    return _wide(x, block.wide, block.wide_bias, block, "hardtanh", [0.0, TINY])


def conv_transpose(x: Tensor, block: Block) -> Tensor:
    """Gradients back through the wide convolution, a dilation beyond both ends: that far it reaches."""
    return _wide(x, block.wide_back, None, block, "none", [], beyond=2)


def pointwise_backward(x: Tensor, block: Block) -> Tensor:
    """Gradients back through the narrow convolution."""
    return _convolved(x, block.narrow_back, None, [0, 0], [1, 1], "none", [])


def narrowed_times(x: Tensor, block: Block, factor: Tensor) -> Tensor:
    """The same, times `factor`."""
    if not _fuses(x):
        return pointwise_backward(x, block).mul_(factor)
    convolve = torch.ops.mkldnn._convolution_pointwise.binary
    where = ([0, 0], [1, 1], [1, 1], 1)
    return cast(Tensor, convolve(x, factor, block.narrow_back, None, *where, "mul", None, None, [], None))


def add_narrow(y: Tensor, x: Tensor, block: Block) -> None:
    """Add the narrow convolution of `x` to `y`, in place."""
    if not _fuses(x):
        y.add_(functional.conv2d(x, block.narrow, block.narrow_bias))
        return
    convolve = torch.ops.mkldnn._convolution_pointwise_.binary
    where = ([0, 0], [1, 1], [1, 1], 1)
    convolve(y, x, block.narrow, block.narrow_bias, *where, "add", 1.0, None, [], None)


# A float above zero, read as an integer, is above zero, and larger if larger. PyTorch's passes over 16-bit
# integers are several times faster than over bfloat16, which it widens and rounds again.


def rectify(x: Tensor, out: Tensor) -> None:
    """ReLU."""
    if x.dtype == torch.bfloat16:
        torch.clamp_min(x.view(torch.int16), 0, out=out.view(torch.int16))
    else:
        torch.clamp_min(x, 0, out=out)


def add_where(a: Tensor, back: Tensor, g: Tensor) -> None:
    """Add `back` / `TINY` to `g` where `a`, nowhere below zero, is above."""
    if a.dtype == torch.bfloat16:
        most = int(torch.tensor(TINY, dtype=torch.bfloat16).view(torch.int16))
        above = a.view(torch.int16).clamp_max(most).view(torch.bfloat16)
    else:
        above = a.clamp_max(TINY)
    g.addcmul_(back, above, value=1 / TINY)


def _packed(weight: Tensor, dilation: int, far: bool = False) -> Tensor:
    """(out, in, taps) to (out, in, 1, taps), or taps, 1 for images; as oneDNN would put it at every call."""
    last = (weight[..., None] if far else weight[:, :, None]).contiguous(memory_format=torch.channels_last)
    if not _fuses(weight):
        return last
    beyond = weight.shape[2] - 1
    size = [PIECE // dilation + beyond, dilation] if far else [1, PIECE + beyond * dilation]
    apart = [1, 1] if far else [1, dilation]
    pack = torch.ops.mkldnn._reorder_convolution_weight
    return cast(Tensor, pack(last, [0, 0], [1, 1], apart, 1, [1, weight.shape[1], *size]))


def _wide(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    block: Block,
    then: str,
    numbers: list[float],
    beyond: int = 0,
) -> Tensor:
    """The wide convolution of `x`, filled up with `beyond` dilations of zeros at both ends."""
    dilation = block.dilation
    if not block.far:
        return _convolved(x, weight, bias, [0, beyond * dilation], [1, dilation], then, numbers)
    # Less than a row is an image of as many columns as come out; where more comes out, as go in.
    width = min(dilation, x.shape[3] if beyond else x.shape[3] - 2 * dilation)
    image = x.unfold(3, width, dilation)[:, :, 0].contiguous(memory_format=torch.channels_last)
    return _line(_convolved(image, weight, bias, [beyond, 0], [1, 1], then, numbers), dilation)


def _line(image: Tensor, dilation: int) -> Tensor:
    """(1, channels, rows, width) as (1, channels, 1, time), a row at every dilation, zero between them."""
    _, channels, rows, width = image.shape
    if width == dilation:
        return image.flatten(2)[:, :, None]
    line = image.new_zeros(1, 1, (rows - 1) * dilation + width, channels).permute(0, 3, 1, 2)
    line.unfold(3, width, dilation)[:, :, 0].copy_(image)
    return line


def _convolved(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding: list[int],
    dilation: list[int],
    then: str,
    numbers: list[float],
) -> Tensor:
    if _fuses(x):
        convolve = torch.ops.mkldnn._convolution_pointwise
        return cast(Tensor, convolve(x, weight, bias, padding, [1, 1], dilation, 1, then, numbers, ""))
    y = functional.conv2d(x, weight, bias, 1, padding, dilation)
    return y if then == "none" else y.clamp_(0, *numbers[1:])


def _fuses(x: Tensor) -> bool:
    """Whether PyTorch has the fused operations for `x`; oneDNN takes bfloat16 on some CPUs only."""
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (there and hasattr(torch.ops.mkldnn, "_convolution_pointwise_")):
        return False
    return x.dtype == torch.float32 or (
        x.dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
