"""The two networks of the program musicnn: Pons and Serra, "musicnn: pre-trained convolutional neural
networks for music audio tagging", 2019.

Every batch norm follows a ReLU. Where a maximum follows both, it is taken first (see `peaks`), so that the
large outputs of the first convolutions are passed over once.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.taggers.networks.layers import tall_filters_maxpool

EPSILON = 1e-3

# Size of the area of a maximum and the step to the next, each in bands and frames.
Pooling = tuple[tuple[int, int], tuple[int, int]]


class Norm(nn.Module):
    """Batch norm that no longer learns: one affine map per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def scale(self) -> Tensor:
        """What each channel is multiplied by, (channels,)."""
        scale: Tensor = self.weight * torch.rsqrt(self.get_buffer("running_var") + EPSILON)
        return scale

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, ...) to the same shape."""
        scale = self.scale()
        shift = self.bias - scale * self.get_buffer("running_mean")
        shape = (-1, *[1] * (x.dim() - 2))
        return torch.addcmul(shift.reshape(shape), x, scale.reshape(shape))


def peaks(
    conv: nn.Conv1d | nn.Conv2d, norm: Norm, answer: Callable[[Tensor, Tensor], Tensor], dim: int
) -> Tensor:
    """Maximum of ``norm(relu(z))`` over some of the places where a convolution answers with z.

    Per channel ``norm`` after ReLU is a monotone map g, so the maximum of g(z) is g of the maximum of z where
    g rises and g of the minimum where it falls. The minimum of z is minus the maximum of -z: filters of
    falling channels are turned round, and ReLU and norm are left with the few maxima.

    Args:
        conv: the filters.
        norm: the batch norm after their ReLU.
        answer: weight and bias to maxima of that convolution.
        dim: the number of dimensions of these maxima, channels second.
    """
    assert conv.bias is not None
    turn = torch.where(norm.scale() < 0, -1.0, 1.0).to(conv.weight.dtype)
    maxima = answer(conv.weight * turn.reshape(-1, *[1] * (conv.weight.dim() - 1)), conv.bias * turn)
    normed: Tensor = norm(functional.relu(maxima * turn.reshape(-1, *[1] * (dim - 2))))
    return normed


class Timbral(nn.Module):
    """Tall filters, each where it answers most: (batch, bands, frames) to (batch, filters, frames)."""

    def __init__(self, filters: int, bands: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, (bands, 7))
        self.norm = Norm(filters)

    def forward(self, x: Tensor) -> Tensor:
        def answer(weight: Tensor, bias: Tensor) -> Tensor:
            return tall_filters_maxpool(x, weight, bias, padding=3)

        return peaks(self.conv, self.norm, answer, dim=3)


class Temporal(nn.Module):
    """Long filters along every band, each where it answers most: (batch, bands, frames) to (batch, filters,
    frames)."""

    def __init__(self, filters: int, frames: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, filters, frames)
        self.norm = Norm(filters)

    def forward(self, x: Tensor) -> Tensor:
        length = self.conv.kernel_size[0]
        # As many frames come out as went in; of an odd number of zeros, the odd one stands at the end.
        padded = functional.pad(x, ((length - 1) // 2, length // 2))

        def answer(weight: Tensor, bias: Tensor) -> Tensor:
            answers = functional.conv1d(padded.flatten(0, 1)[:, None], weight, bias)
            return answers.reshape(*x.shape[:2], *answers.shape[1:]).amax(dim=1)

        return peaks(self.conv, self.norm, answer, dim=3)


class Middle(nn.Module):
    """Convolution in time, ReLU, batch norm: (batch, channels, frames) to (batch, out, frames)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, out, 7, padding=3)
        self.norm = Norm(out)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(functional.relu(self.conv(x)))
        return normed


