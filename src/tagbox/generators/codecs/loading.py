"""Fill networks of transformers and diffusers with weights: data alone, every name and shape checked.

The libraries' own `from_pretrained` draws at random what a file lacks, and says so in passing.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize, remove_weight_norm

from tagbox.state_dict import check_state_dict

WEIGHT_NORM_SUFFIXES = (
    (".weight_g", ".weight_v"),
    (".parametrizations.weight.original0", ".parametrizations.weight.original1"),
)
"""What length and direction of a weight are called, in PyTorch's older and newer weight normalisation."""


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
