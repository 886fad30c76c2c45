"""Turn corrections into what they change in the decisions about each segment of a recording."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf

import torch
from torch import Tensor

from tagbox.audio.readers import Reader
from tagbox.audio.writers import Writer
from tagbox.corrections import RESIDUAL, Absent, Correction, Is, IsNot, MoveComponent, Region
from tagbox.errors import TagBoxError
from tagbox.methods.analysis import Adjustments, Analysis, Edit, Span, moved, span_log_odds
from tagbox.methods.lessons import (
    Heard,
    Mark,
    Points,
    component_features,
    joined,
    learn,
    learnt_log_odds,
    patch_features,
    span_of,
    unit,
)
from tagbox.methods.task import Task
from tagbox.pipeline.deciding import Analysed, analyse_recording, decide_again
from tagbox.pipeline.streaming import OnSegment, StreamReport

ALIKE = 0.9
"""The least cosine of the angle between the square roots of two components' spectra that are alike."""


@dataclass(frozen=True, eq=False)
class Decisions:
    """All corrections so far, and what follows from them.

    Attributes:
        corrections: in the order in which they were made.
        heard: the marks among them, with the masks as they were then.
        edits: of regions; times in the recording.
        moved: by segment, the source of components that somebody has moved.
        weights: what was learnt, (sources, features); None while nothing was.
    """

    corrections: tuple[Correction, ...] = ()
    heard: tuple[Heard, ...] = ()
    edits: tuple[Edit, ...] = ()
    moved: Mapping[int, Mapping[int, int]] = field(default_factory=dict)
    weights: Tensor | None = None

    @property
    def spans(self) -> tuple[Span, ...]:
        """In which the marks move log-odds."""
        return tuple(span_of(each.mark) for each in self.heard)


def decided(analysed: Analysed, before: Decisions, correction: Correction) -> Decisions:
    """Add a correction, which `tagbox.corrections.check` found to be one.

    Raises:
        TagBoxError: it names a component that there is not.
    """
    corrections = (*before.corrections, correction)
    source = source_number(analysed, correction.source)
    if isinstance(correction, MoveComponent):
        changed = _moved_components(analysed, before, correction, source)
        return replace(before, corrections=corrections, moved=changed)
    if not analysed.points:
        # Silence, in which there is nothing to decide.
        return replace(before, corrections=corrections)
    points = joined([analysed.points[number] for number in sorted(analysed.points)])
    heard, edits = before.heard, before.edits
    if isinstance(correction, Is | IsNot):
        stop = min(correction.stop, analysed.seconds)
        mark = Mark(source, correction.start, stop, isinstance(correction, Is), correction.strength)
        heard = (*heard, Heard(mark, shares_at(points, before)[source]))
    else:
        edits = (*edits, _edit(correction, source))
    weights = learn(points, heard, edits)
    return replace(before, corrections=corrections, heard=heard, edits=edits, weights=weights)


def separate_corrected(
    reader: Reader,
    task: Task,
    writer: Writer,
    corrections: Sequence[Correction],
    on_segment: OnSegment | None = None,
) -> StreamReport:
    """Separate a recording into `writer`, as `separate_stream` does, with corrections.

    Raises:
        TagBoxError: the recording is damaged, a correction cannot be made, or the method cannot be corrected.
    """
    analysed, first = analyse_recording(reader, task, _NoWriter(), on_segment, predicts=False)
    try:
        decisions = Decisions()
        for correction in corrections:
            decisions = decided(analysed, decisions, correction)
        report = decide_again(analysed, adjustments_of(analysed, decisions), writer, predicts=True)
    finally:
        analysed.analyses.close()
    correcting = report.seconds.get("streaming", report.seconds.get("steering", 0.0))
    return replace(report, runs=first.runs, seconds={**first.seconds, "correcting": correcting})


class _NoWriter:
    """Discards what is written: the results before any correction."""

    def add(self, block: Tensor) -> None:
        """Discard `block` (tracks, channels, samples)."""


def source_number(analysed: Analysed, name: str) -> int:
    """Return the number of a source, or of the residual."""
    queries = analysed.task.queries
    return len(queries) if name == RESIDUAL and name not in queries else queries.index(name)


