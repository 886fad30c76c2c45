"""What the reports say, whatever they are written in: facts, tables and sentences as plain text."""

import json
from collections.abc import Mapping
from typing import Any

from tagbox.evaluation.bootstrap import LEVEL, Interval
from tagbox.evaluation.summary import ALL, Row, Summary

MEASURE = (
    "SI-SDR compares an estimate with the true source, whatever its loudness; its improvement is what it "
    f"gains over the untouched mixture. Intervals hold {LEVEL:.0%}, by bootstrap over tracks."
)
CONTROLS = (
    "Controls separate nothing: silence, the mixture, half of it, a random mask, and for each estimate its "
    "own residual. A method separates a source if it beats every one of them on SI-SDR, with the paired "
    "interval clear of zero. Plain SDR cannot tell: half the mixture improves it by some 3 dB, silence often "
    "by more."
)
CEILING = (
    "The ideal ratio mask looks at the answer: no mask of that resolution does much better. It is no method."
)
HEARD = "Heard: the judge's probability of the source's tag in the mixture and in the estimate."


def title(request: Mapping[str, Any]) -> str:
    """The report's."""
    return f"Who separates what in {request['dataset']}"


def facts(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was asked, line by line."""
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


def overview(summary: Summary) -> tuple[list[str], list[list[str]]]:
    """SI-SDR improvement (dB), methods by sources: header and rows."""
    header = ["method", *summary.sources]
    rows = []
    for method in summary.methods:
        cells = [summary.row(source, method) for source in summary.sources]
        rows.append([method, *(decibel(c.si_sdri.mean if c and c.si_sdri else None) for c in cells)])
    return header, rows


def details(summary: Summary, source: str) -> tuple[list[str], list[list[str]]]:
    """Everything of one source: header and rows; columns that nobody filled are left out."""
    rows = [row for row in summary.rows if row.source == source]
    columns: list[tuple[str, list[str]]] = [
        ("method", [row.method for row in rows]),
        ("cases", [_cases(row) for row in rows]),
        ("SI-SDR", [decibel(row.si_sdr, sign=False) for row in rows]),
        ("improvement", [with_interval(row.si_sdri) for row in rows]),
        ("its residual", [decibel(row.residual) for row in rows]),
        ("SDR improvement", [with_interval(row.sdri) for row in rows]),
        ("window SDR improvement", [decibel(row.window_sdri) for row in rows]),
        ("heard before", [_share(row.heard_before) for row in rows]),
        ("heard after", [_share(row.heard_after) for row in rows]),
        ("leak", [decibel(row.leak, sign=False) for row in rows]),
        ("s a case", [seconds_text(row.took) for row in rows]),
    ]
    kept = [column for column in columns if any(column[1])]
    return [name for name, _ in kept], [list(cells) for cells in zip(*(c for _, c in kept), strict=True)]


def verdicts(summary: Summary) -> list[tuple[str, str]]:
    """("yes", "no" or "open", sentence) for each method and source, all sources together first."""
    ordered = sorted(summary.verdicts, key=lambda verdict: verdict.source != ALL)
    return [(verdict.answer, verdict.words) for verdict in ordered]


def left_out(request: Mapping[str, Any], summary: Summary) -> list[str]:
    """Whatever was not measured, and why."""
    stems: dict[str, list[str]] = {}
    for track, reasons in request["left_out"].items():
        for reason in reasons:
            stems.setdefault(reason, []).append(track)
    return [
        *(f"skipped: {line}" for line in request["skipped"]),
        *(
            f"not asked for: {reason} ({_count(len(tracks), 'track')})"
            for reason, tracks in sorted(stems.items())
        ),
        *summary.not_measured,
    ]


def methods(request: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each method and what decides its answers."""
    return [
        (name, "; ".join(settings))
        for name, about in request["methods"].items()
        if (settings := _settings(about))
    ]


def _settings(about: Mapping[str, Any]) -> list[str]:
    flat = {
        **{k: v for k, v in about.items() if k not in ("kind", "settings")},
        **about.get("settings", {}),
    }
    return [
        f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in flat.items()
    ]


def decibel(value: float | None, sign: bool = True) -> str:
    """One decimal; nothing for None."""
    if value is None:
        return ""
    text = f"{value:+.1f}" if sign else f"{value:.1f}"
    return text.replace("+0.0", "0.0").replace("-0.0", "0.0") if float(text) == 0 else text


def with_interval(found: Interval | None) -> str:
    """The mean with its interval; the mean alone where there is one track."""
    if found is None:
        return ""
    mean = decibel(found.mean)
    return mean if found.tracks < 2 else f"{mean} ({decibel(found.low)} to {decibel(found.high)})"


def seconds_text(value: float | None) -> str:
    """Two figures or so."""
    return "" if value is None else f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _cases(row: Row) -> str:
    notes = [f"{row.silent} silent"] * bool(row.silent) + [f"{row.missing} missing"] * bool(row.missing)
    return f"{row.measured}" + (f" ({', '.join(notes)})" if notes else "")


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
