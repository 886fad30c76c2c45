r"""Non-negative matrix factorisation of a magnitude spectrogram.

A spectrogram V (bins, frames) is written as W H with K spectral shapes W (bins, K) that come and go with
activations H (K, frames), by multiplicative updates that never raise the Kullback-Leibler divergence
(Lee and Seung 2001, "Algorithms for non-negative matrix factorization"):

.. math::
    H \leftarrow H \odot \frac{W^T (V / WH)}{W^T 1}, \qquad W \leftarrow W \odot \frac{(V / WH) H^T}{1 H^T}

Component k then owns the share :math:`w_k h_k / WH` of each time-frequency point (a Wiener mask), so the
components add up to the mixture exactly.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

TINY = 1e-8
AT_ONCE = 4
"""Components: the spectrograms of all are many times the recording."""


def factorise(magnitude: Tensor, components: int, iterations: int, seed: int) -> tuple[Tensor, Tensor]:
    """Shapes (bins, components) and activations (components, frames) of `magnitude` (bins, frames).

    The same seed gives the same components on every device: the start is drawn on the CPU.
    """
    bins, frames = magnitude.shape
    random = torch.Generator().manual_seed(seed)
    scale = (magnitude.mean() / components).sqrt()
    shapes = (torch.rand(bins, components, generator=random) + 0.1).to(magnitude) * scale
    activations = (torch.rand(components, frames, generator=random) + 0.1).to(magnitude) * scale
    for _ in range(iterations):
        ratio = magnitude / (shapes @ activations + TINY)
        activations = activations * (shapes.T @ ratio) / (shapes.sum(dim=0)[:, None] + TINY)
        ratio = magnitude / (shapes @ activations + TINY)
        shapes = shapes * (ratio @ activations.T) / (activations.sum(dim=1)[None, :] + TINY)
    return shapes, activations


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


def shares_in_turn(shapes: Tensor, activations: Tensor) -> Iterator[Tensor]:
    """What `shares` gives, a few components at a time: each (some components, bins, frames)."""
    everything = shapes @ activations + TINY * shapes.shape[1]
    for some, when in zip(torch.split(shapes.T, AT_ONCE), torch.split(activations, AT_ONCE), strict=True):
        yield (some[:, :, None] * when[:, None, :] + TINY) / everything
