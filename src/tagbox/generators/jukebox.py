"""OpenAI's Jukebox ("5b"), for noncommercial use. Its weights are not part of TagBox: users fetch them."""

import hashlib
from pathlib import Path

import torch
from safetensors.torch import load_file

from tagbox.generators import pretrained
from tagbox.generators.pretrained import VQVAEGenerator
from tagbox.generators.vqvae import JUKEBOX
from tagbox.plugins.descriptions import Model

LICENCE = "Jukebox Noncommercial Use License (covers what is made with it, too)"


def expected_shapes(model: Model | None = None) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of Jukebox's weights."""
    return pretrained.expected_shapes(JUKEBOX)


def load_jukebox(model: Model, path: Path, device: torch.device | str = "cpu") -> VQVAEGenerator:
    """Load Jukebox from weights in a safetensors file.

    Raises:
        InvalidWeightsError: they are another model's.
    """
    weights_hash = hashlib.sha256(path.read_bytes()).hexdigest()
    return pretrained.from_state_dict("jukebox", load_file(path), JUKEBOX, device, weights_hash, LICENCE)
