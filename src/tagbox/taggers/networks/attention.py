"""Convolutions, then self-attention over time.

Won, Chun, Serra, "Toward interpretable music tagging with self-attention", 2019 (arXiv 1906.04972); the
encoder is that of Devlin et al., "BERT", 2019 (arXiv 1810.04805).
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.taggers.networks.layers import StridedResidual

WIDTH = 256
HEADS = 8


class EncoderLayer(nn.Module):
    """Self-attention, then two dense layers; each with a shortcut and layer norm."""

    def __init__(self, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.attention = nn.ModuleDict(
            {
                "self": nn.ModuleDict({part: nn.Linear(width, width) for part in ("query", "key", "value")}),
                "output": _dense_and_norm(width, width),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, hidden)})
        self.output = _dense_and_norm(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map (batch, tokens, width) to the same shape."""
        query, key, value = (
            self.attention.get_submodule(f"self.{part}")(x).unflatten(2, (self.heads, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        attended = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        dense, norm = (self.attention.get_submodule(f"output.{part}") for part in ("dense", "LayerNorm"))
        x = norm(x + dense(attended))
        inner = functional.gelu(self.intermediate["dense"](x))
        y: Tensor = self.output["LayerNorm"](x + self.output["dense"](inner))
        return y


def _dense_and_norm(width: int, out: int) -> nn.ModuleDict:
    return nn.ModuleDict({"dense": nn.Linear(width, out), "LayerNorm": nn.LayerNorm(out, eps=1e-12)})


class AttentionCNN(nn.Module):
    """Seven residual blocks, then two encoder layers over time; a first token summarises the window."""

    token: Tensor

    def __init__(self, tags: int = 50) -> None:
        super().__init__()
        self.spec_bn = nn.BatchNorm2d(1)
        self.layer1 = StridedResidual(1, 128, (2, 2))
        self.layer2 = StridedResidual(128, 128, (2, 2))
        self.layer3 = StridedResidual(128, 256, (2, 2))
        self.layer4 = StridedResidual(256, 256, (2, 1))
        self.layer5 = StridedResidual(256, 256, (2, 1))
        self.layer6 = StridedResidual(256, 256, (2, 1))
        self.layer7 = StridedResidual(256, 256, (2, 1))
        self.encoder = nn.ModuleDict(
            {"layer": nn.ModuleList([EncoderLayer(WIDTH, 4 * WIDTH, HEADS) for _ in range(2)])}
        )
        self.pooler = nn.ModuleDict({"dense": nn.Linear(WIDTH, WIDTH)})
        self.dense = nn.Linear(WIDTH, tags)
        # The summary token was never learnt and is in no checkpoint: it is what numpy's legacy generator
        # gave after seed 0. A generator of its own leaves the caller's random numbers unchanged.
        token = np.random.RandomState(0).random_sample(WIDTH).astype(np.float32)
        self.register_buffer("token", torch.from_numpy(token), persistent=False)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """Map (batch, 128, frames) in dB to logits (batch, tags)."""
        x = self.spec_bn(spectrogram[:, None])
        layers = (self.layer1, self.layer2, self.layer3, self.layer4, self.layer5, self.layer6, self.layer7)
        for layer in layers:
            x = layer(x)
        tokens = x.squeeze(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), 1, -1), tokens], dim=1)
        for i in range(2):
            x = self.encoder.get_submodule(f"layer.{i}")(x)
        logits: Tensor = self.dense(torch.tanh(self.pooler["dense"](x[:, 0])))
        return logits
