"""The protocol of generators: audio to latents, latents to codebook entries, latents to audio."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor


class Generator(Protocol):
    """A frozen network that plays audio from latents, at one or more levels of detail.

    Attributes:
        name: as the command line calls it.
        rate: of the audio, Hz.
        hops: samples of audio for each frame of latents, by level, the finest first.
        weights_hash: SHA-256 of its weights.
        licence: of its weights, in a line.
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
        """Audio (batch, 1, samples), whole frames, to continuous latents (batch, dimensions, frames)."""
        ...

    def quantise(self, latents: Tensor, level: int = 0) -> tuple[Tensor, Tensor]:
        """Latents to the nearest entries: codes (batch, frames) and entries (batch, dimensions, frames)."""
        ...

    def decode(self, latents: Tensor, level: int = 0) -> Tensor:
        """Latents (batch, dimensions, frames) to audio (batch, 1, frames * hop); gradients reach them."""
        ...

    def to_precision(self, dtype: torch.dtype) -> "Generator":
        """The same generator, decoding in `dtype` where it can; audio and latents stay float32."""
        ...

    def codebook(self, level: int = 0) -> Tensor:
        """The entries that latents are quantised to, (entries, dimensions)."""
        ...
