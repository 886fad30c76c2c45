"""Musicnn, whose filters have the shape of timbres and rhythms.

Pons et al., "End-to-end learning for music audio tagging at scale", ISMIR 2018.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.taggers.networks.layers import Conv1dBlock, conv_bn, fold_batch_norm, tall_filters_maxpool


class Timbre(nn.Module):
    """Filters tall in frequency, maximum over frequency: (batch, 1, bands, time) to (batch, out, time)."""

    def __init__(self, out: int, bands: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, out, (bands, 7), padding=(0, 3))
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = fold_batch_norm(self.conv, self.bn)
        return functional.relu(tall_filters_maxpool(x[:, 0], weight, bias, padding=3))


class Rhythm(nn.Module):
    """Filters long in time, on the mean over bands: (batch, 1, bands, time) to (batch, out, time)."""

    def __init__(self, out: int, frames: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, out, frames, padding=frames // 2)
        self.bn = nn.BatchNorm1d(out)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(conv_bn(self.conv, self.bn, x.mean(dim=2)))


class Musicnn(nn.Module):
    """Timbre and rhythm filters, three convolutions in time, maximum and mean over 3 s."""

    def __init__(self, channels: int = 64, hidden: int = 200, tags: int = 50) -> None:
        super().__init__()
        self.spec_bn = nn.BatchNorm2d(1)
        self.layers = nn.ModuleList(
            [Timbre(204, 67), Timbre(204, 38), Rhythm(51, 129), Rhythm(51, 65), Rhythm(51, 33)]
        )
        joined = 2 * 204 + 3 * 51
        self.layer1 = Conv1dBlock(joined, channels, 7)
        self.layer2 = Conv1dBlock(channels, channels, 7)
        self.layer3 = Conv1dBlock(channels, channels, 7)
        self.dense1 = nn.Linear(2 * (joined + 3 * channels), hidden)
        self.bn = nn.BatchNorm1d(hidden)
        self.dense2 = nn.Linear(hidden, tags)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, 96, frames) in dB to logits (batch, tags)."""
        x = self.spec_bn(spectrogram[:, None])
        front = torch.cat([layer(x) for layer in self.layers], dim=1)
        first = self.layer1(front)
        second = first + self.layer2(first)
        third = second + self.layer3(second)
        x = torch.cat([front, first, second, third], dim=1)
        # `amax` would divide its gradient among equal maxima, which takes several passes.
        x = torch.cat([x.max(dim=2).values, x.mean(dim=2)], dim=1)
        logits: Tensor = self.dense2(functional.relu(self.bn(self.dense1(x))))
        return logits


def large_musicnn() -> Musicnn:
    """Build the network as it was published for the Million Song Dataset."""
    return Musicnn(channels=512, hidden=500)
