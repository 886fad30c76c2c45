"""Fully convolutional network: Choi, Fazekas, Sandler, "Automatic tagging using deep CNNs", ISMIR 2016.

It hears 29 s at once. Where a shorter recording is filled up with zeros, as published, most of the window is
silence, and what the layers make of silence is always the same. That is computed once; at each step only the
columns that the recording reaches are.
"""

import torch
from torch import Tensor, nn

from tagbox.taggers.frontends import SILENCE
from tagbox.taggers.networks.layers import Conv2dBlock


class FCN(nn.Module):
    """Five pooled convolutions until nothing but channels is left of 29 s."""

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
        """(batch, 96, frames) in dB to logits (batch, tags)."""
        x = self.spec_bn(spectrogram[:, None])
        for layer in self._layers():
            x = layer(x)
        logits: Tensor = self.dense(x.flatten(1))
        return logits

    def silence(self, bands: int, frames: int) -> list[Tensor]:
        """What each layer hears, (1, channels, bands, frames), where there is no sound at all."""
        weight = self.dense.weight
        with torch.no_grad():
            heard = [self.spec_bn(weight.new_full((1, 1, bands, frames), SILENCE))]
            for layer in self._layers()[:-1]:
                heard.append(layer(heard[-1]))
        return heard

    def before_silence(self, spectrogram: Tensor, silence: list[Tensor]) -> Tensor:
        """As `forward`, for windows that only begin with sound.

        Args:
            spectrogram: (batch, 96, frames) in dB, the frames that are not silent.
            silence: what the layers hear in a whole window of it.
        """
        x = self.spec_bn(spectrogram[:, None])
        for layer, quiet in zip(self._layers(), silence, strict=True):
            # The last column reached, and one more that the convolution sees beyond what is pooled.
            reached = x.shape[3] // layer.pool[1] + 1
            rest = quiet[..., x.shape[3] : reached * layer.pool[1] + 1]
            x = layer(torch.cat([x, rest.expand(len(x), -1, -1, -1)], dim=3))
        logits: Tensor = self.dense(x.flatten(1))
        return logits

    def _layers(self) -> list[Conv2dBlock]:
        return [self.layer1, self.layer2, self.layer3, self.layer4, self.layer5]
