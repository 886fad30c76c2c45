"""Generators of the VQ-VAE design: a design, weights, and where they come from; kept as safetensors.

The file's metadata holds the design as JSON, so that a file is enough to make the generator again.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tagbox.atomic_files import write_atomically
from tagbox.errors import TagBoxError
from tagbox.generators.vqvae import VQVAE, VQVAEConfig


@dataclass(frozen=True, eq=False)
class VQVAEGenerator:
    """A frozen VQ-VAE as a `tagbox.generators.base.Generator`."""

    name: str
    model: VQVAE
    weights_hash: str
    licence: str

    def to_precision(self, dtype: torch.dtype) -> "VQVAEGenerator":
        """The same generator, decoding in `dtype`."""
        return self if dtype == torch.float32 else replace(self, model=self.model.to_precision(dtype))

    @property
    def rate(self) -> int:
        """Hz."""
        return self.model.design.rate

    @property
    def hops(self) -> tuple[int, ...]:
        """Samples a frame, by level."""
        return self.model.design.hops

    def encode(self, audio: Tensor, level: int = 0) -> Tensor:
        """Audio (batch, 1, samples), whole frames, to latents (batch, dimensions, frames)."""
        return self.model.encode(audio, level)

    def quantise(self, latents: Tensor, level: int = 0) -> tuple[Tensor, Tensor]:
        """Latents to codes (batch, frames) and entries (batch, dimensions, frames)."""
        return self.model.quantise(latents, level)

    def decode(self, latents: Tensor, level: int = 0) -> Tensor:
        """Latents (batch, dimensions, frames) to audio (batch, 1, samples)."""
        return self.model.decode(latents, level)

    def codebook(self, level: int = 0) -> Tensor:
        """(entries, dimensions)."""
        return self.model.codebook(level)


def expected_shapes(design: VQVAEConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the weights of `design`."""
    return shapes(_on_meta(design))


def shapes(model: VQVAE) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a model's weights."""
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def check_shapes(state: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], what: str) -> None:
    """Raise `TagBoxError` where names or shapes of `state` are not the `expected` ones."""
    missing, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    wrong = [name for name in expected if name in state and tuple(state[name].shape) != expected[name]]
    if missing:
        raise TagBoxError(f"{what} lacks {missing[0]} ({len(missing)} missing); it is of another model")
    if unknown:
        raise TagBoxError(
            f"{what} has an unknown {unknown[0]} ({len(unknown)} unknown); it is of another model"
        )
    if wrong:
        name = wrong[0]
        raise TagBoxError(
            f"{what}: {name} has shape {tuple(state[name].shape)} where {expected[name]} is expected; "
            "it is of another model"
        )


def assemble(
    name: str,
    state: Mapping[str, Tensor],
    design: VQVAEConfig,
    device: torch.device | str,
    weights_hash: str,
    licence: str,
) -> VQVAEGenerator:
    """A frozen generator of checked weights, in float32."""
    model = _on_meta(design)
    check_shapes(state, shapes(model), name)
    model.load_state_dict({key: value.float() for key, value in state.items()}, assign=True)
    return VQVAEGenerator(name, model.eval().requires_grad_(False).to(device), weights_hash, licence)


def _on_meta(design: VQVAEConfig) -> VQVAE:
    """The model without memory for its weights: drawing them at random would only cost time."""
    with torch.device("meta"):
        return VQVAE(design)


def read(path: Path, name: str, device: torch.device | str = "cpu") -> VQVAEGenerator:
    """The generator in a file that `write` made.

    Raises:
        TagBoxError: there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise TagBoxError(
            f"there is no generator {path}; train one with: tagbox train-generator FOLDER -o {path}"
        )
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
        state = load_file(path)
        raw: dict[str, Any] = json.loads(about["design"])
        values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in raw.items()}
        design = VQVAEConfig(**values)
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise TagBoxError(
            f"{path} holds no generator; give a file that tagbox train-generator wrote"
        ) from error
    weights_hash = hashlib.sha256(path.read_bytes()).hexdigest()
    return assemble(name, state, design, device, weights_hash, about.get("licence", "unknown"))


def write(model: VQVAE, path: Path, licence: str, notes: Mapping[str, str], force: bool = False) -> None:
    """Keep a model as float16 safetensors with its design, licence and `notes`, whole or not at all."""
    state = {name: value.detach().cpu().half().contiguous() for name, value in model.state_dict().items()}
    about = {
        **notes,
        "design": json.dumps(asdict(model.design)),
        "licence": licence,
        "format": "tagbox-vqvae",
    }
    with write_atomically(path, force) as beside:
        save_file(state, beside, metadata=about)
