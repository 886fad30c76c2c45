"""Convolutions of a frozen residual block on a CPU: the same numbers, in one pass over memory each.

A convolution and what follows it at every position (ReLU, a clamp, a product, a sum) are one operation of
oneDNN, the operations that PyTorch's own compiler fuses to. Where PyTorch does not have them, two passes
compute the same.

Where the taps of a convolution lie far apart, they are neighbours in the columns of an image whose rows are
one dilation each. In memory, a signal of whole dilations is that image already.

Plain twin: `torch.nn.functional.conv2d`, `relu` and `clamp`. Parity tests: tests/test_conv_onednn.py,
tests/test_residual_cpu.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

CLAMP_MAX = 2.0**-40
"""The upper bound of `conv_clamp`, whose result stands for 1: far below what matters, and far above the
smallest float32 and bfloat16, even multiplied by a gradient. A power of two, so that dividing by it is
exact."""

MAX_TILE_POSITIONS = 24_576
"""The longest stretch that is convolved at a time. What oneDNN compiles for a convolution grows with its
length, to megabytes; tiles of one length share it."""

TILE_MULTIPLE = 32
"""Tiles are multiples of so many positions. Of arbitrary lengths, one in twenty takes oneDNN three times as
long."""

MIN_IMAGE_DILATION = 81
"""The dilation from which float32 runs as an image. With AVX2, taps that lie 243 positions apart took twice
as long otherwise, and those that lie 81 apart as long. bfloat16 has not been tried."""


@dataclass(frozen=True, eq=False)
class PackedBlock:
    """The weights of one residual block, in the memory layout that oneDNN wants.

    The signals that they are for are (batch, channels, 1, time).

    Attributes:
        dilated: of the convolution with three taps, (channels, channels, 1, 3), or 3, 1 where tiles are
            images.
        dilated_bias: (channels,).
        pointwise: of the convolution with one tap, (channels, channels, 1, 1).
        pointwise_bias: (channels,).
        dilated_transposed: carries gradients back through the dilated convolution, and divides by
            `CLAMP_MAX`.
        pointwise_transposed: carries gradients back through the pointwise convolution.
        dilation: positions from tap to tap of the dilated convolution.
        image_layout: whether tiles are convolved as images.
    """

    dilated: Tensor
    dilated_bias: Tensor
    pointwise: Tensor
    pointwise_bias: Tensor
    dilated_transposed: Tensor
    pointwise_transposed: Tensor
    dilation: int
    image_layout: bool

    @classmethod
    def of(cls, dilated: nn.Conv1d, pointwise: nn.Conv1d) -> "PackedBlock":
        """Pack the weights of a block's two convolutions."""
        assert dilated.bias is not None and pointwise.bias is not None
        dilation = int(dilated.dilation[0])
        image_layout = dilation >= MIN_IMAGE_DILATION and dilated.weight.dtype == torch.float32
        transposed = dilated.weight.flip(2).transpose(0, 1) / CLAMP_MAX
        return cls(
            _pack(dilated.weight, dilation, image_layout),
            dilated.bias,
            _pack(pointwise.weight, 1),
            pointwise.bias,
            _pack(transposed, dilation, image_layout),
            _pack(pointwise.weight.transpose(0, 1), 1),
            dilation,
            image_layout,
        )


