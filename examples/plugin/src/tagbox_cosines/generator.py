"""Generate stereo audio from cosines: each frame is a sum of those of the discrete cosine transform."""

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from tagbox.plugins import Model

FRAME_SAMPLES = 96


@dataclass(frozen=True, eq=False)
class Cosines:
    """Latents are coordinates in an orthonormal `basis` (coordinates, samples), left and right."""

    basis: Tensor
    name: str = "cosines"
    rate: int = 48_000
    channels: int = 2
    hops: tuple[int, ...] = (FRAME_SAMPLES,)
    weights_hash: str = "none"
    licence: str = "MIT"

    def encode(self, audio: Tensor, level: int = 0) -> Tensor:
        """Encode audio (batch, 2, samples), whole frames, to latents (batch, dimensions, frames)."""
        frames = audio.unfold(2, FRAME_SAMPLES, FRAME_SAMPLES)
        return (frames @ self.basis.T).transpose(2, 3).flatten(1, 2)

    def quantise(self, latents: Tensor, level: int = 0) -> tuple[Tensor, Tensor]:
        """Return no codes and the latents themselves: there is no codebook."""
        return latents.new_zeros(len(latents), 0, latents.shape[2], dtype=torch.long), latents

    def decode(self, latents: Tensor, level: int = 0) -> Tensor:
        """Decode latents (batch, dimensions, frames) to audio (batch, 2, samples)."""
        channels = latents.reshape(len(latents), 2, FRAME_SAMPLES, -1)
        audio: Tensor = (channels.transpose(2, 3) @ self.basis).flatten(2)
        return audio

    def to_precision(self, dtype: torch.dtype) -> "Cosines":
        """Return itself: a lower precision would gain nothing."""
        return self


def load(model: Model, path: Path | None, device: torch.device | str) -> Cosines:
    """Return the generator, which has no weights to load from `path`."""
    n = torch.arange(FRAME_SAMPLES, dtype=torch.float64)
    basis = torch.cos(math.pi / FRAME_SAMPLES * (n + 0.5) * n[:, None]) * math.sqrt(2 / FRAME_SAMPLES)
    basis[0] *= math.sqrt(0.5)
    return Cosines(basis.float().to(device))
