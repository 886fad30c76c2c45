r"""Non-negative matrix factorisation of a magnitude spectrogram.

A spectrogram V (bins, frames) is approximated by W H, a dictionary W (bins, K) of K spectral shapes and their
activations H (K, frames), by multiplicative updates that never raise the Kullback-Leibler divergence
(Lee and Seung 2001, "Algorithms for non-negative matrix factorization"):

.. math::
    H \leftarrow H \odot \frac{W^T (V / WH)}{W^T 1}, \qquad W \leftarrow W \odot \frac{(V / WH) H^T}{1 H^T}

Component k then owns the share :math:`w_k h_k / WH` of each time-frequency point (a Wiener mask), so the
components add up to the mixture exactly.

The divergence is the likelihood of Poisson counts with means WH, and sums of Poisson counts are Poisson
counts with the sums of the means. So bins can be pooled, and a pooled dictionary times H be fitted to the
pooled counts: it is the same model at a lower resolution. That is done with the highest five eighths of the
bins (above 8 kHz at 44.1 kHz), where notes have no bins of their own any more; eight become one, which leaves
less than half of the rows. The dictionary's pooled rows are refined bin by bin at the end: with H given, each
bin is a convex problem by itself.
"""

import torch
from torch import Tensor
from torch.nn import functional

EPSILON = 1e-8
FINE_SHARE = 3 / 8
"""Of the bins: the lowest, which are never pooled."""
POOLED_BINS = 8
"""Bins that are summed to one row."""
REFINEMENTS = 8
"""Updates of each pooled bin's row, which begins as an eighth of the pooled one."""


def factorise(magnitude: Tensor, components: int, iterations: int, seed: int) -> tuple[Tensor, Tensor]:
    """Factorise `magnitude` (bins, frames).

    Returns:
        the dictionary (bins, components) and the activations (components, frames). The same seed gives the
        same ones on every device: the start is drawn on the CPU.
    """
    bins, frames = magnitude.shape
    fine = round(FINE_SHARE * bins)
    random = torch.Generator().manual_seed(seed)
    scale = (magnitude.mean() / components).sqrt()
    dictionary = _pool((torch.rand(bins, components, generator=random) + 0.1).to(magnitude) * scale, fine)
    activations = (torch.rand(components, frames, generator=random) + 0.1).to(magnitude) * scale
    pooled = _pool(magnitude, fine)
    ratio = torch.empty_like(pooled)
    for _ in range(iterations):
        _divide_by_model(pooled, dictionary, activations, ratio)
        activations.mul_(dictionary.T @ ratio).div_(dictionary.sum(dim=0)[:, None] + EPSILON)
        _divide_by_model(pooled, dictionary, activations, ratio)
        dictionary.mul_(ratio @ activations.T).div_(activations.sum(dim=1)[None, :] + EPSILON)
    high = dictionary[fine:].repeat_interleave(POOLED_BINS, dim=0)[: bins - fine] / POOLED_BINS
    ratio = torch.empty_like(magnitude[fine:])
    for _ in range(REFINEMENTS):
        _divide_by_model(magnitude[fine:], high, activations, ratio)
        high.mul_(ratio @ activations.T).div_(activations.sum(dim=1)[None, :] + EPSILON)
    return torch.cat([dictionary[:fine], high]), activations


def _pool(rows: Tensor, fine: int) -> Tensor:
    """Keep the first `fine` of `rows` (bins, columns) and sum the others, `POOLED_BINS` at a time."""
    padded = functional.pad(rows[fine:], (0, 0, 0, (fine - len(rows)) % POOLED_BINS))
    return torch.cat([rows[:fine], padded.reshape(-1, POOLED_BINS, rows.shape[1]).sum(dim=1)])


def _divide_by_model(magnitude: Tensor, dictionary: Tensor, activations: Tensor, ratio: Tensor) -> None:
    """Write `magnitude` over its model into `ratio`: allocating at every update costs more than the sums."""
    torch.mm(dictionary, activations, out=ratio)
    torch.div(magnitude, ratio.add_(EPSILON), out=ratio)


def infer_activations(magnitude: Tensor, dictionary: Tensor, iterations: int) -> Tensor:
    """Infer the activations of `magnitude` (bins, frames) for a `dictionary` (bins, components).

    Only the first of the two updates is made: a convex problem for every frame by itself, so a frame's
    activations depend on no other frame, and a recording may be cut between any two.

    Returns:
        (components, frames).
    """
    activations = magnitude.mean(dim=0, keepdim=True).expand(dictionary.shape[1], -1)
    norms = dictionary.sum(dim=0)[:, None] + EPSILON
    for _ in range(iterations):
        activations = (
            activations * (dictionary.T @ (magnitude / (dictionary @ activations + EPSILON))) / norms
        )
    return activations


def gate_mask(dictionary: Tensor, activations: Tensor, gates: Tensor) -> Tensor:
    """Compute the mask (bins, frames) that `gates` (components,) make.

    It is the sum of `component_masks` weighted by the gates, without a mask for every component in memory.
    """
    gated = (dictionary * gates) @ activations + EPSILON * gates.sum()
    return gated / (dictionary @ activations + EPSILON * dictionary.shape[1])


def component_masks(dictionary: Tensor, activations: Tensor) -> Tensor:
    """Compute each component's mask, (components, bins, frames), adding up to one."""
    parts = dictionary.T[:, :, None] * activations[:, None, :] + EPSILON
    return parts / parts.sum(dim=0, keepdim=True)
