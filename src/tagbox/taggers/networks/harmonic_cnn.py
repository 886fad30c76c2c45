"""Network on harmonics.

Won et al., "Data-driven harmonic filters for audio representation learning", ICASSP 2020.
"""

from torch import Tensor, nn

from tagbox.taggers.networks.layers import Conv2dBlock, PooledResidual
from tagbox.taggers.networks.short_chunk_cnn import MaxPoolHead


class HarmonicCNN(MaxPoolHead):
    """Convolutions whose input channels are harmonics: all harmonics of a note are in one band."""

    def __init__(self, harmonics: int = 6, tags: int = 50) -> None:
        super().__init__(256, tags)
        self.hstft_bn = nn.BatchNorm2d(harmonics)
        self.layer1 = Conv2dBlock(harmonics, 128, (2, 2))
        self.layer2 = PooledResidual(128, (2, 2))
        self.layer3 = PooledResidual(128, (2, 2))
        self.layer4 = PooledResidual(128, (2, 2))
        self.layer5 = Conv2dBlock(128, 256, (2, 2))
        self.layer6 = PooledResidual(256, (2, 3))
        self.layer7 = PooledResidual(256, (2, 3))

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, harmonics, 128, frames) in dB to logits (batch, tags)."""
        x = self.hstft_bn(spectrogram)
        layers = (self.layer1, self.layer2, self.layer3, self.layer4, self.layer5, self.layer6, self.layer7)
        for layer in layers:
            x = layer(x)
        return self.classify(x)
