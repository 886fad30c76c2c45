"""Summarise records: means for each system and source, and a verdict whether the system separates it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import get_args

from tagbox.errors import TagBoxError
from tagbox.evaluation.bootstrap import MIN_TRACKS, Interval, bootstrap_interval, paired_interval
from tagbox.evaluation.case import Record
from tagbox.evaluation.controls import CONTROLS, RESIDUAL
from tagbox.evaluation.systems import SystemKind

ALL_SOURCES = "all"
"""The row over all sources together."""
MIN_LEAD_DB = 0.1
"""An interval has to clear a control by this much; less is what rounding or a codec does to the mixture."""
MAX_TRACKS_LISTED = 4
MAX_NUMBER = 1e9
"""Far above every measure, and far below where sums of squares overflow."""

NOT_SEPARABLE = {
    "silent reference": "the source is silent there; its estimates were measured as leaks",
    "plays alone": "the source plays alone there, so there is nothing to separate",
}
"""What is said of cases that are in no mean, by their status."""


@dataclass(frozen=True)
class Row:
    """One system on one source.

    Attributes:
        source: the query, or `ALL_SOURCES`.
        method: the system's name.
        kind: the system's kind.
        measured: how many cases the means are of.
        silent: how many of these had a silent estimate (they count, with the lowest ratio).
        missing: how many cases had no estimate; they are in no mean.
        si_sdr: mean, dB; None without a case, as all others.
        si_sdri: mean improvement, dB.
        sdr: mean, dB.
        sdri: mean improvement, dB.
        window_sdri: mean improvement of BSS Eval v4's SDR, dB.
        heard_before: mean probability that the judge predicts for the source in the mixture.
        heard_after: the same in the estimate.
        residual: mean SI-SDR improvement (dB) of the estimate's residual; None for controls.
        leak: mean level of the estimate (dB) where the source is silent; such cases are in no other mean.
        took: median seconds a case.
    """

    source: str
    method: str
    kind: str
    measured: int
    silent: int
    missing: int
    si_sdr: float | None
    si_sdri: Interval | None
    sdr: float | None
    sdri: Interval | None
    window_sdri: float | None
    heard_before: float | None
    heard_after: float | None
    residual: float | None
    leak: float | None
    took: float | None


@dataclass(frozen=True)
class Verdict:
    """Whether a system separates a source.

    Attributes:
        source: the query, or `ALL_SOURCES`.
        method: the system's name.
        separates: whether it beats every control, on enough tracks.
        against: the paired difference in SI-SDR (dB) to each control.
        words: the verdict as a sentence.
    """

    source: str
    method: str
    separates: bool
    against: dict[str, Interval]
    words: str

    @property
    def answer(self) -> str:
        """Return "yes", "no", or "open" where it beats every control, but on too few tracks to claim it."""
        if self.separates:
            return "yes"
        return "open" if all(lead.low > MIN_LEAD_DB for lead in self.against.values()) else "no"


@dataclass(frozen=True)
class Summary:
    """All there is to say of an evaluation.

    Attributes:
        rows: one for each system and source.
        verdicts: one for each system that is no control, and source.
        not_measured: a line for each kind of case that is in no mean.
        notes: what was wrong with the recordings' files, a line each.
    """

    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    not_measured: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources in the order of the rows, `ALL_SOURCES` last."""
        return tuple(dict.fromkeys(row.source for row in self.rows))

    @property
    def methods(self) -> tuple[str, ...]:
        """The systems in the order of the rows: controls, ceiling, baselines, estimates, presets."""
        return tuple(dict.fromkeys(row.method for row in self.rows))

    def row(self, source: str, method: str) -> Row | None:
        """Return the row of a system on a source, or None."""
        return next((r for r in self.rows if (r.source, r.method) == (source, method)), None)


