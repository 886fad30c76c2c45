"""Begin a training with exported weights: the batch norms that were folded in are taken out again."""

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tagbox.taggers.networks.share_unet import Layer, ShareUNet

EPSILON = 1e-5
"""Of the batch norms."""


@torch.no_grad()
def warm_start(network: ShareUNet, weights: Path, heard: list[Tensor]) -> None:
    """Give a network that is learning the weights of one that was folded.

    A folded convolution is normalised already. What its outputs are on average, and how they vary, is
    measured on lessons; a batch norm that takes this out and puts it back again changes no answer.

    Args:
        network: with batch norms; on the device of what is heard.
        weights: as `scripts/export_share_network.py` writes them.
        heard: of some lessons, (mixtures, features, rows, columns) each.

    Raises:
        RuntimeError: the weights are those of another network.
    """
    device = heard[0].device
    plain = ShareUNet().to(device).eval()
    plain.load_state_dict({key: value.float() for key, value in load_file(weights, str(device)).items()})
    made = dict(plain.state_dict())
    for name, (mean, variance) in moments(plain, heard).items():
        bias = made.pop(f"{name}.conv.bias")
        made[f"{name}.norm.running_mean"] = mean
        made[f"{name}.norm.running_var"] = variance
        made[f"{name}.norm.weight"] = (variance + EPSILON).sqrt()
        made[f"{name}.norm.bias"] = bias + mean
        made[f"{name}.norm.num_batches_tracked"] = torch.tensor(len(heard), device=device)
    network.load_state_dict(made)


def moments(network: ShareUNet, heard: list[Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Measure mean and variance of what each layer's convolution makes before its bias, (channels,) each."""
    sums: dict[str, list[Tensor]] = {}

    def listen(name: str, conv: nn.Conv2d) -> None:
        def add(module: nn.Module, given: tuple[Tensor], made: Tensor) -> None:
            del given
            assert isinstance(module, nn.Conv2d) and module.bias is not None
            plain = made.double() - module.bias[:, None, None]
            each = torch.stack([plain.mean(dim=(0, 2, 3)), plain.square().mean(dim=(0, 2, 3))])
            sums.setdefault(name, []).append(each)

        conv.register_forward_hook(add)

    for name, module in network.named_modules():
        if isinstance(module, Layer):
            listen(name, module.conv)
    for one in heard:
        network(one)
    made = {}
    for name, found in sums.items():
        mean, square = torch.stack(found).mean(dim=0)
        made[name] = (mean.float(), (square - mean.square()).clamp(min=0).float())
    return made
