"""Content of the reports as plain text, whatever they are written in: facts, tables and sentences."""

import json
from collections.abc import Mapping
from typing import Any

from tagbox.evaluation.bootstrap import CONFIDENCE, Interval
from tagbox.evaluation.summary import ALL_SOURCES, Row, Summary

Table = tuple[list[str], list[list[str]]]
"""A header and rows of cells."""

ABOUT_SI_SDR = (
    "SI-SDR compares an estimate with the true source, whatever its loudness; its improvement is what it "
    f"gains over the untouched mixture. Intervals hold {CONFIDENCE:.0%}, by bootstrap over tracks."
)
ABOUT_CONTROLS = (
    "Controls separate nothing: silence, the mixture, half of it, a random mask, and for each estimate its "
    "own residual. A method separates a source if it beats every one of them on SI-SDR, with the paired "
    "interval clear of zero. Plain SDR cannot tell: half the mixture improves it by some 3 dB, silence often "
    "by more."
)
ABOUT_CEILING = (
    "The ideal ratio mask is computed from the true source, so it is no method; no mask of that resolution "
    "does much better."
)
ABOUT_JUDGE = "Heard: the judge's probability of the source's tag in the mixture and in the estimate."


def report_title(request: Mapping[str, Any]) -> str:
    """Return the title of the report."""
    return f"Who separates what in {request['dataset']}"


def run_facts(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return name and value of everything that was asked for, apart from the systems."""
    tracks = request["tracks"]
    seconds = request["seconds"]
    versions = ", ".join(f"{name} {version}" for name, version in request["versions"].items())
    return [
        ("data set", f"{request['dataset']} ({request['layout']}), {_count(len(tracks), 'track')}"),
        ("sources", ", ".join(request["sources"]) or "all that a tagger has a word for"),
        (
            "excerpts",
            f"{seconds:g} s, where the source plays, seed {request['seed']}" if seconds else "whole tracks",
        ),
        ("asked", "all sources of a track at once" if request["together"] else "each source on its own"),
        ("judge", request["judge"] or "none"),
        ("made with", versions),
    ]


def overview_table(summary: Summary) -> Table:
    """Return the mean SI-SDR improvement (dB) of each system on each source."""
    rows = []
    for method in summary.methods:
        cells = [summary.row(source, method) for source in summary.sources]
        rows.append([method, *(format_db(c.si_sdri.mean if c and c.si_sdri else None) for c in cells)])
    return ["method", *summary.sources], rows


def source_table(summary: Summary, source: str) -> Table:
    """Return all means of each system on one source, without columns that no system has a value in."""
    rows = [row for row in summary.rows if row.source == source]
    columns: list[tuple[str, list[str]]] = [
        ("method", [row.method for row in rows]),
        ("cases", [_format_cases(row) for row in rows]),
        ("SI-SDR", [format_db(row.si_sdr, sign=False) for row in rows]),
        ("improvement", [format_interval(row.si_sdri) for row in rows]),
        ("its residual", [format_db(row.residual) for row in rows]),
        ("SDR improvement", [format_interval(row.sdri) for row in rows]),
        ("window SDR improvement", [format_db(row.window_sdri) for row in rows]),
        ("heard before", [_format_probability(row.heard_before) for row in rows]),
        ("heard after", [_format_probability(row.heard_after) for row in rows]),
        ("leak", [format_db(row.leak, sign=False) for row in rows]),
        ("s a case", [format_seconds(row.took) for row in rows]),
    ]
    kept = [column for column in columns if any(column[1])]
    return [name for name, _ in kept], [list(cells) for cells in zip(*(c for _, c in kept), strict=True)]


def verdict_lines(summary: Summary) -> list[tuple[str, str]]:
    """Return "yes", "no" or "open" and the sentence of each verdict, those on all sources first."""
    ordered = sorted(summary.verdicts, key=lambda verdict: verdict.source != ALL_SOURCES)
    return [(verdict.answer, verdict.words) for verdict in ordered]


def unmeasured_lines(request: Mapping[str, Any], summary: Summary) -> list[str]:
    """Return a line for everything that was not measured, with the reason."""
    tracks_by_reason: dict[str, list[str]] = {}
    for track, reasons in request["left_out"].items():
        for reason in reasons:
            tracks_by_reason.setdefault(reason, []).append(track)
    return [
        *(f"skipped: {line}" for line in request["skipped"]),
        *(
            f"not asked for: {reason} ({_count(len(tracks), 'track')})"
            for reason, tracks in sorted(tracks_by_reason.items())
        ),
        *summary.not_measured,
    ]


def system_settings(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return each system that has settings, and its settings."""
    return [
        (name, "; ".join(settings))
        for name, description in request["methods"].items()
        if (settings := _list_settings(description))
    ]


def _list_settings(description: Mapping[str, Any]) -> list[str]:
    flat = {
        **{key: value for key, value in description.items() if key not in ("kind", "settings")},
        **description.get("settings", {}),
    }
    return [
        f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in flat.items()
    ]


def format_db(value: float | None, sign: bool = True) -> str:
    """Format a ratio (dB) with one decimal; "" for None."""
    if value is None:
        return ""
    text = f"{value:+.1f}" if sign else f"{value:.1f}"
    return text.replace("+0.0", "0.0").replace("-0.0", "0.0") if float(text) == 0 else text


def format_interval(interval: Interval | None) -> str:
    """Format a mean with its interval; only the mean where there is one track; "" for None."""
    if interval is None:
        return ""
    mean = format_db(interval.mean)
    return (
        mean if interval.tracks < 2 else f"{mean} ({format_db(interval.low)} to {format_db(interval.high)})"
    )


def format_seconds(value: float | None) -> str:
    """Format a time (s) with about two figures; "" for None."""
    return "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _format_cases(row: Row) -> str:
    notes = [f"{row.silent} silent"] * bool(row.silent) + [f"{row.missing} missing"] * bool(row.missing)
    return f"{row.measured}" + (f" ({', '.join(notes)})" if notes else "")


def _format_probability(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
