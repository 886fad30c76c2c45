"""The two networks of the program musicnn.

Pons and Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", 2019.

Every batch norm follows a ReLU. Where a maximum follows both, it is computed first (see
`maximum_before_norm`), so that the large outputs of the first convolutions are read only once.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.taggers.networks.layers import tall_filters_maxpool

EPSILON = 1e-3

Pooling = tuple[tuple[int, int], tuple[int, int]]
"""The area of a maximum and the step to the next, each in bands and frames."""

ConvMaximum = Callable[[Tensor, Tensor], Tensor]
"""Weight and bias to the maxima of that convolution."""


class FrozenNorm(nn.Module):
    """A frozen batch norm: one affine map per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def scale(self) -> Tensor:
        """Compute the factor of each channel, (channels,)."""
        scale: Tensor = self.weight * torch.rsqrt(self.get_buffer("running_var") + EPSILON)
        return scale

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (batch, channels, ...)."""
        scale = self.scale()
        shift = self.bias - scale * self.get_buffer("running_mean")
        shape = (-1, *[1] * (x.dim() - 2))
        return torch.addcmul(shift.reshape(shape), x, scale.reshape(shape))


def maximum_before_norm(conv: nn.Conv1d | nn.Conv2d, norm: FrozenNorm, conv_maximum: ConvMaximum) -> Tensor:
    """Compute the maximum of ``norm(relu(z))`` over some of the positions of a convolution's output z.

    Per channel, ``norm`` after ReLU is a monotone map g, so the maximum of g(z) is g of the maximum of z
    where g rises, and g of the minimum where it falls. The minimum of z is minus the maximum of -z: filters
    of falling channels are negated, and ReLU and norm are applied to the few maxima only.

    Args:
        conv: the filters.
        norm: the batch norm after their ReLU.
        conv_maximum: weight and bias to the maxima of that convolution, (batch, channels, ...).
    """
    assert conv.bias is not None
    sign = torch.where(norm.scale() < 0, -1.0, 1.0).to(conv.weight.dtype)
    maxima = conv_maximum(conv.weight * sign.reshape(-1, *[1] * (conv.weight.dim() - 1)), conv.bias * sign)
    normalised: Tensor = norm(functional.relu(maxima * sign.reshape(-1, *[1] * (maxima.dim() - 2))))
    return normalised


class Timbral(nn.Module):
    """Filters tall in frequency: (batch, bands, frames) to their maxima (batch, filters, frames)."""

    def __init__(self, filters: int, bands: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, (bands, 7))
        self.norm = FrozenNorm(filters)

    def forward(self, x: Tensor) -> Tensor:
        return maximum_before_norm(self.conv, self.norm, partial(tall_filters_maxpool, x, padding=3))


class Temporal(nn.Module):
    """Filters long in time, maximum over bands: (batch, bands, frames) to (batch, filters, frames)."""

    def __init__(self, filters: int, frames: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, filters, frames)
        self.norm = FrozenNorm(filters)

    def forward(self, x: Tensor) -> Tensor:
        length = self.conv.kernel_size[0]
        # The output has as many frames as the input; of an odd number of zeros, the odd one is at the end.
        padded = functional.pad(x, ((length - 1) // 2, length // 2))
        return maximum_before_norm(self.conv, self.norm, partial(_maximum_over_bands, padded))


def _maximum_over_bands(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve every band of `x` in time, and take the maximum over bands: (batch, filters, frames')."""
    outputs = functional.conv1d(x.flatten(0, 1)[:, None], weight, bias)
    return outputs.reshape(*x.shape[:2], *outputs.shape[1:]).amax(dim=1)


