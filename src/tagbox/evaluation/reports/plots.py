"""Plot the improvement of every case, the improvement against the loss, and run times."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from tagbox.evaluation.case import Record
from tagbox.evaluation.reports import svg
from tagbox.evaluation.reports.content import format_db
from tagbox.evaluation.summary import ALL_SOURCES, Row, Summary

# Sizes are in pixels.
PLOT_WIDTH = 760
LABEL_WIDTH = 190
ROW_HEIGHT = 22
MARGIN_WIDTH = 16
VALUE_WIDTH = 110
PANEL_SIZE, PANEL_GAP = 300.0, 60.0

MIN_IMPROVEMENT_DB, MAX_IMPROVEMENT_DB = -20.0, 30.0
"""Improvements beyond are drawn at the edge, as those of silence are."""
MIN_CORRELATION_CASES = 5
MIN_SECONDS = 1e-3
"""Run times are drawn on a logarithmic scale, which has no zero."""


@dataclass(frozen=True)
class Scale:
    """A linear map of values from `low` to `high` to positions from `start` to `end` (pixels)."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the position of `value`."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)


def plot_improvements(source: str, records: Sequence[Record], summary: Summary) -> str:
    """Plot the SI-SDR improvement of every case of `source`, with the mean and interval of each system.

    Returns:
        SVG; "" where no system has a case.
    """
    measured = [r for r in records if r["status"] == "ok" and source in (r["source"], ALL_SOURCES)]
    rows = [row for row in summary.rows if row.source == source and row.si_sdri is not None]
    if not rows:
        return ""
    values = [r["si_sdri"] for r in measured if MIN_IMPROVEMENT_DB <= r["si_sdri"] <= MAX_IMPROVEMENT_DB]
    low, high = math.floor(min([-2.0, *values])) - 1, math.ceil(max([2.0, *values])) + 1
    height = ROW_HEIGHT * len(rows) + 40
    bottom = height - 36.0
    scale = Scale(low, high, LABEL_WIDTH, PLOT_WIDTH - MARGIN_WIDTH)
    shapes = _draw_axis(scale, bottom, "SI-SDR improvement, dB")
    shapes.append(svg.line(scale(0), 0, scale(0), bottom, "zero"))
    for i, row in enumerate(rows):
        own = [record for record in measured if record["method"] == row.method]
        shapes += _draw_row(row, own, scale, ROW_HEIGHT * (i + 0.5))
    return svg.picture(PLOT_WIDTH, height, shapes, f"SI-SDR improvement of every case of {source}, by method")


def _draw_row(row: Row, records: Sequence[Record], scale: Scale, y: float) -> list[str]:
    shapes = [svg.text(LABEL_WIDTH - 10, y + 4, _shorten(row.method), "end")]
    for record in records:
        value = record["si_sdri"]
        if scale.low <= value <= scale.high:
            shapes.append(svg.dot(scale(value), y, _describe_case(record), f"{row.kind} faint"))
        else:
            below = value < scale.low
            edge = scale.start + 3 if below else scale.end
            shapes.append(svg.pointer(edge, y, below, _describe_case(record), row.kind))
    interval = row.si_sdri
    if interval is not None and scale.low <= interval.mean <= scale.high:
        start, end = scale(max(interval.low, scale.low)), scale(min(interval.high, scale.high))
        mean = scale(interval.mean)
        shapes.append(svg.line(start, y, end, y, f"{row.kind} interval"))
        shapes.append(svg.line(mean, y - 7, mean, y + 7, f"{row.kind} mean"))
    return shapes


