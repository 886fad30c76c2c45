"""How far the network's answers are from the truth."""

import torch
from torch import Tensor

from tagbox.tags.vocabularies import RENDERED_CLASSES, RENDERED_FAMILIES

FAMILIES = ("piano", "guitar", "strings", "brass", "reed", "synth", "vocals")
FAMILY_WEIGHT = 0.5
"""Of the divergence between families, beside that between classes: to take a clean guitar for an acoustic
one does less harm than to take it for a voice."""
SMALLEST = 1e-8


def grouping() -> Tensor:
    """Say which family each class is in, (families, classes); classes without one are their own."""
    rows = [[float(one in RENDERED_FAMILIES[name]) for one in RENDERED_CLASSES] for name in FAMILIES]
    grouped = {one for name in FAMILIES for one in RENDERED_FAMILIES[name]}
    alone = [one for one in RENDERED_CLASSES if one not in grouped]
    rows += [[float(one == own) for one in RENDERED_CLASSES] for own in alone]
    return torch.tensor(rows)


def divergence(true: Tensor, log_answer: Tensor) -> Tensor:
    """Compute the Kullback-Leibler divergence over dimension 1: (batch, n, ...) to (batch, ...)."""
    return (true * (true.clamp(min=SMALLEST).log() - log_answer)).sum(dim=1)


def loss(logits: Tensor, energies: Tensor) -> tuple[Tensor, Tensor]:
    """Compare answers with the true shares of energy, louder patches counting more.

    A patch counts by the root of its energy, that is about by how loud it is, and each mixture as a whole
    counts the same.

    Args:
        logits: of the network, (mixtures, classes, rows, columns).
        energies: of every class, the same shape.

    Returns:
        what is to be made small, and of it the divergence between classes alone.
    """
    total = energies.sum(dim=1)
    true = energies / total.clamp(min=1e-12)[:, None]
    weight = total.sqrt()
    weight = weight / weight.sum(dim=(1, 2), keepdim=True).clamp(min=1e-9) / len(weight)
    answer = torch.log_softmax(logits.float(), dim=1)
    groups = grouping().to(answer)
    by_family = torch.einsum("gc,bcrt->bgrt", groups, answer.exp()).clamp(min=SMALLEST).log()
    true_by_family = torch.einsum("gc,bcrt->bgrt", groups, true)
    classes = (divergence(true, answer) * weight).sum()
    families = (divergence(true_by_family, by_family) * weight).sum()
    return classes + FAMILY_WEIGHT * families, classes
