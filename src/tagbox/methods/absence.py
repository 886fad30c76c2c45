r"""Decide which of the sources that were asked for a mixture does not have.

Asked for an instrument that does not play, every method gives the most similar sound. Two things tell: how
sure the share network is where it claims the source (with the patches' energies :math:`e_p` and the shares
:math:`q_p` of the source's classes)

.. math::  u = \sum_p e_p q_p^2 / \sum_p e_p q_p,

and which share :math:`v` of the estimate's energy the listener takes for the source. Both are joined by
logistic regression: the source is absent where

.. math::  w_u \operatorname{logit} u + w_v \operatorname{logit} v + b < -c.

The weights are those that `python -m benchmarks.absent --fit` learns from the development data; c has it err
on the side of presence, for a source that is silenced wrongly is lost.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tagbox.methods.analysis import Adjustments
from tagbox.methods.gate_inference import component_shares, target_classes
from tagbox.taggers.tagger import Tagger

WEIGHT_OF_SURENESS = 2.0
WEIGHT_OF_PREDICTION = 0.9
BIAS = 6.9
CAUTION = 0.75
"""Log-odds: what is silenced is at least twice as likely to be absent as to be present."""
SMALLEST_SHARE = 1e-4
"""Whose log-odds are taken."""
EPSILON = 1e-12


def sureness(answers: Tensor, energy: Tensor, classes: Tensor) -> Tensor:
    """Measure how sure the share network is where it claims each source, from 0 to 1: (sources,).

    Args:
        answers: the network's shares of classes, (classes, rows, columns), adding up to one.
        energy: of the patches, (rows, columns).
        classes: which classes each source is made of, multi-hot (sources, classes).
    """
    claimed = torch.einsum("sc,crt->srt", classes, answers)
    weighted = claimed * energy
    return (claimed * weighted).sum(dim=(1, 2)) / weighted.sum(dim=(1, 2)).clamp(min=EPSILON)


def predicted_shares(
    estimates: Tensor, rate: int, tagger: Tagger, tags: Sequence[Sequence[str]], padding: str
) -> Tensor:
    """Predict which share of each estimate's energy is what it should be, (sources,).

    Args:
        estimates: mono, (sources, samples).
        rate: of the estimates, Hz.
        tagger: one that predicts shares.
        tags: of its vocabulary, those that each source means.
        padding: of the tagger's windows.
    """
    shares, _ = component_shares(estimates, tagger, padding, rate)
    return (target_classes(tagger, tags) * shares).sum(dim=1)


def log_odds_of_presence(sureness: Tensor, predicted: Tensor) -> Tensor:
    """Compute how likely sources are to be in the mixture, as log-odds (sources,).

    Args:
        sureness: of the share network, see above.
        predicted: which share of each estimate the listener takes for the source.
    """
    sure, heard = (
        torch.logit(each.clamp(SMALLEST_SHARE, 1 - SMALLEST_SHARE)) for each in (sureness, predicted)
    )
    return WEIGHT_OF_SURENESS * sure + WEIGHT_OF_PREDICTION * heard + BIAS


def silenced(masks: Tensor, absent: Sequence[int]) -> Tensor:
    """Give all that absent sources have, by number, to the residual.

    Args:
        masks: (sources and residual, ...), adding up to one.

    Returns:
        masks, likewise.
    """
    if not absent:
        return masks
    result = masks.clone()
    result[-1] += masks[list(absent)].sum(dim=0)
    result[list(absent)] = 0
    return result


def still_absent(absent: Sequence[int], adjustments: Adjustments) -> tuple[int, ...]:
    """Leave out the sources that somebody has said to be there."""
    there = {span.source for span in adjustments.spans if span.log_odds > 0}
    there |= {edit.source for edit in adjustments.edits if not edit.takes}
    there |= set(adjustments.moved.values())
    return tuple(source for source in absent if source not in there)
