"""Short-chunk networks, plain and residual: small filters, small pooling, the maximum over 3.7 s.

Won et al., "Evaluation of CNN-based automatic music tagging models", SMC 2020.
"""

from torch import Tensor, nn
from torch.nn import functional

from tagbox.taggers.networks.layers import Conv2dBlock, StridedResidual

CHANNELS = (128, 128, 256, 256, 256, 256, 512)


class MaxPoolHead(nn.Module):
    """The end of a network: the maximum over time of every channel, and two dense layers.

    A base class, because the checkpoints have these layers at their top level.
    """

    def __init__(self, channels: int, tags: int) -> None:
        super().__init__()
        self.dense1 = nn.Linear(channels, channels)
        self.bn = nn.BatchNorm1d(channels)
        self.dense2 = nn.Linear(channels, tags)

    def classify(self, x: Tensor) -> Tensor:
        """Map (batch, channels, 1, time) to logits (batch, tags)."""
        x = functional.relu(self.bn(self.dense1(x.amax(dim=(2, 3)))))
        logits: Tensor = self.dense2(x)
        return logits


class _ShortChunk(MaxPoolHead):
    def __init__(self, layers: list[nn.Module], tags: int) -> None:
        super().__init__(CHANNELS[-1], tags)
        self.spec_bn = nn.BatchNorm2d(1)
        self.depth = len(layers)
        for i, layer in enumerate(layers, start=1):
            self.add_module(f"layer{i}", layer)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, 128, frames) in dB to logits (batch, tags)."""
        x = self.spec_bn(spectrogram[:, None])
        for i in range(1, self.depth + 1):
            x = self.get_submodule(f"layer{i}")(x)
        return self.classify(x)


class ShortChunkCNN(_ShortChunk):
    """Seven convolutions, each pooled by 2 in frequency and time."""

    def __init__(self, tags: int = 50) -> None:
        ins = (1, *CHANNELS[:-1])
        super().__init__([Conv2dBlock(a, b, (2, 2)) for a, b in zip(ins, CHANNELS, strict=True)], tags)


class ShortChunkResNet(_ShortChunk):
    """Seven residual blocks with a stride of 2 in frequency and time."""

    def __init__(self, tags: int = 50) -> None:
        ins = (1, *CHANNELS[:-1])
        super().__init__([StridedResidual(a, b, (2, 2)) for a, b in zip(ins, CHANNELS, strict=True)], tags)