def plot_losses(records: Sequence[Record]) -> str:
    """Plot the SI-SDR improvement against the final loss, a panel for each preset.

    Returns:
        SVG; "" where no record has a loss.
    """
    panels = _records_with_loss(records)
    if not panels:
        return ""
    rows = math.ceil(len(panels) / 2)
    shapes = []
    for i, (system, own) in enumerate(panels.items()):
        left, top = 56 + (i % 2) * (PANEL_SIZE + PANEL_GAP), 30 + (i // 2) * (PANEL_SIZE + 30)
        shapes += _draw_loss_panel(system, own, left, top)
    width = 56 + min(len(panels), 2) * (PANEL_SIZE + PANEL_GAP)
    height = rows * (PANEL_SIZE + 30) + 20
    return svg.picture(width, height, shapes, "SI-SDR improvement against the loss")


def _draw_loss_panel(system: str, records: Sequence[Record], left: float, top: float) -> list[str]:
    bottom, right = top + PANEL_SIZE - 50, left + PANEL_SIZE
    losses, improvements = [r["loss_last"] for r in records], [r["si_sdri"] for r in records]
    across = Scale(*_widen_range(losses), left, right)
    up = Scale(*_widen_range([*improvements, 0.0]), bottom, top)
    shapes = _draw_axis(across, bottom, "loss at the end", top)
    for tick in svg.ticks(up.low, up.high, 6):
        shapes.append(svg.text(left - 6, up(tick) + 4, f"{tick:g}", "end", "small"))
    shapes.append(svg.line(left, up(0), right, up(0), "zero"))
    shapes.append(svg.text(left, top - 10, f"{_shorten(system, 40)}, SI-SDR improvement in dB"))
    for record, loss, improvement in zip(records, losses, improvements, strict=True):
        shapes.append(svg.dot(across(loss), up(improvement), _describe_case(record), "preset faint"))
    return shapes


def loss_correlations(records: Sequence[Record]) -> list[str]:
    """Return a sentence for each preset: how well its loss ranks the cases (Spearman's rho)."""
    lines = []
    for system, own in _records_with_loss(records).items():
        count = len(own)
        if count < MIN_CORRELATION_CASES:
            lines.append(f"{system}: {count} case{'s' * (count != 1)}, too few to set against the loss.")
            continue
        rho = _rank_correlation([-r["loss_last"] for r in own], [r["si_sdri"] for r in own])
        lines.append(
            f"{system}: the lower the loss, the better the separation? Rank correlation {rho:+.2f} over "
            f"{count} cases (+1: always, 0: the loss says nothing)."
        )
    return lines


def plot_times(records: Sequence[Record]) -> str:
    """Plot the median run time for a second of audio, on a logarithmic scale.

    Returns:
        SVG; "" where there is neither a baseline nor a preset.
    """
    times: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    for record in records:
        if "took" in record and record["kind"] not in ("control", "ceiling", "estimates"):
            times.setdefault(record["method"], []).append(record["took"] / record["seconds"])
            kinds[record["method"]] = record["kind"]
    if not times:
        return ""
    medians = {system: max(median(own), MIN_SECONDS) for system, own in times.items()}
    low = math.floor(math.log10(min(medians.values())))
    high = max(math.ceil(math.log10(max(medians.values()))), low + 1)
    bottom = ROW_HEIGHT * len(medians) + 4.0
    scale = Scale(low, high, LABEL_WIDTH, PLOT_WIDTH - VALUE_WIDTH)
    shapes = []
    for power in range(low, high + 1):
        shapes.append(svg.line(scale(power), 0, scale(power), bottom, "grid"))
        shapes.append(svg.text(scale(power), bottom + 14, f"{10.0**power:g}", "middle", "small"))
    centre = (scale.start + scale.end) / 2
    shapes.append(svg.text(centre, bottom + 30, "seconds for a second of audio", "middle", "small"))
    for i, (system, seconds) in enumerate(medians.items()):
        y = ROW_HEIGHT * i + 4
        end = scale(math.log10(seconds))
        shapes.append(svg.text(LABEL_WIDTH - 10, y + 12, _shorten(system), "end"))
        shapes.append(svg.bar(LABEL_WIDTH, y, end - LABEL_WIDTH, ROW_HEIGHT - 8, kinds[system]))
        shapes.append(svg.text(max(end, LABEL_WIDTH) + 6, y + 12, f"{seconds:.2g} s", "start", "small"))
    return svg.picture(PLOT_WIDTH, bottom + 36, shapes, "time for a second of audio, by method")


def _draw_axis(scale: Scale, bottom: float, label: str, top: float = 0.0) -> list[str]:
    """Draw a horizontal axis with vertical grid lines from `top` to `bottom`."""
    shapes = []
    for tick in svg.ticks(scale.low, scale.high):
        shapes.append(svg.line(scale(tick), top, scale(tick), bottom, "grid"))
        shapes.append(svg.text(scale(tick), bottom + 14, f"{tick:g}", "middle", "small"))
    centre = scale((scale.low + scale.high) / 2)
    return [*shapes, svg.text(centre, bottom + 30, label, "middle", "small")]


def _widen_range(values: Sequence[float]) -> tuple[float, float]:
    """Return the range of `values` with a margin."""
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or max(abs(high), 1.0) * 0.1
    return low - margin, high + margin


def _records_with_loss(records: Sequence[Record]) -> Mapping[str, list[Record]]:
    """Return, for each system, the records of measured cases that have a loss."""
    by_system: dict[str, list[Record]] = {}
    for record in records:
        if record["status"] == "ok" and record.get("loss_last") is not None:
            by_system.setdefault(record["method"], []).append(record)
    return by_system


def _rank_correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Compute Spearman's rho; equal values share their mean rank. 0 where all `xs` or all `ys` are equal."""
    ranks = []
    for values in (xs, ys):
        _, position, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[position])
    if any(np.ptp(rank) == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _describe_case(record: Record) -> str:
    return f"{record['track']}, {record['source']}: {format_db(record['si_sdri'])} dB"


def _shorten(name: str, max_length: int = 26) -> str:
    return name if len(name) <= max_length else f"{name[: max_length - 1]}…"
