"""The state of a training that can be stopped and gone on with at any moment."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass
class Progress:
    """How far a training is.

    Attributes:
        step: lessons so far.
        minutes: that were spent on them, over all sittings.
        loss: the running mean of the divergence between classes.
    """

    step: int = 0
    minutes: float = 0.0
    loss: float = 0.0


def averaged(average: dict[str, Tensor], network: nn.Module, step: int, slowest: float) -> None:
    """Move the averaged weights towards the network's, quickly at first."""
    decay = min(slowest, (step + 1) / (step + 10))
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if value.is_floating_point():
                average[key].lerp_(value, 1 - decay)
            else:
                average[key].copy_(value)


def save(
    path: Path,
    network: nn.Module,
    average: dict[str, Tensor],
    optimiser: torch.optim.Optimizer,
    progress: Progress,
    numbers: np.random.Generator,
    random: torch.Generator,
) -> None:
    """Write everything whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".part")
    torch.save(
        {
            "network": network.state_dict(),
            "average": average,
            "optimiser": optimiser.state_dict(),
            "progress": asdict(progress),
            "numbers": numbers.bit_generator.state,
            "random": random.get_state(),
        },
        beside,
    )
    beside.replace(path)


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """Read what `save` wrote."""
    state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    return state
