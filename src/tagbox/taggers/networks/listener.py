r"""The listener: a small network made to be steered.

Published taggers say whether a recording has an instrument. This one says, every eighth of a second, which
*share* of the energy that it hears is of which instrument, and it was trained on mixtures, parts of mixtures
and wrong separations. So an estimate that is half violin scores half, and the gradient of the answer means
"more of this, less of that" rather than "something like a violin, somewhere".

A tag's logit is the log-odds of its share in the window, so that a sigmoid gives the share itself. With
:math:`p_{ct}` what the network says of class c at time t, and :math:`E_t` the energy then,

.. math::  s_c = \frac{\sum_t E_t p_{ct}}{\sum_t E_t}, \qquad
           l_c = \log \frac{s_c + \epsilon}{1 - s_c + \epsilon}
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.taggers.frontends import LogMel, power
from tagbox.tags.vocabularies import RENDERED_CLASSES, RENDERED_FAMILIES

BANDS = 96
FFT = 1024
HOP = 512
WINDOW = 48000
RANGE = 70.0
"""dB below the loudest point of a window, under which nothing is told apart."""

SMALLEST = 1e-4
"""Of a share: more certainty than that is worth no more."""


@dataclass(frozen=True)
class LevelledMel:
    """Log-mel spectrogram relative to the window's loudest point, so that gain changes nothing.

    Attributes:
        bands: how many.
        fft: samples of the STFT's window.
        hop: samples between frames.
    """

    bands: int = BANDS
    fft: int = FFT
    hop: int = HOP

    def __call__(self, audio: Tensor) -> Tensor:
        """(batch, samples) at 16 kHz to (batch, bands, frames) in dB, from -`RANGE` to 0."""
        return self.levelled(power(audio, torch.hann_window(self.fft, device=audio.device), self.hop))

    def levelled(self, power: Tensor) -> Tensor:
        """Power of an STFT (batch, bins, frames) to (batch, bands, frames) in dB, from -`RANGE` to 0."""
        bands = LogMel(self.bands, fft=self.fft, hop=self.hop).summed(power)
        loudest = bands.amax(dim=(1, 2), keepdim=True).clamp(min=1e-10)
        # A floor that is added, not a clamp: what lies below it keeps a gradient.
        return 10 * torch.log10(bands / loudest + 10 ** (-RANGE / 10))


class Layer(nn.Module):
    """A convolution and ReLU; while it learns, with a batch norm between."""

    def __init__(self, given: int, made: int, size: int, stride: tuple[int, int], learning: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(given, made, size, stride, size // 2, bias=not learning)
        self.norm = nn.BatchNorm2d(made) if learning else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, bands, frames), halved where the stride is 2."""
        return functional.relu(self.norm(self.conv(x)))


class Listener(nn.Module):
    """Convolutions over bands and frames, then over time alone: 0.9 million weights.

    Args:
        learning: with batch norms, which `folded` afterwards puts into the convolutions before them.
    """

    def __init__(self, learning: bool = False) -> None:
        super().__init__()

        def layer(given: int, made: int, size: int = 3, stride: tuple[int, int] = (1, 1)) -> Layer:
            return Layer(given, made, size, stride, learning)

        self.begin = layer(1, 32, 5, (2, 2))
        self.layers = nn.ModuleList(
            [
                layer(32, 32),
                layer(32, 64, stride=(2, 1)),
                layer(64, 64),
                layer(64, 64),
                layer(64, 96, stride=(2, 2)),
                layer(96, 96),
                layer(96, 128, stride=(2, 1)),
                layer(128, 128),
            ]
        )
        self.gather = nn.Conv1d(128 * BANDS // 16, 192, 1)
        self.context = nn.Conv1d(192, 192, 5, padding=2)
        self.whole = nn.Linear(192, 192)
        self.end = nn.Conv1d(192, len(RENDERED_CLASSES), 1)

    def decisions(self, levelled: Tensor) -> Tensor:
        """Log-mel (batch, bands, frames) to logits of the classes' shares, (batch, classes, frames / 4)."""
        x = self.begin(levelled[:, None] / 20 + RANGE / 40)
        for layer in self.layers:
            made = layer(x)
            x = x + made if made.shape == x.shape else made
        x = functional.relu(self.gather(x.flatten(1, 2)))
        x = x + functional.relu(self.context(x) + self.whole(x.mean(dim=-1))[..., None])
        logits: Tensor = self.end(x)
        return logits

    def shares(self, levelled: Tensor) -> Tensor:
        """Log-mel (batch, bands, frames) to each class's share of the window's energy, (batch, classes)."""
        each = torch.softmax(self.decisions(levelled).float(), dim=1)
        energy = per_decision((10 ** (levelled.float() / 10)).sum(dim=1))
        energy = energy / energy.sum(dim=-1, keepdim=True)
        return torch.einsum("bct,bt->bc", each, energy)

    def forward(self, levelled: Tensor) -> Tensor:
        """Log-mel (batch, bands, frames) to the log-odds of each tag's share, (batch, tags)."""
        shares = self.shares(levelled)
        shares = (shares @ groups().to(shares)).clamp(0, 1)
        return torch.log((shares + SMALLEST) / (1 - shares + SMALLEST))


def per_decision(frames: Tensor) -> Tensor:
    """Sums over the four frames (..., frames) of each decision, (..., frames / 4)."""
    padded = functional.pad(frames, (0, -frames.shape[-1] % 4))
    return padded.reshape(*frames.shape[:-1], -1, 4).sum(dim=-1)


def groups() -> Tensor:
    """Which classes each tag is made of: (classes, tags), first the classes themselves, then families."""
    families = [[float(one in members) for members in RENDERED_FAMILIES.values()] for one in RENDERED_CLASSES]
    return torch.cat([torch.eye(len(RENDERED_CLASSES)), torch.tensor(families)], dim=1)


def folded(learnt: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a network that was `learning` as those of one that no longer is."""
    made = dict(learnt)
    for key in [key for key in learnt if key.endswith(".norm.weight")]:
        layer = key.removesuffix(".norm.weight")
        mean, variance = made.pop(f"{layer}.norm.running_mean"), made.pop(f"{layer}.norm.running_var")
        scale = made.pop(key) / torch.sqrt(variance + 1e-5)
        made[f"{layer}.conv.bias"] = made.pop(f"{layer}.norm.bias") - scale * mean
        made[f"{layer}.conv.weight"] = made[f"{layer}.conv.weight"] * scale[:, None, None, None]
        made.pop(f"{layer}.norm.num_batches_tracked", None)
    return made
