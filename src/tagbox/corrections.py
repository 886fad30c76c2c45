"""Corrections: what somebody who listens says of a separation. Data alone, readable without PyTorch.

Times are in seconds of the recording as it was separated, frequencies in Hz. A source is one of the tags that
were asked for, or "residual". `tagbox.methods.lessons` says what becomes of each.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tagbox.errors import TagBoxError

RESIDUAL = "residual"
MAX_STRENGTH = 10.0
"""Of a mark, which is evidence; what is certain is said by a region."""


@dataclass(frozen=True)
class Is:
    """More of what sounds from `start` to `stop` is the source than its estimate has.

    It is evidence, not a decision: what is unsure there goes to the source, and so does what sounds like it
    elsewhere.

    Attributes:
        source: one of the tags.
        start: s.
        stop: s.
        strength: how strong the evidence is, 1 unless given.
    """

    source: str
    start: float
    stop: float
    strength: float = 1.0


@dataclass(frozen=True)
class IsNot:
    """Some of what the estimate has from `start` to `stop` is not the source.

    The attributes are those of `Is`. The rest of the estimate stays: where none of it is the source, say
    `Absent`.
    """

    source: str
    start: float
    stop: float
    strength: float = 1.0


@dataclass(frozen=True)
class Absent:
    """The source does not play from `start` to `stop`: its estimate is silent there.

    Attributes:
        source: one of the tags.
        start: s, the recording's beginning unless given.
        stop: s, the recording's end unless given.
    """

    source: str
    start: float = 0.0
    stop: float | None = None


@dataclass(frozen=True)
class Region:
    """A rectangle of time and frequency belongs to a source.

    Attributes:
        source: one of the tags, or "residual".
        start: s.
        stop: s.
        low: Hz.
        high: Hz; up to the highest frequency unless given.
        strength: from 0 to 1: which part of what the others have there goes over to the source.
    """

    source: str
    start: float
    stop: float
    low: float = 0.0
    high: float | None = None
    strength: float = 1.0


@dataclass(frozen=True)
class MoveComponent:
    """A component belongs to a source, whatever was predicted for it.

    Attributes:
        source: one of the tags, or "residual".
        component: its number (see `tagbox.projects.Project.components`).
        segment: number of the segment in which it was found.
        alike: whether all components that sound like it, in every segment, belong to the source as well.
    """

    source: str
    component: int
    segment: int = 0
    alike: bool = False


Correction = Is | IsNot | Absent | Region | MoveComponent

KINDS: Mapping[str, type[Correction]] = {
    "is": Is,
    "not": IsNot,
    "absent": Absent,
    "region": Region,
    "component": MoveComponent,
}
"""As run.json names them."""
_NAMES = {kind: name for name, kind in KINDS.items()}


def to_json(corrections: Sequence[Correction]) -> list[dict[str, Any]]:
    """Return corrections as run.json keeps them."""
    return [{"kind": _NAMES[type(each)], **dataclasses.asdict(each)} for each in corrections]


def from_json(documents: object) -> tuple[Correction, ...]:
    """Read corrections back.

    Raises:
        TagBoxError: something is no correction; says what.
    """
    if not isinstance(documents, list):
        raise TagBoxError("the corrections are no list; give those of a run.json")
    return tuple(_from_document(each) for each in documents)


def _from_document(document: object) -> Correction:
    if not isinstance(document, dict) or document.get("kind") not in KINDS:
        raise TagBoxError(f"{document!r} is no correction; its kind is one of {', '.join(KINDS)}")
    kind = KINDS[document["kind"]]
    values = {name: value for name, value in document.items() if name != "kind"}
    try:
        return kind(**values)
    except TypeError:
        fields = ", ".join(field.name for field in dataclasses.fields(kind))
        raise TagBoxError(f"{document!r} cannot be read; a correction of this kind has {fields}") from None


def check(correction: Correction, sources: Sequence[str], seconds: float) -> None:
    """Check that a correction can be applied to a separation.

    Args:
        correction: any.
        sources: the tags that were asked for.
        seconds: length of the recording.

    Raises:
        TagBoxError: it cannot; says why, and what to do.
    """
    if type(correction) not in _NAMES:
        raise TagBoxError(f"{correction!r} is no correction; give one of tagbox.corrections, such as Is")
    takers = [*sources, RESIDUAL] if isinstance(correction, Region | MoveComponent) else list(sources)
    if correction.source not in takers:
        raise TagBoxError(
            f"no source is called {correction.source!r}; the sources here are {', '.join(takers)}"
        )
    for name, value in dataclasses.asdict(correction).items():
        optional = value is None and name in ("stop", "high")
        if name not in ("source", "alike") and not optional:
            _check_number(name, value)
    if isinstance(correction, MoveComponent):
        return
    start, stop = correction.start, seconds if correction.stop is None else correction.stop
    if not 0 <= start < min(stop, seconds):
        raise TagBoxError(
            f"a correction from {start:g} to {stop:g} s covers nothing; the recording lasts {seconds:.3f} s"
        )
    if isinstance(correction, Region):
        high = math.inf if correction.high is None else correction.high
        if not 0 <= correction.low < high:
            raise TagBoxError(f"a region from {correction.low:g} to {high:g} Hz has no frequency")
        if not 0 <= correction.strength <= 1:
            raise TagBoxError(f"a region's strength is {correction.strength:g}; give 0 to 1")
    if isinstance(correction, Is | IsNot) and not 0 < correction.strength <= MAX_STRENGTH:
        raise TagBoxError(
            f"a mark's strength is {correction.strength:g}; give a number above 0, up to {MAX_STRENGTH:g}"
        )


def _check_number(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TagBoxError(f"the {name} of a correction is {value!r}; give a number")
