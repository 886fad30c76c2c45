r"""What a step of steering tries to bring down, by name.

An objective says two things: which signals the taggers are to hear, made of the estimates and the mixture,
and how what they say becomes one number. The signals are stacked as ``(heard, views, samples)`` (a view is
one FFT size's masking of the same source), the taggers' answers come as one tensor of logits
``(heard, views, windows, tags)`` a tagger, and the targets as one multi-hot ``(sources, tags)`` a tagger.

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

from tagbox.errors import TagBoxError

Listen = Callable[[Tensor, Tensor], Tensor]
Loss = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]


@dataclass(frozen=True)
class Objective:
    """One way to tell how good estimates are.

    Attributes:
        name: how the command line and presets call it.
        listens: estimates (sources, views, samples) and the mixture (samples,), or one for each source
            (sources, samples), to what is heard (heard, views, samples); the first `sources` of what is heard
            are the estimates themselves.
        loss: the taggers' logits and targets to a scalar that falls as the estimates get better.
        help: one line for people.
        apart: whether it is the mean of what each source gives by itself.
    """

    name: str
    listens: Listen
    loss: Loss
    help: str
    apart: bool = True


def estimates_alone(estimates: Tensor, mixture: Tensor) -> Tensor:
    """Hear the estimates and nothing else."""
    return estimates


def estimates_and_their_remainders(estimates: Tensor, mixture: Tensor) -> Tensor:
    """Hear each estimate, then the mixture without it."""
    return torch.cat([estimates, mixture.unsqueeze(-2) - estimates])


def estimates_and_the_rest(estimates: Tensor, mixture: Tensor) -> Tensor:
    """Hear each estimate, then what no estimate claims."""
    return torch.cat([estimates, (mixture - estimates.sum(dim=0))[None]])


def cross_entropy(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """The published loss over all tags: probabilities averaged over windows, losses over the rest."""
    losses = []
    for heard, target in zip(logits, targets, strict=True):
        # As torch's BCELoss, the logarithms are held above -100, so that a certain mistake stays finite.
        probabilities = torch.sigmoid(heard).mean(dim=-2)
        wanted = target[:, None, :].expand_as(probabilities)
        losses.append(functional.binary_cross_entropy(probabilities, wanted))
    return torch.stack(losses).mean()


def cross_entropy_ascent(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Algorithm 1's direction: the published loss is to rise."""
    return -cross_entropy(logits, targets)


def _wanted_logits(heard: Tensor, target: Tensor) -> Tensor:
    """The selected tags' logits, averaged over tags and windows: (sources, heard, views).

    `heard` is (heard, views, windows, tags) and `target` (sources, tags).
    """
    weights = target / target.sum(dim=-1, keepdim=True)
    return torch.einsum("hvwt,st->shv", heard, weights) / heard.shape[-2]


def target_tags(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Cross-entropy of the selected tags alone; what the other tags do is left free."""
    losses = []
    for heard, target in zip(logits, targets, strict=True):
        log_probabilities = torch.log(torch.sigmoid(heard).mean(dim=-2).clamp(min=1e-12))
        weights = target / target.sum(dim=-1, keepdim=True)
        losses.append(-torch.einsum("svt,st->sv", log_probabilities, weights).mean())
    return torch.stack(losses).mean()


def target_logits(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """The selected tags' logits, which do not saturate where the tagger is sure already."""
    losses = []
    for heard, target in zip(logits, targets, strict=True):
        own = torch.diagonal(_wanted_logits(heard, target), dim1=0, dim2=1)
        losses.append(-own.mean())
    return torch.stack(losses).mean()


def two_sided(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """The estimate should have the tag and the remainder should not: the difference of their logits."""
    losses = []
    for heard, target in zip(logits, targets, strict=True):
        sources = target.shape[0]
        wanted = _wanted_logits(heard, target)
        own = torch.diagonal(wanted[:, :sources], dim1=0, dim2=1)
        remainder = torch.diagonal(wanted[:, sources:], dim1=0, dim2=1)
        losses.append((remainder - own).mean())
    return torch.stack(losses).mean()


def joint(logits: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
    """Each source's tag should be heard most in its own estimate: cross-entropy over all and the rest."""
    losses = []
    for heard, target in zip(logits, targets, strict=True):
        wanted = _wanted_logits(heard, target)
        shares = torch.log_softmax(wanted, dim=1)
        losses.append(-torch.diagonal(shares[:, : target.shape[0]], dim1=0, dim2=1).mean())
    return torch.stack(losses).mean()


OBJECTIVES = {
    objective.name: objective
    for objective in (
        Objective("cross-entropy", estimates_alone, cross_entropy, "all tags, towards (the published code)"),
        Objective(
            "cross-entropy-ascent", estimates_alone, cross_entropy_ascent, "all tags, away (Algorithm 1)"
        ),
        Objective("target-tags", estimates_alone, target_tags, "the selected tags' probabilities alone"),
        Objective("target-logits", estimates_alone, target_logits, "the selected tags' logits alone"),
        Objective(
            "two-sided",
            estimates_and_their_remainders,
            two_sided,
            "the tag in the estimate and not in the remainder, logits",
        ),
        Objective(
            "joint", estimates_and_the_rest, joint, "each tag most in its own source, logits", apart=False
        ),
    )
}


def find(name: str) -> Objective:
    """The objective called `name`.

    Raises:
        TagBoxError: there is none.
    """
    if name not in OBJECTIVES:
        raise TagBoxError(f"no objective is called {name!r}; choose one of {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name]
