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

In a segment of a longer piece, m is the whole piece's: the asker says that the violin is in the piece, not
that it is in every half minute of it.
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

AT_ONCE = 4
"""Components: their windows are several times the recording."""

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
    parts: Tensor,
    taggers: Sequence[Tagger],
    wanted: Sequence[Sequence[Sequence[str]]],
    padding: str,
    piece: Sequence[Tensor] | None = None,
) -> Tensor:
    """Gates (sources and the rest, components) by what is heard in each component.

    Args:
        parts: the components, (components, samples), at the taggers' rate.
        taggers: those that answer with shares are asked, and the mean of their gates counts.
        wanted: for each source, for each tagger, the tags of its vocabulary.
        padding: of the taggers' windows.
        piece: where the components are of a segment, what the piece is made of: for each tagger that answers
            with shares, each class's part of the energy (see `made_of`).

    Raises:
        TagBoxError: no tagger answers with shares.
    """
    able = with_shares(taggers)
    if not able:
        raise TagBoxError(
            "gates can begin as heard only where a tagger answers with shares; add rendered/listener to the "
            "taggers, or take the preset steered"
        )
    each = []
    for at, i in enumerate(able):
        shares, energy = shares_alone(parts, taggers[i], padding)
        classes = _classes(taggers[i], [own[i] for own in wanted])
        if piece is None:
            each.append(in_company(shares, energy, classes))
        else:
            each.append(in_a_piece(shares, piece[at].to(shares), classes))
    gates = torch.stack(each).mean(dim=0).clamp(min=LEAST)
    return gates / gates.sum(dim=0, keepdim=True)


def with_shares(taggers: Sequence[Tagger]) -> list[int]:
    """Which of `taggers` answer with shares of energy."""
    return [i for i, tagger in enumerate(taggers) if tagger.data in EXCLUSIVE]


def made_of(heard: Tensor, energies: Tensor, tagger: Tagger) -> Tensor:
    """Each exclusive class's part of a piece's energy, (classes,), adding up to one.

    Args:
        heard: what `tagger` says of stretches of the piece, (stretches, tags), probabilities.
        energies: of the stretches, (stretches,).
    """
    shares = _in_parts(heard[:, _exclusive(tagger)])
    weights = energies + 1e-12
    return weights / weights.sum() @ shares


def shares_alone(parts: Tensor, tagger: Tagger, padding: str) -> tuple[Tensor, Tensor]:
    """What `tagger` hears in each of `parts` (components, samples).

    Returns:
        shares of the vocabulary's exclusive tags (components, classes), adding up to one, and each
        component's part of all energy (components,).
    """
    classes, hop = _exclusive(tagger), hop_of(tagger.window, OVERLAP)
    shares, energy = [], []
    with torch.no_grad():
        for some in torch.split(parts, AT_ONCE):
            heard = torch.sigmoid(listen([tagger], some, padding, OVERLAP)[0][..., classes])
            loud = cut(some, tagger.window, hop, padding).square().sum(dim=-1) + 1e-12
            shares.append(torch.einsum("kwc,kw->kc", heard, loud))
            energy.append(some.square().sum(dim=-1) + 1e-12)
        everything = torch.cat(energy)
        return _in_parts(torch.cat(shares)), everything / everything.sum()


def in_company(shares: Tensor, energy: Tensor, wanted: Tensor, reading: Reading = DEFAULT) -> Tensor:
    """Gates (sources and the rest, components), adding up to one.

    Args:
        shares: of each class in each component, (components, classes).
        energy: each component's part of all energy, (components,).
        wanted: which classes each source is made of, multi-hot (sources, classes).
        reading: how carefully, in company, and how much the asker is believed.
    """
    careful = _in_parts(shares**reading.caution)
    sources = _claims(wanted) @ _read(careful, energy @ careful, reading).T
    return _believed(sources, sources @ energy, reading)


def in_a_piece(shares: Tensor, piece: Tensor, wanted: Tensor, reading: Reading = DEFAULT) -> Tensor:
    """Gates (sources and the rest, components) of a segment's components, in the company of a whole piece.

    Args:
        shares: of each class in each component, (components, classes).
        piece: each class's part of the piece's energy, (classes,).
        wanted: which classes each source is made of, multi-hot (sources, classes).
        reading: how carefully, in company, and how much the asker is believed.
    """
    careful = _in_parts(shares**reading.caution)
    sources = _claims(wanted) @ _read(careful, piece, reading).T
    return _believed(sources, _claims(wanted) @ piece, reading)


def _read(careful: Tensor, company: Tensor, reading: Reading) -> Tensor:
    return _in_parts(careful * company**reading.company)


def _claims(wanted: Tensor) -> Tensor:
    """What part of each class is each source's (sources, classes): those that ask for the same share it."""
    return wanted / wanted.sum(dim=0, keepdim=True).clamp(min=1)


def _believed(sources: Tensor, part: Tensor, reading: Reading) -> Tensor:
    """Gates of `sources` (sources, components), each `part` (sources,) of all energy, and of the rest."""
    rest = (1 - sources.sum(dim=0, keepdim=True)).clamp(min=0)
    part = part.clamp(1e-6, 1)[:, None]
    raised = sources * ((1 - part) / part).clamp(min=1) ** reading.asked
    gates = torch.cat([raised, rest])
    return gates / gates.sum(dim=0, keepdim=True)


def _exclusive(tagger: Tagger) -> list[int]:
    """Where the exclusive tags stand among all."""
    return [tagger.tags.index(tag) for tag in EXCLUSIVE[tagger.data]]


def _in_parts(values: Tensor) -> Tensor:
    return values / values.sum(dim=1, keepdim=True)


def _classes(tagger: Tagger, wanted: Sequence[Sequence[str]]) -> Tensor:
    """The classes of each source's tags, multi-hot (sources, classes)."""
    exclusive = EXCLUSIVE[tagger.data]
    sources = [{one for tag in own for one in members(tag, tagger.data)} for own in wanted]
    rows = [[float(one in source) for one in exclusive] for source in sources]
    return torch.tensor(rows, device=next(tagger.network.parameters()).device)
