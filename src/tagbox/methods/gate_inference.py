r"""Infer the gates of components from what a tagger predicts for each of them in isolation.

A tagger that predicts shares of energy is asked of every component by itself: how much of this is violin, how
much piano, ...? Its predictions :math:`a_{kc}` for component k and class c are weighted by a prior:

.. math::  g_{kc} \propto \tilde a_{kc} \sqrt{m_c}, \qquad
           \tilde a_{kc} \propto a_{kc}^{0.8}, \qquad m_c = \sum_k e_k \tilde a_{kc}

where :math:`e_k` is the component's part of all energy. The exponent 0.8 is a temperature: a tagger is too
sure of sounds that it was not trained on. :math:`m_c` is the class prior: a class that has little energy in
the recording has little in any component, even in one that resembles it (a square root, since m contains the
tagger's mistakes too). A source gets the shares of its classes, the residual what remains.

The presence prior says that a source which was asked for is present: where less than half of the energy,
:math:`m_s`, is predicted to be the source, the odds of its gates are raised by
:math:`\sqrt{(1 - m_s) / m_s}`, in decibels half the way to where half of all would be the source.

In a segment of a longer recording, m is that of the whole recording: the violin that was asked for is in the
recording, not necessarily in every half minute of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tagbox.audio.resampling import resample
from tagbox.errors import TagBoxError
from tagbox.taggers.tagger import Tagger, predict_logits
from tagbox.taggers.windows import cut_windows, hop_length
from tagbox.tags.vocabularies import EXCLUSIVE, members, predicts_shares

WINDOW_OVERLAP = 0.5
"""Of the windows that a tagger predicts."""

COMPONENTS_PER_BATCH = 4
"""Components predicted at a time: their overlapping windows are several times the recording."""

MIN_GATE = 1e-3
"""A gate of zero would have no gradient."""

EPSILON = 1e-12


@dataclass(frozen=True)
class GatePrior:
    """The exponents of the formula above.

    Attributes:
        temperature_exponent: of the predicted shares.
        class_prior_exponent: of each class's part of the energy.
        presence_exponent: of the factor that raises the odds of what was asked for.
    """

    temperature_exponent: float = 0.8
    class_prior_exponent: float = 0.5
    presence_exponent: float = 0.5


DEFAULT_PRIOR = GatePrior()


def infer_gates(
    components: Tensor,
    taggers: Sequence[Tagger],
    target_tags: Sequence[Sequence[Sequence[str]]],
    padding: str,
    rate: int | None = None,
) -> Tensor:
    """Infer the gates (sources and residual, components), adding up to one for each component.

    Args:
        components: audio of each component, (components, samples), at `rate`.
        taggers: the gates are the mean over those that predict shares.
        target_tags: for each source, for each tagger, the tags of its vocabulary; none where the tagger does
            not hear the source.
        padding: of the taggers' windows.
        rate: of `components`, Hz; the taggers' own unless given.

    Raises:
        TagBoxError: no tagger predicts shares.
    """
    heard = hear_components(components, taggers, padding, rate)
    return gates_of(heard, taggers, target_tags)


Heard = tuple[tuple[Tensor, Tensor], ...]
"""For each tagger that predicts shares, what `component_shares` returns."""


def hear_components(
    components: Tensor, taggers: Sequence[Tagger], padding: str, rate: int | None = None
) -> Heard:
    """Predict the classes of each of `components` by every tagger that predicts shares.

    The arguments are those of `infer_gates`.

    Raises:
        TagBoxError: no tagger predicts shares.
    """
    sharing = share_taggers(taggers)
    if not sharing:
        raise TagBoxError(
            "gates can begin as heard only where a tagger predicts shares; add rendered/listener to the "
            "taggers, or take the preset steered"
        )
    return tuple(component_shares(components, taggers[i], padding, rate) for i in sharing)


def gates_of(
    heard: Heard,
    taggers: Sequence[Tagger],
    target_tags: Sequence[Sequence[Sequence[str]]],
    recording_shares: Sequence[Tensor] | None = None,
) -> Tensor:
    """Compute the gates (sources and residual, components) from what taggers predict for the components.

    Args:
        heard: by `hear_components`.
        taggers: the same.
        target_tags: see `infer_gates`.
        recording_shares: where the components are those of a segment, for each tagger that predicts shares,
            each class's part of the whole recording's energy (see `class_shares`).
    """
    inferred = []
    for position, (i, (shares, energy)) in enumerate(zip(share_taggers(taggers), heard, strict=True)):
        classes = target_classes(taggers[i], [tags[i] for tags in target_tags])
        if recording_shares is None:
            inferred.append(gates_within_segment(shares, energy, classes))
        else:
            global_shares = recording_shares[position].to(shares)
            inferred.append(gates_with_global_prior(shares, global_shares, classes))
    asked = torch.tensor([[bool(tags[i]) for tags in target_tags] for i in share_taggers(taggers)])
    gates = _average_gates(torch.stack(inferred), asked).clamp(min=MIN_GATE)
    return gates / gates.sum(dim=0, keepdim=True)


def _average_gates(gates: Tensor, asked: Tensor) -> Tensor:
    """Average the gates of several taggers, those of each source over the taggers that hear it.

    Args:
        gates: (taggers, sources and residual, components).
        asked: which tagger hears which source, (taggers, sources), each by one at least.

    Returns:
        (sources and residual, components), adding up to one.
    """
    if bool(asked.all()):
        return gates.mean(dim=0)
    weights = asked.to(gates)[..., None]
    sources = (weights * gates[:, :-1]).sum(dim=0) / weights.sum(dim=0)
    # Taggers that hear different sources may claim the same component.
    sources = sources / sources.sum(dim=0, keepdim=True).clamp(min=1)
    return torch.cat([sources, 1 - sources.sum(dim=0, keepdim=True)])


def share_taggers(taggers: Sequence[Tagger]) -> list[int]:
    """Return the positions of those taggers that predict shares of energy."""
    return [i for i, tagger in enumerate(taggers) if predicts_shares(tagger.data)]


def exclusive_tags(tagger: Tagger) -> tuple[str, ...]:
    """Return the tags whose shares add up to one: all of a tagger of an open vocabulary."""
    return EXCLUSIVE.get(tagger.data, tagger.tags)


def class_shares(probabilities: Tensor, energies: Tensor, tagger: Tagger) -> Tensor:
    """Average a recording's excerpts to each exclusive class's part of its energy, (classes,), of sum one.

    Args:
        probabilities: what `tagger` predicts for each excerpt, (excerpts, tags).
        energies: of the excerpts, (excerpts,).
    """
    shares = _normalise_rows(probabilities[:, _exclusive_positions(tagger)])
    weights = energies + EPSILON
    return weights / weights.sum() @ shares


def component_shares(
    components: Tensor, tagger: Tagger, padding: str, rate: int | None = None
) -> tuple[Tensor, Tensor]:
    """Predict the classes of each of `components` (components, samples).

    Args:
        rate: of `components`, Hz; the tagger's own unless given.

    Returns:
        shares of the vocabulary's exclusive tags (components, classes), adding up to one, and each
        component's part of all energy (components,).
    """
    classes, hop = _exclusive_positions(tagger), hop_length(tagger.window, WINDOW_OVERLAP)
    shares, energies = [], []
    with torch.no_grad():
        for part in torch.split(components, COMPONENTS_PER_BATCH):
            batch = part if rate is None else resample(part, rate, tagger.rate)
            logits = predict_logits([tagger], batch, padding, WINDOW_OVERLAP)[0][..., classes]
            windows = cut_windows(batch, tagger.window, hop, padding)
            predicted = windows.reshape(*windows.shape[:2], -1, tagger.prediction_samples)
            window_energies = predicted.square().sum(dim=-1).flatten(1) + EPSILON
            shares.append(torch.einsum("kwc,kw->kc", torch.sigmoid(logits), window_energies))
            energies.append(batch.square().sum(dim=-1) + EPSILON)
        energy = torch.cat(energies)
        return _normalise_rows(torch.cat(shares)), energy / energy.sum()


def gates_within_segment(
    shares: Tensor, energy: Tensor, classes: Tensor, prior: GatePrior = DEFAULT_PRIOR
) -> Tensor:
    """Compute gates (sources and residual, components), with the components' own energy as class prior.

    Args:
        shares: of each class in each component, (components, classes).
        energy: each component's part of all energy, (components,).
        classes: which classes each source is made of, multi-hot (sources, classes).
        prior: its exponents.
    """
    tempered = _normalise_rows(shares**prior.temperature_exponent)
    sources = _class_to_source(classes) @ _weight_by_prior(tempered, energy @ tempered, prior).T
    return _apply_presence_prior(sources, sources @ energy, prior)


def gates_with_global_prior(
    shares: Tensor, recording_shares: Tensor, classes: Tensor, prior: GatePrior = DEFAULT_PRIOR
) -> Tensor:
    """Compute gates (sources and residual, components) of a segment, with a whole recording's class prior.

    Args:
        shares: of each class in each component, (components, classes).
        recording_shares: each class's part of the recording's energy, (classes,).
        classes: which classes each source is made of, multi-hot (sources, classes).
        prior: its exponents.
    """
    tempered = _normalise_rows(shares**prior.temperature_exponent)
    sources = _class_to_source(classes) @ _weight_by_prior(tempered, recording_shares, prior).T
    return _apply_presence_prior(sources, _class_to_source(classes) @ recording_shares, prior)


def _weight_by_prior(tempered: Tensor, class_prior: Tensor, prior: GatePrior) -> Tensor:
    return _normalise_rows(tempered * class_prior**prior.class_prior_exponent)


def _class_to_source(classes: Tensor) -> Tensor:
    """Divide each class among the sources that ask for it, (sources, classes)."""
    return classes / classes.sum(dim=0, keepdim=True).clamp(min=1)


def _apply_presence_prior(sources: Tensor, source_shares: Tensor, prior: GatePrior) -> Tensor:
    """Raise the odds of `sources` (sources, components), each `source_shares` (sources,) of all energy.

    Returns:
        gates of the sources and of the residual, (sources and residual, components).
    """
    residual = (1 - sources.sum(dim=0, keepdim=True)).clamp(min=0)
    share = source_shares.clamp(1e-6, 1)[:, None]
    raised = sources * ((1 - share) / share).clamp(min=1) ** prior.presence_exponent
    gates = torch.cat([raised, residual])
    return gates / gates.sum(dim=0, keepdim=True)


def _exclusive_positions(tagger: Tagger) -> list[int]:
    """Return where the exclusive tags stand among all of the tagger's."""
    return [tagger.tags.index(tag) for tag in exclusive_tags(tagger)]


def _normalise_rows(values: Tensor) -> Tensor:
    return values / values.sum(dim=1, keepdim=True)


def target_classes(tagger: Tagger, target_tags: Sequence[Sequence[str]]) -> Tensor:
    """Return the classes of each source's tags, multi-hot (sources, classes)."""
    sources = [{one for tag in tags for one in members(tag, tagger.data)} for tags in target_tags]
    rows = [[float(one in source) for one in exclusive_tags(tagger)] for source in sources]
    return torch.tensor(rows, device=tagger.device)