def summarise(records: Sequence[Record]) -> Summary:
    """Compute a row for each source and system, and a verdict for each system that is no control.

    Raises:
        TagBoxError: a record is not as an evaluation writes it.
    """
    try:
        return _summarise(records)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        # Records come from a file, which hands, programs and disks may have changed.
        raise TagBoxError(
            f"a record in results.jsonl is not as it was written ({type(error).__name__}: {error}); delete "
            "its line, and --resume measures its case again"
        ) from error


def _summarise(records: Sequence[Record]) -> Summary:
    for record in records:
        _check_numbers(record)
    # The table does not depend on the order in which cases finished.
    records = sorted(records, key=lambda record: str(record["key"]))
    sources = sorted({record["source"] for record in records})
    kinds: dict[str, str] = {record["method"]: record["kind"] for record in records}
    systems = _order_systems(kinds)
    rows, verdicts = [], []
    for source in [*sources, ALL_SOURCES] if len(sources) > 1 else sources:
        of_source = [record for record in records if source in (record["source"], ALL_SOURCES)]
        for system in systems:
            own = [record for record in of_source if record["method"] == system]
            if own:
                rows.append(_summarise_row(source, system, own))
        verdicts += [
            compare_with_controls(source, system, of_source)
            for system in systems
            if kinds[system] not in ("control", "ceiling")
        ]
    notes = tuple(dict.fromkeys(str(note) for record in records for note in record.get("notes", ())))
    return Summary(tuple(rows), tuple(verdicts), tuple(_describe_unmeasured(records)), notes)


def compare_with_controls(source: str, system: str, records: Sequence[Record]) -> Verdict:
    """Decide whether `system` beats every control on SI-SDR.

    Args:
        source: the query, or `ALL_SOURCES`; for the sentence only.
        system: its name.
        records: of all systems, all of this source.
    """
    measured = [record for record in records if record["status"] == "ok"]
    own = [record for record in measured if record["method"] == system]
    own_si_sdr = {_case_name(record): record["si_sdr"] for record in own}
    control_si_sdr: dict[str, dict[str, float]] = {
        control.name: {_case_name(r): r["si_sdr"] for r in measured if r["method"] == control.name}
        for control in CONTROLS
    }
    control_si_sdr[RESIDUAL] = {_case_name(record): record["residual"]["si_sdr"] for record in own}
    track_of = {_case_name(record): _track_name(record) for record in measured}
    leads = {
        name: lead
        for name, si_sdr in control_si_sdr.items()
        if (lead := paired_interval(own_si_sdr, si_sdr, track_of)) is not None
    }
    complete = len(leads) == len(control_si_sdr)
    separates = complete and all(
        lead.low > MIN_LEAD_DB and lead.tracks >= MIN_TRACKS for lead in leads.values()
    )
    sentence = _verdict_sentence(source, system, leads, complete, separates)
    missing = sum(record["method"] == system and record["status"] == "missing" for record in records)
    if missing and leads:
        # A system that estimates only easy sources must not look better for it.
        sentence += f" It gave no estimate in {missing} case{'s' * (missing != 1)} more."
    return Verdict(source, system, separates, leads, sentence)


def _check_numbers(record: Mapping[str, object]) -> None:
    """Check that no number of a record, or of a table in it, is larger than any measure.

    Raises:
        ValueError: one is.
    """
    for key, value in record.items():
        if isinstance(value, Mapping):
            _check_numbers(value)
        elif isinstance(value, int | float) and abs(value) > MAX_NUMBER:
            raise ValueError(f"{key} is {value:.3g}")


def _order_systems(kinds: Mapping[str, str]) -> list[str]:
    """Sort systems by kind, controls in their own order, others by name."""
    kind_order = get_args(SystemKind)
    controls = [control.name for control in CONTROLS]

    def sort_key(system: str) -> tuple[int, int, str]:
        position = controls.index(system) if system in controls else len(controls)
        return kind_order.index(kinds[system]), position, system

    return sorted(kinds, key=sort_key)