def shares_at(points: Points, decisions: Decisions) -> Tensor:
    """Compute the masks at points under decisions, (sources and residual, points)."""
    logits = points.logits + span_log_odds(decisions.spans, points.times, len(points.logits) - 1)
    if decisions.weights is not None:
        logits = logits + learnt_log_odds(decisions.weights, points.features)
    shares = torch.softmax(logits, dim=0)
    for edit in decisions.edits:
        inside = points.inside(edit)
        shares[:, inside] = moved(shares[:, inside], edit)
    return shares


def adjustments_of(
    analysed: Analysed, decisions: Decisions, numbers: Sequence[int] | None = None
) -> dict[int, Adjustments]:
    """Compute what decisions change in the segments of these numbers, all unless given, by number."""
    return {
        number: _adjustments(analysed, decisions, number)
        for number in (range(len(analysed.plan.segments)) if numbers is None else numbers)
        if number in analysed.analyses
    }


def gates_of_segment(analysed: Analysed, decisions: Decisions, number: int) -> tuple[Tensor, Tensor]:
    """Return the gates of a segment's components, and the middle of their spectra.

    Returns:
        (sources and residual, components), none where the method has no components, and Hz (components,).
    """
    analysis = analysed.analyses[number]
    gates = analysed.separator.gates(analysis, _adjustments(analysed, decisions, number))
    if not analysis.factors:
        return gates, torch.zeros(0)
    dictionary = analysis.dictionary
    hz = torch.linspace(0, analysed.task.rate / 2, len(dictionary))
    return gates, (hz @ dictionary) / dictionary.sum(dim=0).clamp(min=1e-12)


def _adjustments(analysed: Analysed, decisions: Decisions, number: int) -> Adjustments:
    start = analysed.start_of(analysed.plan.segments[number])
    analysis = analysed.analyses[number]
    components, patches = None, None
    if decisions.weights is not None and bool(decisions.weights.any()):
        if analysis.answers is None:
            components = learnt_log_odds(decisions.weights, component_features(analysis))
        else:
            features = patch_features(analysis, analysis.answers.shape[-1])
            patches = learnt_log_odds(decisions.weights, features)
    return Adjustments(
        components=components,
        patches=patches,
        moved=dict(decisions.moved.get(number, {})),
        spans=tuple(
            replace(span, start=span.start - start, stop=span.stop - start) for span in decisions.spans
        ),
        edits=tuple(
            replace(edit, start=edit.start - start, stop=edit.stop - start) for edit in decisions.edits
        ),
    )


def _edit(correction: Absent | Region, source: int) -> Edit:
    stop = inf if correction.stop is None else correction.stop
    if isinstance(correction, Absent):
        return Edit(source, correction.start, stop, 0.0, inf, 1.0, takes=True)
    high = inf if correction.high is None else correction.high
    return Edit(source, correction.start, stop, correction.low, high, correction.strength)


def _moved_components(
    analysed: Analysed, before: Decisions, correction: MoveComponent, source: int
) -> dict[int, dict[int, int]]:
    analysis = _with_components(analysed, correction.segment)
    spectra = _spectral_shapes(analysis)
    if not 0 <= correction.component < spectra.shape[1]:
        raise TagBoxError(
            f"segment {correction.segment} has no component {correction.component}; its components are "
            f"numbered from 0 to {spectra.shape[1] - 1}"
        )
    changed = {number: dict(each) for number, each in before.moved.items()}
    changed.setdefault(correction.segment, {})[correction.component] = source
    if correction.alike:
        wanted = spectra[:, correction.component]
        for number in range(len(analysed.plan.segments)):
            if number in analysed.analyses:
                alike = wanted @ _spectral_shapes(analysed.analyses[number]) >= ALIKE
                for component in alike.nonzero().flatten().tolist():
                    changed.setdefault(number, {})[component] = source
    return changed


def _with_components(analysed: Analysed, number: int) -> Analysis:
    if number not in analysed.analyses or not analysed.analyses[number].factors:
        raise TagBoxError(f"there are no components in segment {number}; nothing can be moved")
    return analysed.analyses[number]


def _spectral_shapes(analysis: Analysis) -> Tensor:
    """Return the square roots of the components' spectra, of length 1, (bins, components)."""
    return unit(analysis.dictionary.clamp(min=0).sqrt())
