r"""The losses that steering minimises, by name.

An objective has two parts: the signals, made of the estimates and the mixture, that taggers take, and the
loss of their predictions. Signals are stacked as ``(signals, views, samples)`` (a view is one FFT size's
masking of the same source), predictions are one tensor of logits ``(signals, views, windows, tags)`` for each
tagger, and targets one multi-hot ``(sources, tags)`` for each tagger.

The published objective is the binary cross-entropy of the window-averaged probabilities with the selected
tags as ones and *every other tag as zero*, averaged over taggers and FFT sizes:

.. math::  L = -\frac{1}{T}\sum_t y_t \log p_t + (1 - y_t) \log (1 - p_t)

The paper prints gradient *ascent* on it and returns what the mask took out; the published code descends.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tagbox.registry import look_up

Signals = Callable[[Tensor, Tensor], Tensor]
Loss = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class Objective:
    """A loss and the signals that it is computed from.

    Attributes:
        name: in presets and on the command line.
        signals: estimates (sources, views, samples) and the mixture (samples,), or one for each source
            (sources, samples), to signals (signals, views, samples); the first `sources` of them are the
            estimates themselves.
        loss: the taggers' logits and targets to a scalar, lower for better estimates.
        help: one line for people.
        separable: whether the loss is the mean of each source's own.
    """

    name: str
    signals: Signals
    loss: Loss
    help: str
    separable: bool = True


def estimates_only(estimates: Tensor, mixture: Tensor) -> Tensor:
    """Return the estimates and nothing else."""
    return estimates


def estimates_and_remainders(estimates: Tensor, mixture: Tensor) -> Tensor:
    """Return each estimate, then the mixture without it."""
    return torch.cat([estimates, mixture.unsqueeze(-2) - estimates])


def estimates_and_residual(estimates: Tensor, mixture: Tensor) -> Tensor:
    """Return each estimate, then the residual of all of them."""
    return torch.cat([estimates, (mixture - estimates.sum(dim=0))[None]])


def cross_entropy(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Compute the published loss: all tags, probabilities averaged over windows, losses over the rest."""
    losses = []
    for signal_logits, target in zip(logits, targets, strict=True):
        # As torch's BCELoss, the logarithms are held above -100, so that a certain mistake stays finite.
        probabilities = torch.sigmoid(signal_logits).mean(dim=-2)
        expected = target[:, None, :].expand_as(probabilities)
        losses.append(functional.binary_cross_entropy(probabilities, expected))
    return torch.stack(losses).mean()


def cross_entropy_ascent(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Negate the published loss: Algorithm 1 maximises it."""
    return -cross_entropy(logits, targets)


def _target_weights(target: Tensor) -> Tensor:
    """Divide the weight of one among each source's tags (sources, tags); a source without any has none."""
    return target / target.sum(dim=-1, keepdim=True).clamp(min=1)


def _target_logits(logits: Tensor, target: Tensor) -> Tensor:
    """Average the target tags' logits over tags and windows: (sources, signals, views).

    `logits` is (signals, views, windows, tags) and `target` (sources, tags).
    """
    weights = _target_weights(target)
    return torch.einsum("hvwt,st->shv", logits, weights) / logits.shape[-2]


def target_tags(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Compute the cross-entropy of the target tags alone; the other tags are left free."""
    losses = []
    for signal_logits, target in zip(logits, targets, strict=True):
        log_probabilities = torch.log(torch.sigmoid(signal_logits).mean(dim=-2).clamp(min=1e-12))
        weights = _target_weights(target)
        losses.append(-torch.einsum("svt,st->sv", log_probabilities, weights).mean())
    return torch.stack(losses).mean()


def target_logits(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Average the target tags' logits, which do not saturate where the tagger is sure already."""
    losses = []
    for signal_logits, target in zip(logits, targets, strict=True):
        own = torch.diagonal(_target_logits(signal_logits, target), dim1=0, dim2=1)
        losses.append(-own.mean())
    return torch.stack(losses).mean()


def two_sided(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Compare each estimate with its remainder: the tag should be in the one and not in the other."""
    losses = []
    for signal_logits, target in zip(logits, targets, strict=True):
        sources = target.shape[0]
        wanted_logits = _target_logits(signal_logits, target)
        own = torch.diagonal(wanted_logits[:, :sources], dim1=0, dim2=1)
        remainder = torch.diagonal(wanted_logits[:, sources:], dim1=0, dim2=1)
        losses.append((remainder - own).mean())
    return torch.stack(losses).mean()


def joint(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Compare all signals: each source's tag should be highest in its own estimate (cross-entropy)."""
    losses = []
    for signal_logits, target in zip(logits, targets, strict=True):
        wanted_logits = _target_logits(signal_logits, target)
        shares = torch.log_softmax(wanted_logits, dim=1)
        losses.append(-torch.diagonal(shares[:, : target.shape[0]], dim1=0, dim2=1).mean())
    return torch.stack(losses).mean()


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("cross-entropy", estimates_only, cross_entropy, "all tags, towards (the published code)"),
        Objective(
            "cross-entropy-ascent", estimates_only, cross_entropy_ascent, "all tags, away (Algorithm 1)"
        ),
        Objective("target-tags", estimates_only, target_tags, "the selected tags' probabilities alone"),
        Objective("target-logits", estimates_only, target_logits, "the selected tags' logits alone"),
        Objective(
            "two-sided",
            estimates_and_remainders,
            two_sided,
            "the tag in the estimate and not in the remainder, logits",
        ),
        Objective(
            "joint", estimates_and_residual, joint, "each tag most in its own source, logits", separable=False
        ),
    )
}


def find_objective(name: str) -> Objective:
    """Return the objective called `name`.

    Raises:
        UnknownModelError: there is none.
    """
    return look_up(OBJECTIVES, name, "objective")