class PonsMusicnn(nn.Module):
    """Timbral and temporal filters, three convolutions in time, maximum and mean over 3 s."""

    def __init__(self, channels: int = 64, hidden: int = 200, tags: int = 50) -> None:
        super().__init__()
        self.input_norm = Norm(1)
        self.timbral = nn.ModuleList([Timbral(204, 38), Timbral(204, 67)])
        self.temporal = nn.ModuleList([Temporal(51, 128), Temporal(51, 64), Temporal(51, 32)])
        joined = 2 * 204 + 3 * 51
        self.middle = nn.ModuleList(
            [Middle(joined, channels), Middle(channels, channels), Middle(channels, channels)]
        )
        pooled = 2 * (joined + 3 * channels)
        self.pooled_norm = Norm(pooled)
        self.dense = nn.Linear(pooled, hidden)
        self.dense_norm = Norm(hidden)
        self.output = nn.Linear(hidden, tags)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(batch, 96, frames) of compressed mel to logits (batch, tags)."""
        x = self.input_norm(spectrogram[:, None])[:, 0]
        front = torch.cat([part(x) for part in (*self.timbral, *self.temporal)], dim=1)
        first = self.middle[0](front)
        second = first + self.middle[1](first)
        third = second + self.middle[2](second)
        x = torch.cat([front, first, second, third], dim=1)
        x = self.pooled_norm(torch.cat([x.amax(dim=2), x.mean(dim=2)], dim=1))
        logits: Tensor = self.output(self.dense_norm(functional.relu(self.dense(x))))
        return logits


class Block(nn.Module):
    """3 x 3 convolution, ReLU, batch norm, maximum: (batch, channels, bands, frames) to the same, smaller.

    Args:
        channels: of the input.
        out: filters.
        area: of the maximum, in bands and frames.
        step: from one area to the next.
    """

    def __init__(self, channels: int, out: int, area: tuple[int, int], step: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, 3)
        self.norm = Norm(out)
        self.area = area
        self.step = step

    def forward(self, x: Tensor) -> Tensor:
        # Where an area is one band high, bands between areas need no answers.
        skipped = self.step[0] if self.area[0] == 1 else 1

        def answer(weight: Tensor, bias: Tensor) -> Tensor:
            answers = functional.conv2d(x, weight, bias, stride=(skipped, 1), padding=1)
            return functional.max_pool2d(answers, self.area, (self.step[0] // skipped, self.step[1]))

        return peaks(self.conv, self.norm, answer, dim=4)


class PonsVgg(nn.Module):
    """Five small convolutions with maxima between them, on exactly 187 frames.

    Args:
        first: area and step of the first maximum, both in bands and frames.
        second: of the second.
    """

    def __init__(self, first: Pooling, second: Pooling, filters: int = 128, tags: int = 50) -> None:
        super().__init__()
        self.input_norm = Norm(1)
        self.blocks = nn.ModuleList(
            [
                Block(1, filters, *first),
                Block(filters, filters, *second),
                Block(filters, filters, (2, 2), (2, 2)),
                Block(filters, filters, (2, 2), (2, 2)),
                Block(filters, filters, (4, 4), (4, 4)),
            ]
        )
        self.output = nn.Linear(2 * filters, tags)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """(batch, 96, 187) of compressed mel to logits (batch, tags)."""
        x = self.input_norm(spectrogram[:, None])
        for block in self.blocks:
            x = block(x)
        logits: Tensor = self.output(x.flatten(1))
        return logits


def build_vgg(data: str) -> PonsVgg:
    """The network as its stored graph has it: for the Million Song Dataset the first maximum is over time
    alone and the second over bands alone. (The code of musicnn 0.1.0 builds both as for MagnaTagATune, and so
    does not run that network as it was trained.)"""
    if data == "msd":
        return PonsVgg(first=((1, 4), (1, 4)), second=((4, 1), (4, 1)))
    return PonsVgg(first=((1, 4), (2, 2)), second=((2, 2), (2, 2)))
