"""Convolutional recurrent network.

Choi et al., "Convolutional recurrent neural networks for music classification", ICASSP 2017.
"""

from torch import Tensor, nn

from tagbox.taggers.networks.layers import Conv2dBlock


class CRNN(nn.Module):
    """Four pooled convolutions, then a gated recurrent network, whose last state is classified."""

    def __init__(self, tags: int = 50) -> None:
        super().__init__()
        self.spec_bn = nn.BatchNorm2d(1)
        self.layer1 = Conv2dBlock(1, 64, (2, 2))
        self.layer2 = Conv2dBlock(64, 128, (3, 3))
        self.layer3 = Conv2dBlock(128, 128, (4, 4))
        self.layer4 = Conv2dBlock(128, 128, (4, 4))
        self.layer5 = nn.GRU(128, 32, 2, batch_first=True)
        self.dense = nn.Linear(32, tags)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, 96, frames) in dB to logits (batch, tags)."""
        x = self.spec_bn(spectrogram[:, None])
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        states, _ = self.layer5(x.squeeze(2).transpose(1, 2))
        logits: Tensor = self.dense(states[:, -1])
        return logits
