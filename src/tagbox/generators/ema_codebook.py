r"""A codebook that learns by exponential moving averages.

From van den Oord et al. 2017, arXiv 1711.00937, appendix A. Each entry k is the average of the latents z that
were quantised to it, with a decay of :math:`\gamma = 0.99`:

.. math::
    N \leftarrow \gamma N + (1-\gamma)\,n, \quad m \leftarrow \gamma m + (1-\gamma) \sum z, \quad k = m / N

An entry that hardly any latent is quantised to is replaced by a latent of the present batch, as in Jukebox.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

DECAY = 0.99
MIN_USES = 1.0
"""Average uses in a step below which an entry is replaced."""

NOISE_SCALE = 0.01
"""Standard deviation of the noise on latents that are drawn more than once, times the square root of their
dimensions."""


@dataclass(frozen=True)
class EmaCodebook:
    """A codebook and the moving averages that it is computed from.

    Attributes:
        sums: of the latents that were quantised to each entry, (entries, dimensions).
        uses: how many those were, (entries,).
        codebook: (entries, dimensions).
    """

    sums: Tensor
    uses: Tensor
    codebook: Tensor


def sample_latents(latents: Tensor, entries: int, random: torch.Generator) -> Tensor:
    """Draw `entries` of the `latents` (count, dimensions); too few are repeated with a little noise."""
    if len(latents) < entries:
        tiled = latents.repeat(-(-entries // len(latents)), 1)
        noise = torch.randn(tiled.shape, generator=random).to(tiled)
        latents = tiled + NOISE_SCALE / latents.shape[1] ** 0.5 * noise
    order = torch.randperm(len(latents), generator=random)[:entries]
    return latents[order.to(latents.device)]


def initial_codebook(latents: Tensor, entries: int, random: torch.Generator) -> EmaCodebook:
    """Make a codebook of `entries` of the `latents` (count, dimensions), each as if used once."""
    chosen = sample_latents(latents, entries, random)
    return EmaCodebook(chosen, torch.ones(entries, device=latents.device), chosen)


@torch.no_grad()
def update_codebook(
    averages: EmaCodebook, latents: Tensor, codes: Tensor, random: torch.Generator
) -> EmaCodebook:
    """Update by `latents` (count, dimensions) that were quantised to the entries `codes` (count,)."""
    entries = len(averages.uses)
    uses = torch.bincount(codes, minlength=entries).to(latents)
    sums = torch.zeros_like(averages.sums).index_add_(0, codes, latents)
    sums = DECAY * averages.sums + (1 - DECAY) * sums
    uses = DECAY * averages.uses + (1 - DECAY) * uses
    in_use = (uses >= MIN_USES)[:, None]
    codebook = torch.where(
        in_use, sums / uses.clamp(min=MIN_USES)[:, None], sample_latents(latents, entries, random)
    )
    return EmaCodebook(sums, uses, codebook)
