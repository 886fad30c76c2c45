r"""The listener: a small network that was trained to be steered.

Published taggers predict whether a recording has an instrument. The listener predicts, every eighth of a
second, which *share* of the energy is of which instrument, and it was trained on mixtures, parts of mixtures
and wrong separations. So an estimate that is half violin scores half, and the gradient of the prediction
means "more of this, less of that" rather than "something like a violin, somewhere".

A tag's logit is the log-odds of its share in the window, so that a sigmoid gives the share itself. With
:math:`p_{ct}` the network's prediction for class c at time t, and :math:`E_t` the energy at that time,

.. math::  s_c = \frac{\sum_t E_t p_{ct}}{\sum_t E_t}, \qquad
           l_c = \log \frac{s_c + \epsilon}{1 - s_c + \epsilon}
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.taggers.frontends import LogMel, power_spectrogram
from tagbox.taggers.networks.layers import fold_batch_norm
from tagbox.tags.vocabularies import RENDERED_CLASSES, RENDERED_FAMILIES

BANDS = 96
FFT = 1024
HOP = 512
WINDOW_SAMPLES = 48000
FRAMES_PER_PREDICTION = 4

RANGE_DB = 70.0
"""The level below the loudest point of a window at which a soft floor lies, dB."""

MIN_SHARE = 1e-4
"""The epsilon of the log-odds: more certainty than that brings no further reward."""


@dataclass(frozen=True)
class NormalisedMel:
    """A log-mel spectrogram relative to the window's loudest point, so that gain changes nothing.

    Attributes:
        bands: how many.
        fft: samples of the STFT's window.
        hop: hop length, samples.
    """

    bands: int = BANDS
    fft: int = FFT
    hop: int = HOP

    def __call__(self, audio: Tensor) -> Tensor:
        """Transform (batch, samples) at 16 kHz to (batch, bands, frames) in dB, from -`RANGE_DB` to 0."""
        window = torch.hann_window(self.fft, device=audio.device)
        return self.from_power(power_spectrogram(audio, window, self.hop))

    def from_power(self, power: Tensor) -> Tensor:
        """Transform the power of an STFT (batch, bins, frames) to (batch, bands, frames) in dB."""
        bands = LogMel(self.bands, fft=self.fft, hop=self.hop).band_power(power)
        loudest = bands.amax(dim=(1, 2), keepdim=True).clamp(min=1e-10)
        # A floor that is added, not a clamp: what lies below it keeps a gradient.
        return 10 * torch.log10(bands / loudest + 10 ** (-RANGE_DB / 10))


class Layer(nn.Module):
    """A convolution and ReLU, with a batch norm between them in training.

    Args:
        channels: of the input.
        out: filters.
        size: of the filters, in bands and frames.
        stride: in bands and frames.
        learning: with the batch norm.
    """

    def __init__(self, channels: int, out: int, size: int, stride: tuple[int, int], learning: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, size, stride, size // 2, bias=not learning)
        self.norm = nn.BatchNorm2d(out) if learning else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, bands, frames) to (batch, out, bands, frames), fewer by the stride."""
        return functional.relu(self.norm(self.conv(x)))


class Listener(nn.Module):
    """Convolutions over bands and frames, then over time alone: 0.9 million weights.

    Args:
        learning: with batch norms, which `fold_batch_norms` afterwards folds into the convolutions.
    """

    def __init__(self, learning: bool = False) -> None:
        super().__init__()
        self.begin = Layer(1, 32, 5, (2, 2), learning)
        # Channels, filters and stride of each.
        shapes = (
            (32, 32, (1, 1)),
            (32, 64, (2, 1)),
            (64, 64, (1, 1)),
            (64, 64, (1, 1)),
            (64, 96, (2, 2)),
            (96, 96, (1, 1)),
            (96, 128, (2, 1)),
            (128, 128, (1, 1)),
        )
        self.layers = nn.ModuleList(Layer(i, o, 3, stride, learning) for i, o, stride in shapes)
        self.gather = nn.Conv1d(128 * BANDS // 16, 192, 1)
        self.context = nn.Conv1d(192, 192, 5, padding=2)
        self.whole = nn.Linear(192, 192)
        self.end = nn.Conv1d(192, len(RENDERED_CLASSES), 1)

    def class_logits(self, spectrogram: Tensor) -> Tensor:
        """Predict classes over time: (batch, bands, frames) in dB to logits (batch, classes, frames / 4)."""
        x = self.begin(spectrogram[:, None] / 20 + RANGE_DB / 40)
        for layer in self.layers:
            y = layer(x)
            x = x + y if y.shape == x.shape else y
        x = functional.relu(self.gather(x.flatten(1, 2)))
        x = x + functional.relu(self.context(x) + self.whole(x.mean(dim=-1))[..., None])
        logits: Tensor = self.end(x)
        return logits

    def class_shares(self, spectrogram: Tensor) -> Tensor:
        """Predict each class's share of the window's energy: (batch, bands, frames) to (batch, classes)."""
        probabilities = torch.softmax(self.class_logits(spectrogram).float(), dim=1)
        energy = sum_frames((10 ** (spectrogram.float() / 10)).sum(dim=1))
        energy = energy / energy.sum(dim=-1, keepdim=True)
        return torch.einsum("bct,bt->bc", probabilities, energy)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, bands, frames) in dB to the log-odds of each tag's share, (batch, tags)."""
        shares = self.class_shares(spectrogram)
        shares = (shares @ class_membership().to(shares)).clamp(0, 1)
        return torch.log((shares + MIN_SHARE) / (1 - shares + MIN_SHARE))


def sum_frames(frames: Tensor) -> Tensor:
    """Sum (..., frames) over the four frames of each prediction: (..., frames / 4)."""
    padded = functional.pad(frames, (0, -frames.shape[-1] % FRAMES_PER_PREDICTION))
    return padded.reshape(*frames.shape[:-1], -1, FRAMES_PER_PREDICTION).sum(dim=-1)


def class_membership() -> Tensor:
    """Return which classes each tag consists of, (classes, tags): classes first, then families."""
    families = [
        [float(name in members) for members in RENDERED_FAMILIES.values()] for name in RENDERED_CLASSES
    ]
    return torch.cat([torch.eye(len(RENDERED_CLASSES)), torch.tensor(families)], dim=1)


def fold_batch_norms(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert the weights of a network in training to those of one without batch norms."""
    network = Listener(learning=True)
    network.load_state_dict(state)
    folded = {key: value for key, value in state.items() if ".norm." not in key}
    for name, layer in network.named_modules():
        if isinstance(layer, Layer):
            weight, bias = fold_batch_norm(layer.conv, layer.norm)
            folded |= {f"{name}.conv.weight": weight.detach(), f"{name}.conv.bias": bias.detach()}
    return folded
