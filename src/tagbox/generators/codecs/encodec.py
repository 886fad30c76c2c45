"""EnCodec (Défossez et al. 2022, arXiv 2210.13438), as the library transformers builds it.

At 24 kHz it is one causal network with a recurrent layer. That layer hears everything before, so it runs
over the whole signal, and only the convolutions beside it in chunks. At 48 kHz, in stereo, the signal is cut
into overlapping chunks of a second; each is divided by its loudness and encoded by itself, and what is
decoded from them is crossfaded.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.errors import InvalidWeightsError
from tagbox.generators.codecs.chunks import InChunks, Transform, chunk_frames, recomputed
from tagbox.generators.codecs.codec import Codec
from tagbox.generators.codecs.loading import load_network
from tagbox.plugins.descriptions import Model

SCALE_FLOOR = 1e-8
"""Added to the loudness that a chunk is divided by."""


def load(model: Model, path: Path, device: torch.device | str = "cpu") -> Codec:
    """Load an EnCodec from the folder `path`.

    Raises:
        InvalidWeightsError: its settings or weights are another model's.
    """
    from transformers import EncodecConfig, EncodecModel

    def build(settings: dict[str, Any]) -> Any:
        # Not on the device "meta": buffers that are in no file would be lost.
        return EncodecModel(EncodecConfig.from_dict(settings))

    network, weights_hash = load_network(model, path, device, build, "EnCodec")
    config = network.config
    hop = config.hop_length
    if config.chunk_length is None:
        if config.normalize:
            raise InvalidWeightsError(f"{model.identifier} divides whole recordings by their loudness")
        frames = chunk_frames(config.sampling_rate, hop)
        encoder: Transform = _encoder(network.encoder.layers, hop, frames)
        decoder: Transform = _decoder(network.decoder.layers, hop, frames)
        quantiser = Quantiser(network.quantizer, scales=0)
    else:
        stride = config.chunk_stride or config.chunk_length
        if 2 * stride < config.chunk_length or config.chunk_length % hop:
            raise InvalidWeightsError(
                f"chunks of {model.identifier} overlap by more than a half, or are no whole frames"
            )
        cutting = Cutting(config.chunk_length, stride, hop, config.normalize)
        encoder, decoder = ChunkEncoder(network.encoder, cutting), ChunkDecoder(network.decoder, cutting)
        quantiser = Quantiser(network.quantizer, scales=int(config.normalize))
    return Codec(
        name=model.name,
        rate=config.sampling_rate,
        channels=config.audio_channels,
        hop=hop,
        encoder=encoder,
        decoder=decoder,
        quantiser=quantiser,
        weights_hash=weights_hash,
        licence=model.licence,
    )


@dataclass(frozen=True, eq=False)
class Chain:
    """Transforms one after the other."""

    first: Transform
    then: Transform

    def __call__(self, signal: Tensor) -> Tensor:
        """Apply both."""
        return self.then(self.first(signal))


def _encoder(layers: nn.ModuleList, hop: int, frames: int) -> Transform:
    """Run the convolutions before the recurrent layer in chunks, and the rest on all frames at once."""
    split = _recurrent(layers)
    return Chain(InChunks.of(nn.Sequential(*layers[:split]), hop, 1, frames), nn.Sequential(*layers[split:]))


def _decoder(layers: nn.ModuleList, hop: int, frames: int) -> Transform:
    """Run all up to the recurrent layer on all frames at once, and the convolutions after it in chunks."""
    split = _recurrent(layers) + 1
    return Chain(nn.Sequential(*layers[:split]), InChunks.of(nn.Sequential(*layers[split:]), 1, hop, frames))


def _recurrent(layers: nn.ModuleList) -> int:
    return next(i for i, layer in enumerate(layers) if hasattr(layer, "lstm"))


@dataclass(frozen=True, eq=False)
class Quantiser:
    """All codebooks of a residual quantiser: the highest of EnCodec's bit rates.

    Attributes:
        network: the library's `EncodecResidualVectorQuantizer`.
        scales: how many of the last dimensions are loudness, which is not quantised.
    """

    network: Any
    scales: int

    def __call__(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes (batch, codebooks, frames) and what they stand for."""
        dimensions = latents.shape[1] - self.scales
        codes = self.network.encode(latents[:, :dimensions])
        entries = torch.cat([self.network.decode(codes), latents[:, dimensions:]], dim=1)
        return codes.transpose(0, 1), entries


