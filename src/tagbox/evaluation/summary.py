"""From records to rows, and to sentences: who separates what, and who does not."""

import math
import statistics as middle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tagbox.evaluation.bootstrap import FEWEST, Interval, interval, paired
from tagbox.evaluation.case import Record
from tagbox.evaluation.controls import CONTROLS, RESIDUAL

ALL = "all"
"""The row over all sources."""
LEAST_LEAD = 0.1
"""dB by which an interval must clear a control; less is what a rounding or a codec does to the mixture."""
KINDS = ("control", "ceiling", "baseline", "estimates", "preset")


@dataclass(frozen=True)
class Row:
    """One method on one source.

    Attributes:
        measured: how many cases the means are of.
        silent: how many of these had a silent estimate (they count, at the least ratio).
        missing: how many cases had no estimate; they are in no mean.
        si_sdr, si_sdri, sdr, sdri, window_sdri: means in dB, None without a case.
        heard_before, heard_after: mean probability of the tag by the judge.
        residual: mean SI-SDR improvement (dB) of what the estimate leaves over; None for controls.
        leak: mean level of the estimate (dB) where the source is silent; in no other mean.
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
    """Whether a method separates a source, and the paired differences in SI-SDR that say so."""

    source: str
    method: str
    separates: bool
    against: dict[str, Interval]
    words: str

    @property
    def answer(self) -> str:
        """ "yes", "no", or "open" where it leads every control, but too few were measured to claim it."""
        if self.separates:
            return "yes"
        return "open" if all(found.low > LEAST_LEAD for found in self.against.values()) else "no"


@dataclass(frozen=True)
class Summary:
    """All rows and verdicts, and what was not measured."""

    rows: tuple[Row, ...]
    verdicts: tuple[Verdict, ...]
    not_measured: tuple[str, ...]

    @property
    def sources(self) -> tuple[str, ...]:
        """In the order of the rows, "all" last."""
        return tuple(dict.fromkeys(row.source for row in self.rows))

    @property
    def methods(self) -> tuple[str, ...]:
        """In the order of the rows: controls, ceiling, baselines, estimates, presets."""
        return tuple(dict.fromkeys(row.method for row in self.rows))

    def row(self, source: str, method: str) -> Row | None:
        """The row, or None."""
        return next((r for r in self.rows if (r.source, r.method) == (source, method)), None)


def summarise(records: Sequence[Record]) -> Summary:
    """Rows by source and method, the verdicts on whatever is no control, and the cases left out."""
    # By key, so that the table does not depend on the order in which cases finished.
    records = sorted(records, key=lambda record: str(record["key"]))
    sources = sorted({record["source"] for record in records})
    kinds = {record["method"]: record["kind"] for record in records}
    methods = sorted(kinds, key=lambda method: (KINDS.index(kinds[method]), _first(method)))
    rows, verdicts = [], []
    for source in [*sources, ALL] if len(sources) > 1 else sources:
        of_source = [record for record in records if source in (record["source"], ALL)]
        for method in methods:
            own = [record for record in of_source if record["method"] == method]
            if own:
                rows.append(_row(source, method, own))
        verdicts += [
            verdict(source, method, of_source)
            for method in methods
            if kinds[method] not in ("control", "ceiling")
        ]
    return Summary(tuple(rows), tuple(verdicts), tuple(_not_measured(records)))


def _first(method: str) -> tuple[int, str]:
    """Controls in their own order, everything else by name."""
    names = [control.name for control in CONTROLS]
    return (names.index(method) if method in names else len(names), method)


def _row(source: str, method: str, records: Sequence[Record]) -> Row:
    good = [record for record in records if record["status"] == "ok"]
    heard = [record for record in good if "heard_after" in record]
    took = [record["took"] for record in records if "took" in record]
    return Row(
        source=source,
        method=method,
        kind=records[0]["kind"],
        measured=len(good),
        silent=sum(record["silent"] for record in good),
        missing=sum(record["status"] == "missing" for record in records),
        si_sdr=_mean(good, "si_sdr"),
        si_sdri=_interval(good, "si_sdri"),
        sdr=_mean(good, "sdr"),
        sdri=_interval(good, "sdri"),
        window_sdri=_mean([record for record in good if "window_sdri" in record], "window_sdri"),
        heard_before=_mean(heard, "heard_before"),
        heard_after=_mean(heard, "heard_after"),
        residual=None if records[0]["kind"] == "control" else _residual(good),
        leak=_mean([record for record in records if "leak" in record], "leak"),
        took=middle.median(took) if took else None,
    )


def _mean(records: Sequence[Record], name: str) -> float | None:
    return math.fsum(record[name] for record in records) / len(records) if records else None


def _residual(records: Sequence[Record]) -> float | None:
    return _mean([record["residual"] for record in records], "si_sdri")


def _interval(records: Sequence[Record], name: str) -> Interval | None:
    if not records:
        return None
    return interval([record[name] for record in records], [_track(record) for record in records])


def _track(record: Record) -> str:
    return f"{record['split']}/{record['track']}"


def _case(record: Record) -> str:
    return f"{_track(record)}/{record['source']}"


def verdict(source: str, method: str, records: Sequence[Record]) -> Verdict:
    """Whether `method` beats every control on SI-SDR in `records`, all of one source or of all."""
    good = [record for record in records if record["status"] == "ok"]
    own = [record for record in good if record["method"] == method]
    ours = {_case(record): record["si_sdr"] for record in own}
    track_of = {_case(record): _track(record) for record in good}
    rivals: dict[str, dict[str, Any]] = {
        control.name: {_case(r): r["si_sdr"] for r in good if r["method"] == control.name}
        for control in CONTROLS
    }
    rivals[RESIDUAL] = {_case(record): record["residual"]["si_sdr"] for record in own}
    against = {
        name: found
        for name, theirs in rivals.items()
        if (found := paired(ours, theirs, track_of)) is not None
    }
    complete = len(against) == len(rivals)
    separates = complete and all(
        found.low > LEAST_LEAD and found.tracks >= FEWEST for found in against.values()
    )
    words = _sentence(source, method, against, complete, separates)
    missing = sum(record["method"] == method and record["status"] == "missing" for record in records)
    if missing and against:
        # Whoever answers only what is easy must not look better for it.
        words += f" It gave no estimate in {missing} case{'s' * (missing != 1)} more."
    return Verdict(source, method, separates, against, words)


def _sentence(source: str, method: str, against: dict[str, Interval], complete: bool, separates: bool) -> str:
    what = "the sources together" if source == ALL else source
    if not against:
        return f"{method} has no estimate of {what} that could be measured."
    if not complete:
        return f"Of {method} on {what} nothing is claimed: not every control was measured."
    nearest = min(against, key=lambda name: against[name].low)
    found = against[nearest]
    lead = f"SI-SDR {found.mean:+.1f} dB against {nearest} ({found.low:+.1f} to {found.high:+.1f})"
    few = f", {found.cases} case{'s' * (found.cases != 1)} of {found.tracks} track{'s' * (found.tracks != 1)}"
    if separates:
        return f"{method} separates {what}: it beats every control, the nearest by {lead}{few}."
    if found.low > LEAST_LEAD:
        return (
            f"{method} leads every control on {what}, but {found.tracks} "
            f"track{'s are' if found.tracks != 1 else ' is'} too few to claim it (at least {FEWEST}): {lead}."
        )
    if found.high < 0:
        return f"{method} does not separate {what}; it is worse than {nearest}: {lead}{few}."
    return f"{method} does not separate {what} so that one could tell: {lead}{few}."


def _not_measured(records: Sequence[Record]) -> list[str]:
    """A line for each kind of case that is in no mean."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for record in records:
        if record["status"] in ("missing", "unreadable"):
            found.setdefault((record["method"], record["source"], record["why"]), []).append(record["track"])
        elif record["status"] != "ok":
            about = {
                "silent reference": "the source is silent there; its estimates were measured as leaks",
                "plays alone": "the source plays alone there, so there is nothing to separate",
            }[record["status"]]
            found.setdefault(("", record["source"], about), []).append(record["track"])
    lines = []
    for (method, source, why), tracks in sorted(found.items()):
        names = sorted(set(tracks))
        shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
        lines.append(f"{f'{method}, ' if method else ''}{source} ({shown}): {why}")
    return lines
