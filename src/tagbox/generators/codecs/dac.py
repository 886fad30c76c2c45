"""The Descript Audio Codec (Kumar et al. 2023, arXiv 2306.06546), as the library transformers builds it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tagbox.generators.codecs.chunks import InChunks, chunk_frames
from tagbox.generators.codecs.codec import Codec
from tagbox.generators.codecs.loading import load_network
from tagbox.plugins.descriptions import Model


def load(model: Model, path: Path, device: torch.device | str = "cpu") -> Codec:
    """Load a DAC from the folder `path`.

    Raises:
        InvalidWeightsError: its settings or weights are another model's.
    """
    from transformers import DacConfig, DacModel

    def build(settings: dict[str, Any]) -> Any:
        with torch.device("meta"):
            return DacModel(DacConfig.from_dict(settings))

    network, weights_hash = load_network(model, path, device, build, "DAC")
    config = network.config
    hop, frames = config.hop_length, chunk_frames(config.sampling_rate, config.hop_length)
    return Codec(
        name=model.name,
        rate=config.sampling_rate,
        channels=1,
        hop=hop,
        encoder=InChunks.of(network.encoder, hop, 1, frames),
        decoder=InChunks.of(network.decoder, 1, hop, frames),
        quantiser=Quantiser(network.quantizer),
        weights_hash=weights_hash,
        licence=model.licence,
    )


@dataclass(frozen=True, eq=False)
class Quantiser:
    """All codebooks of a residual quantiser: the library's `DacResidualVectorQuantizer`."""

    network: Any

    def __call__(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return codes (batch, codebooks, frames) and what they stand for."""
        entries, codes, *_ = self.network(latents)
        return codes, entries
