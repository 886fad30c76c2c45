"""The table as CSV: a row for each source and method, numbers unrounded enough to compute with."""

import csv
import io

from tagbox.evaluation.bootstrap import Interval
from tagbox.evaluation.summary import Row, Summary

COLUMNS = (
    "source",
    "method",
    "kind",
    "cases",
    "tracks",
    "silent",
    "missing",
    "si_sdr",
    "si_sdri",
    "si_sdri_low",
    "si_sdri_high",
    "residual_si_sdri",
    "sdr",
    "sdri",
    "sdri_low",
    "sdri_high",
    "window_sdri",
    "heard_before",
    "heard_after",
    "leak",
    "separates",
    "seconds",
)
"""Ratios and their 95 % intervals in dB; `seconds` is the median a case, the one column that varies."""


def render(summary: Summary) -> str:
    """The whole file."""
    claims = {(v.source, v.method): v.separates for v in summary.verdicts}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in summary.rows:
        writer.writerow(_cells(row, claims.get((row.source, row.method))))
    return text.getvalue()


def _cells(row: Row, separates: bool | None) -> list[str | int]:
    claim = "" if separates is None else "yes" if separates else "no"
    tracks = row.si_sdri.tracks if row.si_sdri else 0
    return [
        *(row.source, row.method, row.kind, row.measured, tracks, row.silent, row.missing),
        *(_number(row.si_sdr), *_interval(row.si_sdri), _number(row.residual)),
        *(_number(row.sdr), *_interval(row.sdri)),
        *(_number(value) for value in (row.window_sdri, row.heard_before, row.heard_after, row.leak)),
        *(claim, "" if row.took is None else f"{row.took:.3f}"),
    ]


def _interval(found: Interval | None) -> tuple[str, str, str]:
    return ("", "", "") if found is None else (_number(found.mean), _number(found.low), _number(found.high))


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
