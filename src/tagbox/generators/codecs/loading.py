"""Fill networks of transformers and diffusers with weights: data alone, every name and shape checked.

The libraries' own `from_pretrained` draws at random what a file lacks, and says so in passing.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, remove_weight_norm

from tagbox.errors import InvalidWeightsError
from tagbox.plugins.descriptions import Model
from tagbox.snapshots import read_snapshot
from tagbox.state_dict import check_state_dict

WEIGHT_NORM_SUFFIXES = (
    (".weight_g", ".weight_v"),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)
"""What length and direction of a weight are called, in PyTorch's older and newer weight normalisation."""


def load_network(
    model: Model,
    path: Path,
    device: torch.device | str,
    build: Callable[[dict[str, Any]], Any],
    kind: str,
) -> tuple[Any, str]:
    """Load a frozen network from the folder `path`; return it and the SHA-256 of its weights.

    Args:
        model: whose network it is.
        path: of a folder with config.json and weights.
        device: where the network is to be.
        build: builds the network, without its weights, by the content of config.json.
        kind: of the network, for messages.

    Raises:
        InvalidWeightsError: its settings or weights are another model's.
    """
    snapshot = read_snapshot(path, model.identifier)
    try:
        network = build(snapshot.config)
    except Exception as error:
        # The libraries check settings by several kinds of errors, some of their own.
        raise InvalidWeightsError(f"config.json of {model.identifier} describes no {kind}") from error
    fill(network, snapshot.weights, model.identifier)
    return network.to(device), snapshot.sha256


def fill(network: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Load `weights` into `network` in float32, and freeze it.

    Weight normalisation (Salimans and Kingma 2016, arXiv 1602.07868) is computed once and for all.

    Args:
        network: on the device "meta" or on any other.
        weights: by their published names.
        name: of the model, for messages.

    Raises:
        InvalidWeightsError: they are another model's.
    """
    _remove_weight_norm(network)
    state = {key: _float32(value) for key, value in fold_weight_norm(weights).items()}
    expected = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    check_state_dict(state, expected, "this repository", name)
    network.load_state_dict(state, assign=True)
    network.eval().requires_grad_(False)
    for module in network.modules():
        # cuDNN computes gradients of recurrent layers in training mode only. They have no dropout here.
        if isinstance(module, nn.RNNBase):
            module.train()


def fold_weight_norm(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `weights` with each pair of length and direction multiplied into one weight."""
    folded = dict(weights)
    for length, direction in WEIGHT_NORM_SUFFIXES:
        for key in weights:
            stem = key.removesuffix(length)
            if stem != key and stem + direction in weights:
                g, v = folded.pop(key).float(), folded.pop(stem + direction).float()
                folded[f"{stem}.weight"] = torch._weight_norm(v, g, 0)
    return folded


def _remove_weight_norm(network: nn.Module) -> None:
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
        elif hasattr(module, "weight_g"):
            remove_weight_norm(module)


def _float32(weight: Tensor) -> Tensor:
    return weight.float() if weight.is_floating_point() else weight
