"""Generators of the VQ-VAE architecture from weights, and their files.

A file is safetensors in float16. Its metadata holds the architecture as JSON, so that the file is all that is
needed to build the generator.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from tagbox.atomic_files import write_atomically
from tagbox.errors import InvalidWeightsError, MissingWeightsError
from tagbox.generators.vqvae import VQVAE, VQVAEConfig
from tagbox.plugins.descriptions import Model
from tagbox.state_dict import check_state_dict

CONFIG_KEY = "design"
"""Of the architecture in a file's metadata."""


@dataclass(frozen=True, eq=False)
class VQVAEGenerator:
    """A frozen VQ-VAE as a `tagbox.generators.base.Generator`."""

    name: str
    model: VQVAE
    weights_hash: str
    licence: str

    def to_precision(self, dtype: torch.dtype) -> "VQVAEGenerator":
        """Return the same generator, decoding in `dtype`."""
        return self if dtype == torch.float32 else replace(self, model=self.model.to_precision(dtype))

    @property
    def rate(self) -> int:
        """The sample rate, Hz."""
        return self.model.config.rate

    @property
    def channels(self) -> int:
        """The audio is mono."""
        return 1

    @property
    def hops(self) -> tuple[int, ...]:
        """The hop length of each level, samples of audio for a frame of latents."""
        return self.model.config.hops

    def encode(self, audio: Tensor, level: int = 0) -> Tensor:
        """Encode audio (batch, 1, samples), whole frames, to latents (batch, dimensions, frames)."""
        return self.model.encode(audio, level)

    def quantise(self, latents: Tensor, level: int = 0) -> tuple[Tensor, Tensor]:
        """Find the nearest entries: codes (batch, frames) and entries (batch, dimensions, frames)."""
        return self.model.quantise(latents, level)

    def decode(self, latents: Tensor, level: int = 0) -> Tensor:
        """Decode latents (batch, dimensions, frames) to audio (batch, 1, samples)."""
        return self.model.decode(latents, level)

    def codebook(self, level: int = 0) -> Tensor:
        """Return the codebook of `level`, (entries, dimensions)."""
        return self.model.codebook(level)


def expected_shapes(config: VQVAEConfig) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the weights of a VQ-VAE."""
    return _shapes(_on_meta(config))


def from_state_dict(
    name: str,
    state: Mapping[str, Tensor],
    config: VQVAEConfig,
    device: torch.device | str,
    weights_hash: str,
    licence: str,
) -> VQVAEGenerator:
    """Build a frozen generator from weights, in float32.

    Raises:
        InvalidWeightsError: they are another model's.
    """
    model = _on_meta(config)
    check_state_dict(state, _shapes(model), "this checkpoint", name)
    model.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
    return VQVAEGenerator(name, model.eval().requires_grad_(False).to(device), weights_hash, licence)


def load_generator_file(path: Path, device: torch.device | str, name: str) -> VQVAEGenerator:
    """Load the generator in a file that `save_generator_file` wrote.

    Raises:
        MissingWeightsError: there is no such file.
        InvalidWeightsError: it holds something else.
    """
    if not path.is_file():
        raise MissingWeightsError(
            f"there is no generator {path}; train one with: tagbox train-generator FOLDER -o {path}"
        )
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
        state = load_file(path)
        raw: dict[str, Any] = json.loads(metadata[CONFIG_KEY])
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in raw.items()}
        config = VQVAEConfig(**values)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InvalidWeightsError(
            f"{path} holds no generator; give a file that tagbox train-generator wrote"
        ) from error
    weights_hash = hashlib.sha256(path.read_bytes()).hexdigest()
    return from_state_dict(name, state, config, device, weights_hash, metadata.get("licence", "unknown"))


def load_embedded(model: Model, path: Path, device: torch.device | str) -> VQVAEGenerator:
    """Load the generator that ships with TagBox."""
    return load_generator_file(path, device, model.name)


def save_generator_file(
    model: VQVAE, path: Path, licence: str, notes: Mapping[str, str], force: bool = False
) -> None:
    """Save a model with its architecture, licence and `notes`. The file is written completely or not at all.

    Raises:
        TagBoxError: the file exists and `force` is not set, or it cannot be written.
    """
    state = {name: value.detach().cpu().half().contiguous() for name, value in model.state_dict().items()}
    metadata = {
        **notes,
        CONFIG_KEY: json.dumps(asdict(model.config)),
        "licence": licence,
        "format": "tagbox-vqvae",
    }
    with write_atomically(path, force) as temporary:
        # Not `save_file`: its errors do not say what the system refused.
        temporary.write_bytes(save(state, metadata=metadata))


def _shapes(model: VQVAE) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def _on_meta(config: VQVAEConfig) -> VQVAE:
    """Build the model without memory for its weights: drawing them at random would only cost time."""
    with torch.device("meta"):
        return VQVAE(config)
