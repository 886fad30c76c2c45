"""A neural codec as a generator: an encoder, a decoder and its own quantiser, all frozen."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tagbox.generators.codecs.chunks import Transform

Quantise = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Latents (batch, dimensions, frames) to codes (batch, codebooks, frames) and what they stand for."""


@dataclass(frozen=True, eq=False)
class Codec:
    """A codec as a `tagbox.generators.base.Generator` of one level.

    Attributes:
        name: as the command line calls it.
        rate: sample rate of the audio, Hz.
        channels: of the audio.
        hop: samples of audio for a frame of latents.
        encoder: audio (batch, channels, samples) to latents (batch, dimensions, frames).
        decoder: latents to audio (batch, channels, samples).
        quantiser: latents to codes and what they stand for.
        weights_hash: SHA-256 of its weights.
        licence: of its weights.
    """

    name: str
    rate: int
    channels: int
    hop: int
    encoder: Transform
    decoder: Transform
    quantiser: Quantise
    weights_hash: str
    licence: str

    @property
    def hops(self) -> tuple[int, ...]:
        """The hop length of its one level."""
        return (self.hop,)

    def encode(self, audio: Tensor, level: int = 0) -> Tensor:
        """Encode audio (batch, channels, samples), whole frames, to latents (batch, dimensions, frames)."""
        return self.encoder(audio)

    def quantise(self, latents: Tensor, level: int = 0) -> tuple[Tensor, Tensor]:
        """Return codes (batch, codebooks, frames) and what they stand for, of the latents' shape."""
        with torch.no_grad():
            return self.quantiser(latents)

    def decode(self, latents: Tensor, level: int = 0) -> Tensor:
        """Decode latents (batch, dimensions, frames) to audio (batch, channels, samples)."""
        audio = self.decoder(latents)
        # Where strides are odd, the convolutions leave the last frame a few samples short.
        return functional.pad(audio, (0, -audio.shape[-1] % self.hop))

    def to_precision(self, dtype: torch.dtype) -> "Codec":
        """Return itself: what a lower precision does to these decoders has not been measured."""
        return self


def unquantised(latents: Tensor) -> tuple[Tensor, Tensor]:
    """Return no codes and the latents themselves, for codecs without a codebook."""
    return latents.new_zeros(len(latents), 0, latents.shape[-1], dtype=torch.long), latents
