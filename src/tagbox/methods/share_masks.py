r"""Masks from the share network's answers: which part of every moment and band each source gets.

The network answers with shares :math:`p_c` of its classes for every patch. As in `gate_inference`, they are
weighted by a class prior, here the root of each class's mean share :math:`m_c` in the recording:

.. math::  q_c \propto p_c \sqrt{m_c}

What was asked for is present: a source whose classes have less than `LEAST_ASKED` of the recording's energy
together is taken to have that much. A source gets the sum of :math:`q_c` over its classes, and the residual
what remains, so that all masks of a patch add up to one. Alone, the odds of a source with a small part
:math:`\pi_s` of the energy are raised by :math:`\sqrt{(1 - \pi_s) / \pi_s}`: the network claims too little.

Components say something else about the same points, and err elsewhere. Taken as independent, the two
multiply: with the masks :math:`a_s` of the network and :math:`b_s` of components, and the source's part
:math:`\pi_s` of the energy, which both know and which may count only once,

.. math::  q_s \propto a_s^{0.7} b_s \frac{1 - \pi_s}{\pi_s}, \qquad
           q_{residual} \propto a_{residual}^{0.7} b_{residual}

(Bayes' rule; Hinton, "Training products of experts", 2002; the exponent is a temperature, as the network is
too sure). Where one is unsure, the other decides; a mean would leave half of what the unsure one says.
:math:`\pi_s` is the mean of :math:`\sqrt{a_s b_s}`, made to add up to one, over all points by their energy,
within `PART_LIMITS`.
"""

import torch
from torch import Tensor
from torch.nn import functional

from tagbox.methods.analysis import with_residual
from tagbox.taggers.networks.share_unet import GRID, Grid, power

PRIOR_EXPONENT = 0.5
"""Of a class's mean share in the recording."""
LEAST_ASKED = 0.3
"""The mean share that a source has at least, as far as the prior is concerned."""
PART_LIMITS = (0.1, 0.5)
"""Within which a source's part of the energy is taken to be."""
NETWORK_EXPONENT = 0.7
"""Of the network's masks where they are multiplied with those of components."""
ALONE_EXPONENT = 0.5
"""Of the odds by which the network's masks are raised where they stand alone."""
SUREST = 1e-4
"""The least that a mask gives to a source before it is multiplied with another."""
EPSILON = 1e-12


def source_shares(
    answers: Tensor, energy: Tensor, classes: Tensor, recording_shares: Tensor | None = None
) -> Tensor:
    """Divide every patch among the sources and the residual.

    Args:
        answers: the network's shares, (classes, rows, columns), adding up to one.
        energy: of the patches, (rows, columns).
        classes: which classes each source is made of, multi-hot (sources, classes).
        recording_shares: each class's part of the energy of the recording of which this is a segment,
            (classes,); of the segment itself unless given.

    Returns:
        (sources and residual, rows, columns), adding up to one.
    """
    prior = mean_shares(answers, energy) if recording_shares is None else recording_shares.to(answers)
    weight = asked_prior(prior, classes) ** PRIOR_EXPONENT
    weighted = answers * weight[:, None, None]
    weighted = weighted / weighted.sum(dim=0, keepdim=True).clamp(min=EPSILON)
    # A class that several sources asked for is divided among them.
    divided = classes / classes.sum(dim=0, keepdim=True).clamp(min=1)
    sources = torch.einsum("sc,crt->srt", divided, weighted)
    return with_residual(sources)


def mean_shares(answers: Tensor, energy: Tensor) -> Tensor:
    """Average shares (classes, rows, columns) over patches, weighted by their energy: (classes,)."""
    return torch.einsum("crt,rt->c", answers, energy / energy.sum().clamp(min=EPSILON))


def asked_prior(prior: Tensor, classes: Tensor) -> Tensor:
    """Raise a prior (classes,) where the classes of a source (sources, classes) are too small together."""
    present = (classes @ prior).clamp(min=EPSILON)
    factors = (LEAST_ASKED / present).clamp(min=1)
    raised = torch.where(classes > 0, factors[:, None], torch.ones_like(classes)).amax(dim=0)
    return prior.clamp(min=EPSILON) * raised


def masks_of(estimates: Tensor, spectrum: Tensor, grid: Grid = GRID) -> Tensor:
    """Measure which part of every bin and frame estimates have, from 0 to 1.

    Args:
        estimates: (sources, channels, samples).
        spectrum: of the mixture, (channels, bins, frames).
        grid: of the spectrum.

    Returns:
        (sources and residual, bins, frames), adding up to one.
    """
    energy = power(spectrum).sum(dim=0).clamp(min=EPSILON)
    padded = functional.pad(estimates, (0, max(0, grid.fft - estimates.shape[-1])))
    shared = torch.stack([(grid.stft(own[None])[0] * spectrum.conj()).real.sum(dim=0) for own in padded])
    sources = (shared / energy).clamp(0, 1)
    sources = sources / sources.sum(dim=0, keepdim=True).clamp(min=1)
    return with_residual(sources)


def product_of_masks(network: Tensor, components: Tensor, energy: Tensor) -> Tensor:
    """Multiply what the network and components say of every point.

    Args:
        network: masks (sources and residual, bins, frames), adding up to one.
        components: likewise.
        energy: of the mixture, (bins, frames).

    Returns:
        masks, likewise.
    """
    network, components = network.clamp(min=SUREST), components.clamp(min=SUREST)
    mean = (network * components).sqrt()
    part = parts_of_energy(mean / mean.sum(dim=0, keepdim=True), energy)
    return raised(network**NETWORK_EXPONENT * components, part)


def raise_small_sources(masks: Tensor, energy: Tensor) -> Tensor:
    """Raise the odds of sources that have little of the energy: the network leaves too much to the residual.

    Args:
        masks: of the network, (sources and residual, bins, frames), adding up to one.
        energy: of the mixture, (bins, frames).

    Returns:
        masks, likewise.
    """
    return raised(masks.clamp(min=SUREST), parts_of_energy(masks, energy), ALONE_EXPONENT)


def parts_of_energy(masks: Tensor, energy: Tensor) -> Tensor:
    """Compute each mask's part of the energy (bins, frames): (sources and residual,)."""
    return torch.einsum("sft,ft->s", masks, energy / energy.sum().clamp(min=EPSILON))


def raised(masks: Tensor, part: Tensor, exponent: float = 1.0) -> Tensor:
    """Multiply sources by the odds against their `part` of the energy, within `PART_LIMITS`, and normalise.

    The last of the masks is the residual's, which is not raised.
    """
    odds = (1 / part[:-1].clamp(*PART_LIMITS) - 1) ** exponent
    weighted = torch.cat([masks[:-1] * odds[:, None, None], masks[-1:]])
    return weighted / weighted.sum(dim=0, keepdim=True)


def apply_masks(masks: Tensor, spectrum: Tensor, samples: int, grid: Grid = GRID) -> Tensor:
    """Apply masks (sources, bins, frames) to a mixture's (channels, bins, frames)."""
    return torch.cat([grid.istft((mask * spectrum)[None], samples) for mask in masks])
