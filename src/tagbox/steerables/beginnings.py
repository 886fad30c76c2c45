r"""Where gates begin: with what a tagger hears in each component alone.

A tagger whose answers are shares of energy can be asked of every component by itself: "how much of this is
violin, how much piano, ...?". Its answers :math:`a_{kc}` for component k and class c are read in company:

.. math::  g_{kc} \propto \tilde a_{kc} \sqrt{m_c}, \qquad
           \tilde a_{kc} \propto a_{kc}^{0.8}, \qquad m_c = \sum_k e_k \tilde a_{kc}

where :math:`e_k` is the component's part of all energy. The power makes a tagger that is sure of sounds that
it never heard before a little less so. A class that is hardly in the recording is hardly in a component that
sounds somewhat like it (a root, since the tagger's mistakes are in m too). A source gets the shares of its
classes, the rest what remains. But a source that was asked for is there, says who asked: where less than half
of the energy, :math:`m_s`, is heard as the source, the odds of its gates are raised by
:math:`\sqrt{(1 - m_s) / m_s}`, half the way in decibels to where half of all would be the source.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tagbox.errors import TagBoxError
from tagbox.taggers.tagger import Tagger, listen
from tagbox.taggers.windows import cut, hop_of
from tagbox.tags.vocabularies import EXCLUSIVE, members

OVERLAP = 0.5
"""Of the windows that are heard."""

LEAST = 1e-3
"""Of a gate: one that is shut altogether has no gradient."""


@dataclass(frozen=True)
class Reading:
    """The formula's three powers: 0.8 of the shares, the root of the class's part, half of the way up."""

    caution: float = 0.8
    company: float = 0.5
    asked: float = 0.5


DEFAULT = Reading()


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
            "taggers, or take the preset steered"
        )
    each = []
    for i in able:
        shares, energy = shares_alone(parts, taggers[i], padding)
        each.append(in_company(shares, energy, _classes(taggers[i], [own[i] for own in wanted])))
    gates = torch.stack(each).mean(dim=0).clamp(min=LEAST)
    return gates / gates.sum(dim=0, keepdim=True)


def shares_alone(parts: Tensor, tagger: Tagger, padding: str) -> tuple[Tensor, Tensor]:
    """What `tagger` hears in each of `parts` (components, samples).

    Returns:
        shares of the vocabulary's exclusive tags (components, classes), adding up to one, and each
        component's part of all energy (components,).
    """
    classes = [tagger.tags.index(tag) for tag in EXCLUSIVE[tagger.data]]
    with torch.no_grad():
        heard = torch.sigmoid(listen([tagger], parts, padding, OVERLAP)[0][..., classes])
        hop = hop_of(tagger.window, OVERLAP)
        # One after the other: the windows of all components are several times the recording.
        loud = torch.cat([_energies(part, tagger.window, hop, padding) for part in parts]) + 1e-12
        shares = torch.einsum("kwc,kw->kc", heard, loud)
        energy = parts.square().sum(dim=-1) + 1e-12
        return shares / shares.sum(dim=1, keepdim=True), energy / energy.sum()


def in_company(shares: Tensor, energy: Tensor, wanted: Tensor, reading: Reading = DEFAULT) -> Tensor:
    """Gates (sources and the rest, components), adding up to one.

    Args:
        shares: of each class in each component, (components, classes).
        energy: each component's part of all energy, (components,).
        wanted: which classes each source is made of, multi-hot (sources, classes).
        reading: how carefully, in company, and how much the asker is believed.
    """
    careful = _in_parts(shares**reading.caution)
    read = _in_parts(careful * (energy @ careful) ** reading.company)
    # Sources that ask for the same class share it.
    claims = wanted / wanted.sum(dim=0, keepdim=True).clamp(min=1)
    sources = claims @ read.T
    rest = (1 - sources.sum(dim=0, keepdim=True)).clamp(min=0)
    part = (sources @ energy).clamp(1e-6, 1)[:, None]
    raised = sources * ((1 - part) / part).clamp(min=1) ** reading.asked
    gates = torch.cat([raised, rest])
    return gates / gates.sum(dim=0, keepdim=True)


def _energies(part: Tensor, window: int, hop: int, padding: str) -> Tensor:
    """Energy in each window of `part` (samples,): (1, windows)."""
    return cut(part[None], window, hop, padding).square().sum(dim=-1)


def _in_parts(values: Tensor) -> Tensor:
    return values / values.sum(dim=1, keepdim=True)


def _classes(tagger: Tagger, wanted: Sequence[Sequence[str]]) -> Tensor:
    """The classes of each source's tags, multi-hot (sources, classes)."""
    exclusive = EXCLUSIVE[tagger.data]
    sources = [{one for tag in own for one in members(tag, tagger.data)} for own in wanted]
    rows = [[float(one in source) for one in exclusive] for source in sources]
    return torch.tensor(rows, device=next(tagger.network.parameters()).device)
