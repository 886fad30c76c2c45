"""Quantisers, by name: what maps the latents that are steered to the latents that are decoded."""

from collections.abc import Callable

import torch
from torch import Tensor

from tagbox.errors import TagBoxError
from tagbox.generators import ema_codebook
from tagbox.generators.base import CodebookGenerator, Generator
from tagbox.generators.ema_codebook import EmaCodebook
from tagbox.kernels.nearest_entries import nearest_entries

Quantiser = Callable[[Tensor], Tensor]
"""Latents (batch, dimensions, frames) to latents to decode, of the same shape; gradients pass."""


def straight_through(latents: Tensor, entries: Tensor) -> Tensor:
    """Return the value of `entries` with the gradient of `latents` (Bengio et al. 2013, arXiv 1308.3432)."""
    return latents + (entries - latents).detach()


class OwnQuantiser:
    """Quantise as the generator itself does, with codebooks that never change."""

    def __init__(self, generator: Generator, level: int) -> None:
        self._generator = generator
        self._level = level

    def __call__(self, latents: Tensor) -> Tensor:
        """Return what the nearest codes stand for, straight through."""
        with torch.no_grad():
            entries = self._generator.quantise(latents.detach(), self._level)[1]
        return straight_through(latents, entries)


class TrainingModeQuantiser:
    """Quantise as the published code does, which leaves the quantiser in training mode.

    The first call replaces the generator's codebook by random latents of the recording. Every call then
    updates the codebook by moving averages and replaces unused entries. So one frozen "weight" of the
    generator does change.

    Attributes:
        averages: the present codebook; None before the first call.
    """

    def __init__(self, generator: CodebookGenerator, level: int, seed: int) -> None:
        self._entries = len(generator.codebook(level))
        self._random = torch.Generator().manual_seed(seed)
        self.averages: EmaCodebook | None = None

    def __call__(self, latents: Tensor) -> Tensor:
        """Return the nearest entries of the codebook as it was before this call, straight through."""
        flat = latents.detach().transpose(1, 2).flatten(0, 1)
        averages = self.averages or ema_codebook.initial_codebook(flat, self._entries, self._random)
        codes, entries = nearest_entries(latents.detach(), averages.codebook)
        self.averages = ema_codebook.update_codebook(averages, flat, codes.flatten(), self._random)
        return straight_through(latents, entries)


def unquantised(latents: Tensor) -> Tensor:
    """Return the latents themselves."""
    return latents


def make_quantiser(name: str, generator: Generator, level: int, seed: int) -> Quantiser:
    """Make the quantiser called "straight-through", "none" or "published", fresh for one run.

    Raises:
        TagBoxError: there is none of that name, or the generator has no codebook that it could replace.
    """
    if name == "straight-through":
        return OwnQuantiser(generator, level)
    if name == "published":
        if not isinstance(generator, CodebookGenerator):
            raise TagBoxError(
                f"the published quantiser replaces a generator's one codebook, which {generator.name} does "
                "not have; give --quantiser straight-through or none"
            )
        return TrainingModeQuantiser(generator, level, seed)
    if name == "none":
        return unquantised
    raise TagBoxError(f"no quantiser is called {name!r}; choose straight-through, none or published")
