"""The protocol of generators: audio to latents, latents to codebook entries, latents to audio."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Generator(Protocol):
    """A frozen network that decodes audio from latents, at one or more levels of detail.

    Attributes:
        name: as the command line calls it.
        rate: sample rate of the audio, Hz.
        channels: of the audio, 1 or 2.
        hops: the hop length of each level, samples of audio for a frame of latents; the finest level first.
        weights_hash: SHA-256 of its weights.
        licence: of its weights, in one line.
    """

    @property
    def name(self) -> str: ...
    @property
    def rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def hops(self) -> Sequence[int]: ...
    @property
    def weights_hash(self) -> str: ...
    @property
    def licence(self) -> str: ...

    def encode(self, audio: Tensor, level: int = 0) -> Tensor:
        """Encode audio (batch, channels, samples), whole frames, to latents (batch, dimensions, frames)."""
        ...

    def quantise(self, latents: Tensor, level: int = 0) -> tuple[Tensor, Tensor]:
        """Return the nearest codes and what they stand for, outside the graph.

        Codes are (batch, frames), or (batch, codebooks, frames) where several add up; what they stand for is
        (batch, dimensions, frames). A generator without a codebook returns no codes, (batch, 0, frames), and
        the latents themselves.
        """
        ...

    def decode(self, latents: Tensor, level: int = 0) -> Tensor:
        """Decode latents (batch, dimensions, frames) to audio (batch, channels, samples).

        There are frames * hop samples, or at least as many as were encoded where frames overlap. Gradients
        reach the latents.
        """
        ...

    def to_precision(self, dtype: torch.dtype) -> "Generator":
        """Return the same generator, decoding in `dtype` where it can; audio and latents stay float32."""
        ...


@runtime_checkable
class CodebookGenerator(Generator, Protocol):
    """A generator that quantises each frame to one entry of one codebook, as Jukebox does."""

    def codebook(self, level: int = 0) -> Tensor:
        """Return the entries that latents are quantised to, (entries, dimensions)."""
        ...
