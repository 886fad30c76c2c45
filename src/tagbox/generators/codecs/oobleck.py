"""Oobleck, the autoencoder of Stable Audio (Evans et al. 2024, arXiv 2407.14358), as diffusers builds it.

ACE-Step 1.5 has one too, with other weights. It has no codebook: its encoder gives mean and deviation of a
normal distribution, and the mean is what is steered.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tagbox.generators.codecs.chunks import InChunks, Transform, chunk_frames
from tagbox.generators.codecs.codec import Codec, unquantised
from tagbox.generators.codecs.loading import load_network
from tagbox.plugins.descriptions import Model


def load(model: Model, path: Path, device: torch.device | str = "cpu") -> Codec:
    """Load an Oobleck from the folder `path`.

    Raises:
        InvalidWeightsError: its settings or weights are another model's.
    """
    from diffusers import AutoencoderOobleck

    def build(settings: dict[str, Any]) -> Any:
        own = {key: value for key, value in settings.items() if not key.startswith("_")}
        with warnings.catch_warnings(), torch.device("meta"):
            # The library uses PyTorch's older weight normalisation.
            warnings.simplefilter("ignore", FutureWarning)
            return AutoencoderOobleck(**own)  # type: ignore[no-untyped-call]

    network, weights_hash = load_network(model, path, device, build, "Oobleck")
    hop, frames = network.hop_length, chunk_frames(network.config.sampling_rate, network.hop_length)
    return Codec(
        name=model.name,
        rate=network.config.sampling_rate,
        channels=network.config.audio_channels,
        hop=hop,
        encoder=Mean(InChunks.of(network.encoder, hop, 1, frames)),
        decoder=InChunks.of(network.decoder, 1, hop, frames),
        quantiser=unquantised,
        weights_hash=weights_hash,
        licence=model.licence,
    )


@dataclass(frozen=True, eq=False)
class Mean:
    """The mean of the distribution that an encoder gives."""

    encoder: Transform

    def __call__(self, audio: Tensor) -> Tensor:
        """Encode (batch, channels, samples) to (batch, dimensions, frames)."""
        mean, _ = self.encoder(audio).chunk(2, dim=1)
        return mean
