"""EfficientAT: MobileNetV3 on spectrograms, small networks that learnt AudioSet's words from large ones.

Schmid et al., "Efficient large-scale audio tagging via transformer-to-CNN knowledge distillation", ICASSP
2023. The blocks are those of MobileNetV3-Large (Howard et al., "Searching for MobileNetV3", ICCV 2019, table
1); squeeze and excitation ends in a sigmoid. Weights have the published names, by which modules are called
here.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

CHANNEL_STEP = 8
NORM_EPSILON = 1e-3
STEM_CHANNELS = 16
HEAD_EXPANSION = 6
HEAD_CHANNELS = 1280
SQUEEZE = 4


class Stage(NamedTuple):
    """A row of the paper's table, at a width of one."""

    kernel: int
    expanded: int
    channels: int
    excites: bool
    smooth: bool
    stride: int


STAGES = (
    Stage(3, 16, 16, False, False, 1),
    Stage(3, 64, 24, False, False, 2),
    Stage(3, 72, 24, False, False, 1),
    Stage(5, 72, 40, True, False, 2),
    Stage(5, 120, 40, True, False, 1),
    Stage(5, 120, 40, True, False, 1),
    Stage(3, 240, 80, False, True, 2),
    Stage(3, 200, 80, False, True, 1),
    Stage(3, 184, 80, False, True, 1),
    Stage(3, 184, 80, False, True, 1),
    Stage(3, 480, 112, True, True, 1),
    Stage(3, 672, 112, True, True, 1),
    Stage(5, 672, 160, True, True, 2),
    Stage(5, 960, 160, True, True, 1),
    Stage(5, 960, 160, True, True, 1),
)


class EfficientAT(nn.Module):
    """A MobileNetV3 of a chosen width, with a head of two layers."""

    def __init__(self, width: float, tags: int = 527) -> None:
        """Build the network.

        Args:
            width: factor of all numbers of channels, 1 for mn10.
            tags: how many.
        """
        super().__init__()
        channels = scaled(STEM_CHANNELS, width)
        layers: list[nn.Module] = [convolution(1, channels, 3, 2, nn.Hardswish)]
        for stage in STAGES:
            layers.append(InvertedResidual(stage, channels, width))
            channels = scaled(stage.channels, width)
        layers.append(convolution(channels, HEAD_EXPANSION * channels, 1, 1, nn.Hardswish))
        self.features = nn.Sequential(*layers)
        hidden = scaled(HEAD_CHANNELS, width)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(HEAD_EXPANSION * channels, hidden),
            nn.Hardswish(),
            nn.Dropout(0.2),
            nn.Linear(hidden, tags),
        )

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, 1, bands, frames) to logits (batch, tags)."""
        logits: Tensor = self.classifier(self.features(spectrogram))
        return logits


class InvertedResidual(nn.Module):
    """Widens by a convolution of single points, filters each channel by itself, and narrows again."""

    def __init__(self, stage: Stage, inputs: int, width: float) -> None:
        super().__init__()
        expanded, outputs = scaled(stage.expanded, width), scaled(stage.channels, width)
        activation = nn.Hardswish if stage.smooth else nn.ReLU
        layers: list[nn.Module] = []
        if expanded != inputs:
            layers.append(convolution(inputs, expanded, 1, 1, activation))
        layers.append(convolution(expanded, expanded, stage.kernel, stage.stride, activation, expanded))
        if stage.excites:
            layers.append(Excitation(expanded))
        layers.append(convolution(expanded, outputs))
        self.block = nn.Sequential(*layers)
        self.is_residual = stage.stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, channels, bands, frames) to the stage's channels and stride."""
        out: Tensor = self.block(x)
        return x + out if self.is_residual else out


class Excitation(nn.Module):
    """Weighs channels by what all of them are on average.

    Hu et al., "Squeeze-and-excitation networks", CVPR 2018.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = divisible(channels // SQUEEZE)
        layers = {"fc1": nn.Linear(channels, squeezed), "fc2": nn.Linear(squeezed, channels)}
        # The published networks could have several side by side.
        self.conc_se_layers = nn.ModuleList([nn.ModuleDict(layers)])

    def forward(self, x: Tensor) -> Tensor:
        """Weigh the channels of (batch, channels, bands, frames)."""
        layers = self.conc_se_layers[0]
        assert isinstance(layers, nn.ModuleDict)
        weights = torch.sigmoid(layers["fc2"](torch.relu(layers["fc1"](x.mean(dim=(2, 3))))))
        return x * weights[..., None, None]


def convolution(
    inputs: int,
    outputs: int,
    kernel: int = 1,
    stride: int = 1,
    activation: type[nn.Module] | None = None,
    groups: int = 1,
) -> nn.Sequential:
    """Make a convolution, its batch norm, and perhaps an activation."""
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=NORM_EPSILON),
    ]
    return nn.Sequential(*layers, *([activation()] if activation else []))


def scaled(channels: int, width: float) -> int:
    """Return a number of channels at a width."""
    return divisible(channels * width)


def divisible(channels: float) -> int:
    """Round to a multiple of `CHANNEL_STEP`, but not down by more than a tenth.

    >>> divisible(24 * 0.4), divisible(44)
    (16, 48)
    """
    nearest = max(CHANNEL_STEP, int(channels + CHANNEL_STEP / 2) // CHANNEL_STEP * CHANNEL_STEP)
    return nearest if nearest >= 0.9 * channels else nearest + CHANNEL_STEP


def mn04() -> EfficientAT:
    """Build the network of the weights mn04."""
    return EfficientAT(0.4)


def mn10() -> EfficientAT:
    """Build the network of the weights mn10."""
    return EfficientAT(1.0)