def _summarise_row(source: str, system: str, records: Sequence[Record]) -> Row:
    measured = [record for record in records if record["status"] == "ok"]
    judged = [record for record in measured if "heard_after" in record]
    times = [record["took"] for record in records if "took" in record]
    residuals = [record["residual"] for record in measured]
    return Row(
        source=source,
        method=system,
        kind=records[0]["kind"],
        measured=len(measured),
        silent=sum(record["silent"] for record in measured),
        missing=sum(record["status"] == "missing" for record in records),
        si_sdr=_mean(measured, "si_sdr"),
        si_sdri=_interval(measured, "si_sdri"),
        sdr=_mean(measured, "sdr"),
        sdri=_interval(measured, "sdri"),
        window_sdri=_mean([record for record in measured if "window_sdri" in record], "window_sdri"),
        heard_before=_mean(judged, "heard_before"),
        heard_after=_mean(judged, "heard_after"),
        residual=None if records[0]["kind"] == "control" else _mean(residuals, "si_sdri"),
        leak=_mean([record for record in records if "leak" in record], "leak"),
        took=median(times) if times else None,
    )


def _mean(records: Sequence[Record], key: str) -> float | None:
    return math.fsum(record[key] for record in records) / len(records) if records else None


def _interval(records: Sequence[Record], key: str) -> Interval | None:
    if not records:
        return None
    return bootstrap_interval(
        [record[key] for record in records], [_track_name(record) for record in records]
    )


def _track_name(record: Record) -> str:
    return f"{record['split']}/{record['track']}"


def _case_name(record: Record) -> str:
    return f"{_track_name(record)}/{record['source']}"


def _verdict_sentence(
    source: str, system: str, leads: Mapping[str, Interval], complete: bool, separates: bool
) -> str:
    what = "the sources together" if source == ALL_SOURCES else source
    if not leads:
        return f"{system} has no estimate of {what} that could be measured."
    if not complete:
        return f"Of {system} on {what} nothing is claimed: not every control was measured."
    nearest = min(leads, key=lambda name: leads[name].low)
    lead = leads[nearest]
    numbers = f"SI-SDR {lead.mean:+.1f} dB against {nearest} ({lead.low:+.1f} to {lead.high:+.1f})"
    counts = f"{lead.cases} case{'s' * (lead.cases != 1)} of {lead.tracks} track{'s' * (lead.tracks != 1)}"
    if separates:
        return f"{system} separates {what}: it beats every control, the nearest by {numbers}, {counts}."
    if lead.low > MIN_LEAD_DB:
        return (
            f"{system} leads every control on {what}, but {lead.tracks} "
            f"track{'s are' if lead.tracks != 1 else ' is'} too few to claim it (at least {MIN_TRACKS}): "
            f"{numbers}."
        )
    if lead.high < 0:
        return f"{system} does not separate {what}; it is worse than {nearest}: {numbers}, {counts}."
    return f"{system} does not separate {what} so that one could tell: {numbers}, {counts}."


def _describe_unmeasured(records: Sequence[Record]) -> list[str]:
    """Return a line for each kind of case that is in no mean."""
    tracks_by_reason: dict[tuple[str, str, str], list[str]] = {}
    for record in records:
        status = record["status"]
        if status in ("missing", "unreadable"):
            reason = (record["method"], record["source"], record["why"])
        elif status != "ok":
            reason = ("", record["source"], NOT_SEPARABLE[status])
        else:
            continue
        tracks_by_reason.setdefault(reason, []).append(record["track"])
    lines = []
    for (system, source, why), tracks in sorted(tracks_by_reason.items()):
        names = sorted(set(tracks))
        others = len(names) - MAX_TRACKS_LISTED
        listed = ", ".join(names[:MAX_TRACKS_LISTED]) + (f" and {others} more" if others > 0 else "")
        lines.append(f"{f'{system}, ' if system else ''}{source} ({listed}): {why}")
    return lines
