"""Render the summary as CSV: a row for each source and system, with four decimals."""

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
"""Ratios and their 95 % intervals are in dB; `seconds` is the median a case, and differs from run to run."""


def render_csv(summary: Summary) -> str:
    """Render the file."""
    claims = {(v.source, v.method): v.separates for v in summary.verdicts}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in summary.rows:
        writer.writerow(_row_cells(row, claims.get((row.source, row.method))))
    return text.getvalue()


def _row_cells(row: Row, separates: bool | None) -> list[str | int]:
    claim = "" if separates is None else "yes" if separates else "no"
    tracks = row.si_sdri.tracks if row.si_sdri else 0
    return [
        *(row.source, row.method, row.kind, row.measured, tracks, row.silent, row.missing),
        *(_format(row.si_sdr), *_format_interval(row.si_sdri), _format(row.residual)),
        *(_format(row.sdr), *_format_interval(row.sdri)),
        *(_format(value) for value in (row.window_sdri, row.heard_before, row.heard_after, row.leak)),
        *(claim, "" if row.took is None else f"{row.took:.3f}"),
    ]


def _format_interval(interval: Interval | None) -> tuple[str, str, str]:
    if interval is None:
        return "", "", ""
    return _format(interval.mean), _format(interval.low), _format(interval.high)


def _format(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
