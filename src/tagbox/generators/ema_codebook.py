r"""A codebook that learns by moving averages (van den Oord et al. 2017, arXiv 1711.00937, appendix A).

Each entry is the average of the latents that chose it, with a memory of :math:`\gamma = 0.99`:

.. math::
    N \leftarrow \gamma N + (1-\gamma)\,n, \quad m \leftarrow \gamma m + (1-\gamma) \sum z, \quad k = m / N

An entry that hardly any latent chooses is put where some latent of the present batch is, as Jukebox does.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

MEMORY = 0.99
DEAD = 1.0
"""Average uses a step under which an entry is revived."""
SPREAD = 0.01
"""Of the noise on latents that are drawn more than once, over the square root of their dimensions."""


@dataclass(frozen=True)
class EmaCodebook:
    """Sums of latents (entries, dimensions), uses (entries,), and the codebook (entries, dimensions)."""

    sums: Tensor
    uses: Tensor
    codebook: Tensor


def sample_latents(latents: Tensor, entries: int, random: torch.Generator) -> Tensor:
    """`entries` of the `latents` (count, dimensions) at random; too few are tiled with a little noise."""
    if len(latents) < entries:
        tiled = latents.repeat(-(-entries // len(latents)), 1)
        noise = torch.randn(tiled.shape, generator=random).to(tiled)
        latents = tiled + SPREAD / latents.shape[1] ** 0.5 * noise
    order = torch.randperm(len(latents), generator=random)[:entries]
    return latents[order.to(latents.device)]


def begin(latents: Tensor, entries: int, random: torch.Generator) -> EmaCodebook:
    """A codebook of `entries` of the `latents` (count, dimensions), each as if used once."""
    chosen = sample_latents(latents, entries, random)
    return EmaCodebook(chosen, torch.ones(entries, device=latents.device), chosen)


@torch.no_grad()
def update(averages: EmaCodebook, latents: Tensor, codes: Tensor, random: torch.Generator) -> EmaCodebook:
    """The averages after `latents` (count, dimensions) have chosen the entries `codes` (count,)."""
    entries = len(averages.uses)
    uses = torch.bincount(codes, minlength=entries).to(latents)
    sums = torch.zeros_like(averages.sums).index_add_(0, codes, latents)
    sums = MEMORY * averages.sums + (1 - MEMORY) * sums
    uses = MEMORY * averages.uses + (1 - MEMORY) * uses
    alive = (uses >= DEAD)[:, None]
    codebook = torch.where(
        alive, sums / uses.clamp(min=DEAD)[:, None], sample_latents(latents, entries, random)
    )
    return EmaCodebook(sums, uses, codebook)