@dataclass(frozen=True)
class Cutting:
    """How a signal is cut.

    Attributes:
        samples: of a chunk.
        stride: samples from the start of a chunk to that of the next.
        hop: samples for a frame of latents.
        normalises: whether chunks are divided by their loudness.
    """

    samples: int
    stride: int
    hop: int
    normalises: bool

    @property
    def frames(self) -> int:
        """Return the frames of a chunk."""
        return math.ceil(self.samples / self.hop)


@dataclass(frozen=True, eq=False)
class ChunkEncoder:
    """Encode overlapping chunks, each by itself: their latents follow one another.

    The last dimension of the latents is the loudness that the chunk was divided by. There are as many chunks
    as strides in the signal, rounded up, and the last is filled up with silence.
    """

    network: nn.Module
    cutting: Cutting

    def __call__(self, audio: Tensor) -> Tensor:
        """Encode (batch, channels, samples) to (batch, dimensions + 1, chunks * frames)."""
        cut = self.cutting
        count = math.ceil(audio.shape[-1] / cut.stride)
        missing = (count - 1) * cut.stride + cut.samples - audio.shape[-1]
        chunks = functional.pad(audio, (0, missing)).unfold(-1, cut.samples, cut.stride)
        return torch.cat([self._encode(chunk) for chunk in chunks.unbind(-2)], dim=-1)

    def _encode(self, chunk: Tensor) -> Tensor:
        if not self.cutting.normalises:
            latents: Tensor = self.network(chunk)
            return latents
        loudness = chunk.mean(dim=1, keepdim=True).square().mean(dim=-1, keepdim=True).sqrt() + SCALE_FLOOR
        latents = self.network(chunk / loudness)
        return torch.cat([latents, loudness.expand(-1, -1, latents.shape[-1])], dim=1)


@dataclass(frozen=True, eq=False)
class ChunkDecoder:
    """Decode what a `ChunkEncoder` encodes; at least as many samples as were encoded.

    The loudness of a chunk gets no gradient, or steps that suit the other dimensions would shatter it.
    """

    network: nn.Module
    cutting: Cutting

    def __call__(self, latents: Tensor) -> Tensor:
        """Decode (batch, dimensions + 1, chunks * frames) to (batch, channels, samples)."""
        cut = self.cutting
        chunks = [self._decode(chunk) for chunk in torch.split(latents, cut.frames, dim=-1)]
        overlap = cut.samples - cut.stride
        # Every chunk has the weights of a triangle, whose middle is its own.
        ramp = torch.linspace(0, 1, cut.samples + 2, device=latents.device)[1:-1]
        triangle = 0.5 - (ramp - 0.5).abs()
        rising, falling = triangle[:overlap], triangle[cut.stride :]
        fade = rising / (rising + falling)
        parts: list[Tensor] = []
        tail = chunks[0][..., :overlap]
        for chunk in chunks:
            faded = chunk[..., :overlap] * fade + tail * (1 - fade) if parts else tail
            parts += [faded, chunk[..., overlap : cut.stride]]
            tail = chunk[..., cut.stride :]
        return torch.cat([*parts, tail], dim=-1)

    def _decode(self, latents: Tensor) -> Tensor:
        if not self.cutting.normalises:
            return recomputed(self.network, latents)[..., : self.cutting.samples]
        loudness = latents[:, -1:].detach().mean(dim=-1, keepdim=True)
        return recomputed(self.network, latents[:, :-1])[..., : self.cutting.samples] * loudness
