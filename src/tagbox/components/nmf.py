r"""Non-negative matrix factorisation of a magnitude spectrogram.

A spectrogram V (bins, frames) is written as W H with K spectral shapes W (bins, K) that come and go with
activations H (K, frames), by multiplicative updates that never raise the Kullback-Leibler divergence
(Lee and Seung 2001, "Algorithms for non-negative matrix factorization"):

.. math::
    H \leftarrow H \odot \frac{W^T (V / WH)}{W^T 1}, \qquad W \leftarrow W \odot \frac{(V / WH) H^T}{1 H^T}

Component k then owns the share :math:`w_k h_k / WH` of each time-frequency point (a Wiener mask), so the
components add up to the mixture exactly.

The divergence is the likelihood of Poisson counts with means WH, and sums of Poisson counts are Poisson
counts with the sums of the means. So bins can be pooled, and pooled shapes times H be fitted to the pooled
counts: it is the same model, seen less finely. That is done with the highest five eighths of the bins (above
8 kHz at 44.1 kHz), where notes have no bins of their own any more; eight become one, which leaves less than
half of the rows. Their shapes are found bin by bin at the end: with H given, each bin is a convex problem by
itself.
"""

import torch
from torch import Tensor
from torch.nn import functional

TINY = 1e-8
FINE = 3 / 8
"""Of the bins: those that are never pooled."""
POOLED = 8
"""Bins as one row."""
REFINED = 8
"""Updates of the shapes of pooled bins, each from an eighth of its row."""


def factorise(magnitude: Tensor, components: int, iterations: int, seed: int) -> tuple[Tensor, Tensor]:
    """Shapes (bins, components) and activations (components, frames) of `magnitude` (bins, frames).

    The same seed gives the same components on every device: the start is drawn on the CPU.
    """
    bins, frames = magnitude.shape
    fine = round(FINE * bins)
    random = torch.Generator().manual_seed(seed)
    scale = (magnitude.mean() / components).sqrt()
    shapes = _pooled((torch.rand(bins, components, generator=random) + 0.1).to(magnitude) * scale, fine)
    activations = (torch.rand(components, frames, generator=random) + 0.1).to(magnitude) * scale
    pooled = _pooled(magnitude, fine)
    ratio = torch.empty_like(pooled)
    for _ in range(iterations):
        _compare(pooled, shapes, activations, ratio)
        activations.mul_(shapes.T @ ratio).div_(shapes.sum(dim=0)[:, None] + TINY)
        _compare(pooled, shapes, activations, ratio)
        shapes.mul_(ratio @ activations.T).div_(activations.sum(dim=1)[None, :] + TINY)
    above = shapes[fine:].repeat_interleave(POOLED, dim=0)[: bins - fine] / POOLED
    ratio = torch.empty_like(magnitude[fine:])
    for _ in range(REFINED):
        _compare(magnitude[fine:], above, activations, ratio)
        above.mul_(ratio @ activations.T).div_(activations.sum(dim=1)[None, :] + TINY)
    return torch.cat([shapes[:fine], above]), activations


def _pooled(rows: Tensor, fine: int) -> Tensor:
    """The first `fine` of `rows` (bins, columns), then sums of `POOLED` each; the last has what is left."""
    filled = functional.pad(rows[fine:], (0, 0, 0, (fine - len(rows)) % POOLED))
    return torch.cat([rows[:fine], filled.reshape(-1, POOLED, rows.shape[1]).sum(dim=1)])


def _compare(magnitude: Tensor, shapes: Tensor, activations: Tensor, ratio: Tensor) -> None:
    """Put `magnitude` over its model into `ratio`: fresh memory at every update costs more than the sums."""
    torch.mm(shapes, activations, out=ratio)
    torch.div(magnitude, ratio.add_(TINY), out=ratio)


def activate(magnitude: Tensor, shapes: Tensor, iterations: int) -> Tensor:
    """Activations (components, frames) of `magnitude` (bins, frames) for given `shapes` (bins, components).

    The first of the two updates alone: a convex problem for every frame by itself, so what is found for a
    frame depends on no other frame, and a recording may be cut anywhere between two.
    """
    activations = magnitude.mean(dim=0, keepdim=True).expand(shapes.shape[1], -1)
    norms = shapes.sum(dim=0)[:, None] + TINY
    for _ in range(iterations):
        activations = activations * (shapes.T @ (magnitude / (shapes @ activations + TINY))) / norms
    return activations


def gated_share(shapes: Tensor, activations: Tensor, gates: Tensor) -> Tensor:
    """The part of each point that `gates` (components,) let through, (bins, frames).

    It is the gates' sum over `shares`, without a spectrogram for every component in memory.
    """
    through = (shapes * gates) @ activations + TINY * gates.sum()
    return through / (shapes @ activations + TINY * shapes.shape[1])


def shares(shapes: Tensor, activations: Tensor) -> Tensor:
    """Each component's share of each point, (components, bins, frames), adding up to one."""
    parts = shapes.T[:, :, None] * activations[:, None, :] + TINY
    return parts / parts.sum(dim=0, keepdim=True)
