"""Fully convolutional network: Choi, Fazekas, Sandler, "Automatic tagging using deep CNNs", ISMIR 2016."""

from torch import Tensor, nn

from tagbox.taggers.layers import Conv2dBlock


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
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4, self.layer5):
            x = layer(x)
        logits: Tensor = self.dense(x.flatten(1))
        return logits
