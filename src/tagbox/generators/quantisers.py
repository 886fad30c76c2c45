"""What stands between the latents that move and the latents that are decoded, by name."""

from collections.abc import Callable

import torch
from torch import Tensor

from tagbox.errors import TagBoxError
from tagbox.generators import ema_codebook
from tagbox.generators.base import Generator
from tagbox.generators.ema_codebook import EmaCodebook
from tagbox.generators.vqvae import nearest

Quantiser = Callable[[Tensor], Tensor]
"""Latents (1, dimensions, frames) to latents to decode, same shape; gradients pass."""


def straight_through(latents: Tensor, entries: Tensor) -> Tensor:
    """The value of `entries` with the gradient of `latents` (Bengio et al. 2013, arXiv 1308.3432)."""
    return latents + (entries - latents).detach()


class FixedCodebook:
    """The generator's own codebook, which never changes."""

    def __init__(self, generator: Generator, level: int) -> None:
        self._codebook = generator.codebook(level)

    def __call__(self, latents: Tensor) -> Tensor:
        """The nearest entries, straight through."""
        return straight_through(latents, nearest(latents.detach(), self._codebook)[1])


class TrainingModeQuantiser:
    """What the published code does by leaving the quantiser in training mode.

    The first call throws the generator's codebook away for random latents of the recording; every call then
    moves the codebook by averages and revives dead entries. "The weights never change" does not hold here.

    Attributes:
        averages: the codebook as it is now; None before the first call.
    """

    def __init__(self, generator: Generator, level: int, seed: int) -> None:
        self._entries = len(generator.codebook(level))
        self._random = torch.Generator().manual_seed(seed)
        self.averages: EmaCodebook | None = None

    def __call__(self, latents: Tensor) -> Tensor:
        """The nearest entries of the codebook as it was before this call, straight through."""
        flat = latents.detach().transpose(1, 2).flatten(0, 1)
        now = self.averages or ema_codebook.begin(flat, self._entries, self._random)
        codes, entries = nearest(latents.detach(), now.codebook)
        self.averages = ema_codebook.update(now, flat, codes.flatten(), self._random)
        return straight_through(latents, entries)


def continuous(latents: Tensor) -> Tensor:
    """No quantiser: the latents themselves."""
    return latents


def make_quantiser(name: str, generator: Generator, level: int, seed: int) -> Quantiser:
    """The quantiser called "straight-through", "none" or "published", fresh for one run.

    Raises:
        TagBoxError: there is none of that name.
    """
    if name == "straight-through":
        return FixedCodebook(generator, level)
    if name == "published":
        return TrainingModeQuantiser(generator, level, seed)
    if name == "none":
        return continuous
    raise TagBoxError(f"no quantiser is called {name!r}; choose straight-through, none or published")
