"""Fully convolutional network: Choi, Fazekas, Sandler, "Automatic tagging using deep CNNs", ISMIR 2016.

Its window is 29 s long. Where a shorter recording is padded with zeros, as published, most of the window is
silence, for which the layers always compute the same. That is computed once; each step computes only the
frames that the recording reaches.
"""

import torch
from torch import Tensor, nn

from tagbox.taggers.frontends import SILENCE_DB
from tagbox.taggers.networks.layers import Conv2dBlock


class FCN(nn.Module):
    """Five pooled convolutions that reduce 29 s to one position."""

    def __init__(self, tags: int = 50) -> None:
        super().__init__()
        self.spec_bn = nn.BatchNorm2d(1)
        self.layer1 = Conv2dBlock(1, 64, (2, 4))
        self.layer2 = Conv2dBlock(64, 128, (2, 4))
        self.layer3 = Conv2dBlock(128, 128, (2, 4))
        self.layer4 = Conv2dBlock(128, 128, (3, 5))
        self.layer5 = Conv2dBlock(128, 64, (4, 4))
        self.dense = nn.Linear(64, tags)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, 96, frames) in dB to logits (batch, tags)."""
        x = self.spec_bn(spectrogram[:, None])
        for layer in self._layers():
            x = layer(x)
        logits: Tensor = self.dense(x.flatten(1))
        return logits

    def silent_inputs(self, bands: int, frames: int) -> list[Tensor]:
        """Compute the input of each layer, (1, channels, bands, frames), for a silent window."""
        weight = self.dense.weight
        with torch.no_grad():
            inputs = [self.spec_bn(weight.new_full((1, 1, bands, frames), SILENCE_DB))]
            for layer in self._layers()[:-1]:
                inputs.append(layer(inputs[-1]))
        return inputs

    def forward_before_silence(self, spectrogram: Tensor, silent_inputs: list[Tensor]) -> Tensor:
        """Compute logits (batch, tags), as `forward`, for windows that end in silence.

        Args:
            spectrogram: (batch, 96, frames) in dB, the frames that are not silent.
            silent_inputs: of the layers, for a silent window.
        """
        x = self.spec_bn(spectrogram[:, None])
        for layer, silent in zip(self._layers(), silent_inputs, strict=True):
            # Silence up to the end of the last pooling area reached, and one more frame, which the
            # convolution covers beyond what is pooled.
            pooled_frames = x.shape[3] // layer.pool[1] + 1
            rest = silent[..., x.shape[3] : pooled_frames * layer.pool[1] + 1]
            x = layer(torch.cat([x, rest.expand(len(x), -1, -1, -1)], dim=3))
        logits: Tensor = self.dense(x.flatten(1))
        return logits

    def _layers(self) -> list[Conv2dBlock]:
        return [self.layer1, self.layer2, self.layer3, self.layer4, self.layer5]