class TimeConvolution(nn.Module):
    """Convolution in time, ReLU, batch norm: (batch, channels, frames) to (batch, out, frames)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, out, 7, padding=3)
        self.norm = FrozenNorm(out)

    def forward(self, x: Tensor) -> Tensor:
        normalised: Tensor = self.norm(functional.relu(self.conv(x)))
        return normalised


class PonsMusicnn(nn.Module):
    """Timbral and temporal filters, three convolutions in time, maximum and mean over 3 s."""

    def __init__(self, channels: int = 64, hidden: int = 200, tags: int = 50) -> None:
        super().__init__()
        self.input_norm = FrozenNorm(1)
        self.timbral = nn.ModuleList([Timbral(204, 38), Timbral(204, 67)])
        self.temporal = nn.ModuleList([Temporal(51, 128), Temporal(51, 64), Temporal(51, 32)])
        joined = 2 * 204 + 3 * 51
        self.middle = nn.ModuleList(
            [
                TimeConvolution(joined, channels),
                TimeConvolution(channels, channels),
                TimeConvolution(channels, channels),
            ]
        )
        pooled = 2 * (joined + 3 * channels)
        self.pooled_norm = FrozenNorm(pooled)
        self.dense = nn.Linear(pooled, hidden)
        self.dense_norm = FrozenNorm(hidden)
        self.output = nn.Linear(hidden, tags)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, 96, frames) of compressed mel to logits (batch, tags)."""
        x = self.input_norm(spectrogram[:, None])[:, 0]
        front = torch.cat([part(x) for part in (*self.timbral, *self.temporal)], dim=1)
        first = self.middle[0](front)
        second = first + self.middle[1](first)
        third = second + self.middle[2](second)
        x = torch.cat([front, first, second, third], dim=1)
        x = self.pooled_norm(torch.cat([x.amax(dim=2), x.mean(dim=2)], dim=1))
        logits: Tensor = self.output(self.dense_norm(functional.relu(self.dense(x))))
        return logits


class VggBlock(nn.Module):
    """3 x 3 convolution, ReLU, batch norm, maximum: (batch, channels, bands, frames) to (batch, out, ...).

    Args:
        channels: of the input.
        out: filters.
        area: of the maximum, in bands and frames.
        step: from one area to the next.
    """

    def __init__(self, channels: int, out: int, area: tuple[int, int], step: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3)
        self.norm = FrozenNorm(out)
        self.area = area
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        return maximum_before_norm(self.conv, self.norm, partial(self._maximum, x))

    def _maximum(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        # Where an area is one band high, the bands between areas are not computed.
        stride = self.step[0] if self.area[0] == 1 else 1
        outputs = functional.conv2d(x, weight, bias, stride=(stride, 1), padding=1)
        return functional.max_pool2d(outputs, self.area, (self.step[0] // stride, self.step[1]))


class PonsVgg(nn.Module):
    """Five small convolutions with maxima between them, on exactly 187 frames.

    Args:
        first: area and step of the first maximum, both in bands and frames.
        second: of the second.
    """

    def __init__(self, first: Pooling, second: Pooling, filters: int = 128, tags: int = 50) -> None:
        super().__init__()
        self.input_norm = FrozenNorm(1)
        self.blocks = nn.ModuleList(
            [
                VggBlock(1, filters, *first),
                VggBlock(filters, filters, *second),
                VggBlock(filters, filters, (2, 2), (2, 2)),
                VggBlock(filters, filters, (2, 2), (2, 2)),
                VggBlock(filters, filters, (4, 4), (4, 4)),
            ]
        )
        self.output = nn.Linear(2 * filters, tags)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, 96, 187) of compressed mel to logits (batch, tags)."""
        x = self.input_norm(spectrogram[:, None])
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.output(x.flatten(1))
        return logits


def mtat_vgg() -> PonsVgg:
    """Build the network for MagnaTagATune."""
    return PonsVgg(first=((1, 4), (2, 2)), second=((2, 2), (2, 2)))


def msd_vgg() -> PonsVgg:
    """Build the network for the Million Song Dataset as its stored graph has it.

    The first maximum is over time only, and the second over bands only. (The code of musicnn 0.1.0 builds the
    network as for MagnaTagATune, and so does not run it as it was trained.)
    """
    return PonsVgg(first=((1, 4), (1, 4)), second=((4, 1), (4, 1)))
