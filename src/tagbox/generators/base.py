"""The protocol of generators: audio to latents, latents to codebook entries, latents to audio."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Generator(Protocol):
    """A frozen network that decodes audio from latents, at one or more levels of detail.

    Attributes:
        name: as the command line calls it.
        rate: sample rate of the audio, Hz.
        hops: the hop length of each level, samples of audio for a frame of latents; the finest level first.
        weights_hash: SHA-256 of its weights.
        licence: of its weights, in one line.
    """

    @property
    def name(self) -> str: ...
    @property
    def rate(self) -> int: ...
    @property
    def hops(self) -> Sequence[int]: ...
    @property
    def weights_hash(self) -> str: ...
    @property
    def licence(self) -> str: ...

    def encode(self, audio: Tensor, level: int = 0) -> Tensor:
        """Encode audio (batch, 1, samples), whole frames, to latents (batch, dimensions, frames)."""
        ...

    def quantise(self, latents: Tensor, level: int = 0) -> tuple[Tensor, Tensor]:
        """Find the nearest entries: codes (batch, frames) and entries (batch, dimensions, frames)."""
        ...

    def decode(self, latents: Tensor, level: int = 0) -> Tensor:
        """Decode latents (batch, dimensions, frames) to audio (batch, 1, frames * hop), inside the graph."""
        ...

    def to_precision(self, dtype: torch.dtype) -> "Generator":
        """Return the same generator, decoding in `dtype` where it can; audio and latents stay float32."""
        ...

    def codebook(self, level: int = 0) -> Tensor:
        """Return the entries that latents are quantised to, (entries, dimensions)."""
        ...
