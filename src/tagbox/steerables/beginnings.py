r"""Where gates begin: with what a tagger hears in each component alone.

A tagger whose answers are shares of energy can be asked of every component by itself: "how much of this is
violin, how much piano, ...?". Its answers :math:`a_{kc}` for component k and class c are read in company:

.. math::  \hat a_{kc} \propto a_{kc} \, m_c^{1/4} \, b_c, \qquad m_c = \sum_k e_k a_{kc}

where :math:`e_k` is the component's part of all energy. A class that is hardly in the recording is hardly in
a component that sounds a little like it (a fourth root, since the tagger's mistakes are in m too), and a
class that was asked for is there, says who asked: it counts b times. Source s gets the share of its classes,
the rest what remains.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tagbox.errors import TagBoxError
from tagbox.taggers.tagger import Tagger, listen
from tagbox.tags.vocabularies import EXCLUSIVE, members

LEAST = 1e-3
"""Of a gate: one that is shut altogether has no gradient."""

COMPANY = 0.25
"""The power of a class's part of the recording."""

ASKED = 2.0
"""How many times the classes count that were asked for."""


def heard_alone(
    parts: Tensor, taggers: Sequence[Tagger], wanted: Sequence[Sequence[Sequence[str]]], padding: str
) -> Tensor:
    """Gates (sources and the rest, components) by what is heard in each component.

    Args:
        parts: the components, (components, samples), at the taggers' rate.
        taggers: those that answer with shares are asked, and the mean of their gates counts.
        wanted: for each source, for each tagger, the tags of its vocabulary.
        padding: of the taggers' windows.

    Raises:
        TagBoxError: no tagger answers with shares.
    """
    able = [i for i, tagger in enumerate(taggers) if tagger.data in EXCLUSIVE]
    if not able:
        raise TagBoxError(
            "gates can begin as heard only where a tagger answers with shares; add rendered/listener to the "
            "taggers, or let them begin even"
        )
    gates = torch.stack(
        [in_company(*shares_alone(parts, taggers[i], padding), _classes(taggers[i], wanted, i)) for i in able]
    ).mean(dim=0)
    gates = gates.clamp(min=LEAST)
    return gates / gates.sum(dim=0, keepdim=True)


def shares_alone(parts: Tensor, tagger: Tagger, padding: str) -> tuple[Tensor, Tensor]:
    """What `tagger` hears in each of `parts` (components, samples).

    Returns:
        shares of the vocabulary's exclusive tags (components, classes), adding up to one, and each
        component's part of all energy (components,).
    """
    classes = [tagger.tags.index(tag) for tag in EXCLUSIVE[tagger.data]]
    with torch.no_grad():
        heard = torch.sigmoid(listen([tagger], parts, padding, overlap=0.5)[0][..., classes])
        windows = torch.nn.functional.adaptive_avg_pool1d(parts.square()[:, None], heard.shape[1])[:, 0]
        shares = torch.einsum("kwc,kw->kc", heard, windows + 1e-12)
        energy = parts.square().sum(dim=-1) + 1e-12
        return shares / shares.sum(dim=1, keepdim=True), energy / energy.sum()


def in_company(shares: Tensor, energy: Tensor, wanted: Tensor) -> Tensor:
    """Gates (sources and the rest, components), adding up to one.

    Args:
        shares: of each class in each component, (components, classes).
        energy: each component's part of all energy, (components,).
        wanted: which classes each source is made of, multi-hot (sources, classes).
    """
    there = (energy @ shares) ** COMPANY
    asked = 1 + (ASKED - 1) * wanted.amax(dim=0)
    read = shares * there * asked
    read = read / read.sum(dim=1, keepdim=True)
    # Sources that ask for the same class share it.
    claims = wanted / wanted.sum(dim=0, keepdim=True).clamp(min=1)
    sources = claims @ read.T
    return torch.cat([sources, (1 - sources.sum(dim=0, keepdim=True)).clamp(min=0)])


def _classes(tagger: Tagger, wanted: Sequence[Sequence[Sequence[str]]], which: int) -> Tensor:
    """The classes of each source, multi-hot (sources, classes)."""
    exclusive = EXCLUSIVE[tagger.data]
    sources = [{one for tag in own[which] for one in members(tag, tagger.data)} for own in wanted]
    rows = [[float(one in source) for one in exclusive] for source in sources]
    return torch.tensor(rows, device=next(tagger.network.parameters()).device)
