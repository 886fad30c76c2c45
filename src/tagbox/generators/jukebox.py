"""OpenAI's Jukebox ("5b"), for noncommercial use: the design is here, the weights are the user's to fetch.

The published checkpoint is a dict whose "model" holds the weights, under names that may begin with "module.",
beside entries ("hps", "step", ...) that nothing here needs.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tagbox.errors import TagBoxError
from tagbox.generators import pretrained
from tagbox.generators.pretrained import VQVAEGenerator
from tagbox.generators.vqvae import JUKEBOX

LICENCE = "Jukebox Noncommercial Use License (covers what is made with it, too)"
PREFIX = "module."


def expected_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of Jukebox's weights."""
    return pretrained.expected_shapes(JUKEBOX)


def weights_of(checkpoint: Any) -> dict[str, Tensor]:
    """The weights in a published checkpoint that was read as data.

    Raises:
        TagBoxError: it is something else, or of another model.
    """
    model = checkpoint.get("model") if isinstance(checkpoint, Mapping) else None
    if not isinstance(model, Mapping):
        raise TagBoxError("this checkpoint has no entry 'model'; give Jukebox's vqvae.pth.tar")
    state = {str(name).removeprefix(PREFIX): value for name, value in model.items()}
    other = [name for name, value in state.items() if not isinstance(value, Tensor)]
    if other:
        raise TagBoxError(f"this checkpoint's {other[0]} is no tensor; give Jukebox's vqvae.pth.tar")
    expected = expected_shapes()
    pretrained.check_shapes(state, expected, "this checkpoint")
    return {name: state[name].float().contiguous() for name in expected}


def read(path: Path, device: torch.device | str = "cpu") -> VQVAEGenerator:
    """Jukebox from weights kept as safetensors."""
    weights_hash = hashlib.sha256(path.read_bytes()).hexdigest()
    return pretrained.assemble("jukebox", load_file(path), JUKEBOX, device, weights_hash, LICENCE)