def tiles(time: int, block: PackedBlock) -> Iterator[tuple[int, int]]:
    """Divide `time` positions into tiles, most of one length: yield first position and length of each.

    Where tiles are images they have whole rows, except for a last one with what remains.
    """
    length = -(-time // (-(-time // MAX_TILE_POSITIONS) * TILE_MULTIPLE)) * TILE_MULTIPLE
    whole = time
    if block.image_layout:
        length = max(1, length // block.dilation) * block.dilation
        whole = time // block.dilation * block.dilation
    for start in range(0, whole, length):
        yield start, min(length, whole - start)
    if whole < time:
        yield whole, time - whole


def conv_relu(x: Tensor, block: PackedBlock) -> Tensor:
    """Apply the dilated convolution and ReLU to a tile of the length that `tiles` gives.

    Returns:
        (1, channels, 1, time) for `x` of (1, channels, 1, time + 2 dilations).
    """
    return _dilated_conv(x, block.dilated, block.dilated_bias, block, "relu", [])


def conv_clamp(x: Tensor, block: PackedBlock) -> Tensor:
    """Apply the dilated convolution and clamp to [0, `CLAMP_MAX`]: shapes as for `conv_relu`."""
    return _dilated_conv(x, block.dilated, block.dilated_bias, block, "hardtanh", [0.0, CLAMP_MAX])


def conv_transpose(x: Tensor, block: PackedBlock) -> Tensor:
    """Carry gradients back through the dilated convolution, and divide them by `CLAMP_MAX`.

    Returns:
        (1, channels, 1, time + 2 dilations) for `x` of (1, channels, 1, time): a gradient reaches a dilation
        beyond both ends.
    """
    return _dilated_conv(x, block.dilated_transposed, None, block, "none", [], padded_dilations=2)


def pointwise_backward(x: Tensor, block: PackedBlock) -> Tensor:
    """Carry gradients back through the pointwise convolution."""
    return _conv(x, block.pointwise_transposed, None, [0, 0], [1, 1], "none", [])


def pointwise_backward_times(x: Tensor, block: PackedBlock, factor: Tensor) -> Tensor:
    """Carry gradients back through the pointwise convolution, and multiply them by `factor`."""
    if not _has_fused_operations(x):
        return pointwise_backward(x, block).mul_(factor)
    convolve = torch.ops.mkldnn._convolution_pointwise.binary
    geometry = ([0, 0], [1, 1], [1, 1], 1)
    weight = block.pointwise_transposed
    return cast(Tensor, convolve(x, factor, weight, None, *geometry, "mul", None, None, [], None))


def add_pointwise(y: Tensor, x: Tensor, block: PackedBlock) -> None:
    """Add the pointwise convolution of `x` to `y`, in place."""
    if not _has_fused_operations(x):
        y.add_(functional.conv2d(x, block.pointwise, block.pointwise_bias))
        return
    convolve = torch.ops.mkldnn._convolution_pointwise_.binary
    geometry = ([0, 0], [1, 1], [1, 1], 1)
    convolve(y, x, block.pointwise, block.pointwise_bias, *geometry, "add", 1.0, None, [], None)


# A float above zero, read as an integer, is above zero, and larger if the float is larger. PyTorch's passes
# over 16-bit integers are several times faster than over bfloat16, which it widens and rounds again.


def relu_into(x: Tensor, out: Tensor) -> None:
    """Write ReLU of `x` to `out`."""
    if x.dtype == torch.bfloat16:
        torch.clamp_min(x.view(torch.int16), 0, out=out.view(torch.int16))
    else:
        torch.clamp_min(x, 0, out=out)


def add_where_positive(activation: Tensor, addend: Tensor, gradient: Tensor) -> None:
    """Add `addend` to `gradient`, in place, where `activation`, nowhere negative, is positive."""
    if activation.dtype == torch.bfloat16:
        bound = int(torch.tensor(CLAMP_MAX, dtype=torch.bfloat16).view(torch.int16))
        clamped = activation.view(torch.int16).clamp_max(bound).view(torch.bfloat16)
    else:
        clamped = activation.clamp_max(CLAMP_MAX)
    gradient.addcmul_(addend, clamped, value=1 / CLAMP_MAX)


def _pack(weight: Tensor, dilation: int, image_layout: bool = False) -> Tensor:
    """Bring (out, in, taps) into the layout that oneDNN would otherwise bring it into at every call.

    Returns:
        (out, in, 1, taps), or (out, in, taps, 1) for images.
    """
    two_dimensional = weight[..., None] if image_layout else weight[:, :, None]
    last = two_dimensional.contiguous(memory_format=torch.channels_last)
    if not _has_fused_operations(weight):
        return last
    reach = weight.shape[2] - 1
    size = (
        [MAX_TILE_POSITIONS // dilation + reach, dilation]
        if image_layout
        else [1, MAX_TILE_POSITIONS + reach * dilation]
    )
    tap_distance = [1, 1] if image_layout else [1, dilation]
    reorder = torch.ops.mkldnn._reorder_convolution_weight
    return cast(Tensor, reorder(last, [0, 0], [1, 1], tap_distance, 1, [1, weight.shape[1], *size]))


def _dilated_conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    block: PackedBlock,
    activation: str,
    bounds: list[float],
    padded_dilations: int = 0,
) -> Tensor:
    """Convolve `x`, padded with so many dilations of zeros at both ends, and apply oneDNN's `activation`."""
    dilation = block.dilation
    if not block.image_layout:
        return _conv(x, weight, bias, [0, padded_dilations * dilation], [1, dilation], activation, bounds)
    # Less than a row is an image with as many columns as come out, or as go in where more come out.
    width = min(dilation, x.shape[3] if padded_dilations else x.shape[3] - 2 * dilation)
    image = x.unfold(3, width, dilation)[:, :, 0].contiguous(memory_format=torch.channels_last)
    convolved = _conv(image, weight, bias, [padded_dilations, 0], [1, 1], activation, bounds)
    return _image_to_signal(convolved, dilation)


def _image_to_signal(image: Tensor, dilation: int) -> Tensor:
    """Lay rows out in time, a dilation apart: (1, channels, rows, width) to (1, channels, 1, time).

    Where rows are narrower than a dilation, zeros stand between them.
    """
    _, channels, rows, width = image.shape
    if width == dilation:
        return image.flatten(2)[:, :, None]
    signal = image.new_zeros(1, 1, (rows - 1) * dilation + width, channels).permute(0, 3, 1, 2)
    signal.unfold(3, width, dilation)[:, :, 0].copy_(image)
    return signal


def _conv(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    padding: list[int],
    dilation: list[int],
    activation: str,
    bounds: list[float],
) -> Tensor:
    if _has_fused_operations(x):
        convolve = torch.ops.mkldnn._convolution_pointwise
        return cast(Tensor, convolve(x, weight, bias, padding, [1, 1], dilation, 1, activation, bounds, ""))
    y = functional.conv2d(x, weight, bias, 1, padding, dilation)
    return y if activation == "none" else y.clamp_(0, *bounds[1:])


def _has_fused_operations(x: Tensor) -> bool:
    """Return whether PyTorch has the fused operations for `x`. oneDNN takes bfloat16 on some CPUs only."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (available and hasattr(torch.ops.mkldnn, "_convolution_pointwise_")):
        return False
    return x.dtype == torch.float32 or (
        x.dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
