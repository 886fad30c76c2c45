"""Networks on the waveform itself, three samples at a time.

Lee et al., "Sample-level deep convolutional neural networks for music auto-tagging using raw waveforms", SMC
2017; with residuals and squeeze and excitation: Kim, Lee, Nam, "Sample-level CNN architectures for music
auto-tagging using raw waveforms", ICASSP 2018.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.taggers.networks.layers import Conv1dBlock, conv_bn

CHANNELS = (128, 128, 128, 256, 256, 256, 256, 256, 256, 512, 512)
"""Channels after each of the eleven layers. A window has 3^10 samples: the first layer has a stride of 3,
nine more pool by 3, and the last one is left with a single position."""


class ExcitedResidual(nn.Module):
    """Two convolutions with squeeze and excitation, and a shortcut; ReLU, max pooling."""

    def __init__(self, channels: int, out: int, kernel: int = 3, stride: int = 1, pool: int = 1) -> None:
        super().__init__()
        self.conv_1 = nn.Conv1d(channels, out, kernel, stride, kernel // 2)
        self.bn_1 = nn.BatchNorm1d(out)
        self.conv_2 = nn.Conv1d(out, out, kernel, padding=kernel // 2)
        self.bn_2 = nn.BatchNorm1d(out)
        self.dense1 = nn.Linear(out, out)
        self.dense2 = nn.Linear(out, out)
        self.matched = stride == 1 and channels == out
        if not self.matched:
            self.conv_3 = nn.Conv1d(channels, out, kernel, stride, kernel // 2)
            self.bn_3 = nn.BatchNorm1d(out)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        inner = functional.relu(conv_bn(self.conv_1, self.bn_1, x))
        inner = conv_bn(self.conv_2, self.bn_2, inner)
        gate = torch.sigmoid(self.dense2(functional.relu(self.dense1(inner.mean(dim=2)))))
        shortcut = x if self.matched else conv_bn(self.conv_3, self.bn_3, x)
        x = torch.addcmul(shortcut, inner, gate[:, :, None])
        return functional.relu(functional.max_pool1d(x, self.pool) if self.pool > 1 else x)


def _add_layers(network: nn.Module, block: type[Conv1dBlock] | type[ExcitedResidual]) -> None:
    """Add the eleven layers to `network`, named layer1 to layer11 as in the checkpoints."""
    last = len(CHANNELS)
    for i, (channels, out) in enumerate(zip((1, *CHANNELS[:-1]), CHANNELS, strict=True), start=1):
        kernel, stride = (1 if i == last else 3), (3 if i == 1 else 1)
        pool = 1 if i in (1, last) else 3
        network.add_module(f"layer{i}", block(channels, out, kernel, stride, pool))


def _through_layers(network: nn.Module, audio: Tensor) -> Tensor:
    """Apply the eleven layers: (batch, samples) to (batch, channels)."""
    x = audio[:, None]
    for i in range(1, len(CHANNELS) + 1):
        x = network.get_submodule(f"layer{i}")(x)
    return x.squeeze(2)


class SampleCNN(nn.Module):
    """Eleven convolutions that reduce the waveform to one position."""

    def __init__(self, tags: int = 50) -> None:
        super().__init__()
        _add_layers(self, Conv1dBlock)
        self.dense = nn.Linear(CHANNELS[-1], tags)

    def forward(self, audio: Tensor) -> Tensor:
        """Map (batch, 59049) to logits (batch, tags)."""
        logits: Tensor = self.dense(_through_layers(self, audio))
        return logits


class ExcitedSampleCNN(nn.Module):
    """Eleven layers with shortcuts and squeeze and excitation."""

    def __init__(self, tags: int = 50) -> None:
        super().__init__()
        _add_layers(self, ExcitedResidual)
        self.dense1 = nn.Linear(CHANNELS[-1], 512)
        self.bn = nn.BatchNorm1d(512)
        self.dense2 = nn.Linear(512, tags)

    def forward(self, audio: Tensor) -> Tensor:
        """Map (batch, 59049) to logits (batch, tags)."""
        x = functional.relu(self.bn(self.dense1(_through_layers(self, audio))))
        logits: Tensor = self.dense2(x)
        return logits
