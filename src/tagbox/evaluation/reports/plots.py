"""The report's plots: every case as a dot, the loss against what it is worth, and time."""

import math
from collections.abc import Mapping, Sequence
from statistics import median

import numpy as np

from tagbox.evaluation.case import Record
from tagbox.evaluation.reports import svg
from tagbox.evaluation.reports.content import decibel
from tagbox.evaluation.summary import ALL, Summary

WIDTH = 760
LABELS = 190
"""Pixels for the methods' names."""
ROW = 22
LOWEST, HIGHEST = -20.0, 30.0
"""dB of improvement; what lies further out is drawn at the edge, as silence is."""


def distribution(source: str, records: Sequence[Record], summary: Summary) -> str:
    """SI-SDR improvement of every case of `source`: a row of dots for each method, its mean and interval."""
    good = [r for r in records if r["status"] == "ok" and source in (r["source"], ALL)]
    rows = [row for row in summary.rows if row.source == source and row.si_sdri is not None]
    if not rows:
        return ""
    inside = [r["si_sdri"] for r in good if LOWEST <= r["si_sdri"] <= HIGHEST]
    low, high = math.floor(min([-2.0, *inside])) - 1, math.ceil(max([2.0, *inside])) + 1
    height = ROW * len(rows) + 40
    bottom = height - 36.0
    scale = _Scale(low, high, LABELS, WIDTH - 16)
    shapes = _axis(scale, bottom, "SI-SDR improvement, dB")
    shapes.append(svg.line(scale(0), 0, scale(0), bottom, "zero"))
    for i, row in enumerate(rows):
        y = ROW * (i + 0.5)
        shapes.append(svg.text(LABELS - 10, y + 4, _short(row.method), "end"))
        for record in (r for r in good if r["method"] == row.method):
            value = record["si_sdri"]
            hint = f"{record['track']}, {record['source']}: {decibel(value)} dB"
            if low <= value <= high:
                shapes.append(svg.dot(scale(value), y, hint, f"{row.kind} faint"))
            else:
                edge = LABELS + 3 if value < low else WIDTH - 16
                shapes.append(svg.pointer(edge, y, value < low, hint, row.kind))
        found = row.si_sdri
        if found is not None and low <= found.mean <= high:
            ends = (scale(max(found.low, low)), scale(min(found.high, high)))
            shapes.append(svg.line(ends[0], y, ends[1], y, f"{row.kind} interval"))
            shapes.append(svg.line(scale(found.mean), y - 7, scale(found.mean), y + 7, f"{row.kind} mean"))
    return svg.picture(WIDTH, height, shapes, f"SI-SDR improvement of every case of {source}, by method")


def losses(records: Sequence[Record]) -> str:
    """SI-SDR improvement against the loss at the end, a panel for each preset; "" where there is no loss."""
    panels = _with_losses(records)
    if not panels:
        return ""
    side, gap = 300.0, 60.0
    rows = math.ceil(len(panels) / 2)
    shapes = []
    for i, (method, good) in enumerate(panels.items()):
        left, top = 56 + (i % 2) * (side + gap), 30 + (i // 2) * (side + 30)
        bottom = top + side - 50
        xs, ys = [r["loss_last"] for r in good], [r["si_sdri"] for r in good]
        across = _Scale(*_room(xs), left, left + side)
        up = _Scale(*_room([*ys, 0.0]), bottom, top)
        shapes += _axis(across, bottom, "loss at the end", top)
        for tick in svg.ticks(up.low, up.high, 6):
            shapes.append(svg.text(left - 6, up(tick) + 4, f"{tick:g}", "end", "small"))
        shapes.append(svg.line(left, up(0), left + side, up(0), "zero"))
        shapes.append(svg.text(left, top - 10, f"{_short(method, 40)}, SI-SDR improvement in dB"))
        for r, x, y in zip(good, xs, ys, strict=True):
            shapes.append(
                svg.dot(across(x), up(y), f"{r['track']}, {r['source']}: {decibel(y)} dB", "preset faint")
            )
    width = 56 + min(len(panels), 2) * (side + gap)
    return svg.picture(width, rows * (side + 30) + 20, shapes, "SI-SDR improvement against the loss")


def losses_in_words(records: Sequence[Record]) -> list[str]:
    """For each preset, how well the loss ranks the cases (Spearman's rho)."""
    lines = []
    for method, good in _with_losses(records).items():
        count = len(good)
        if count < 5:
            lines.append(f"{method}: {count} case{'s' * (count != 1)}, too few to set against the loss.")
            continue
        rho = _rank_correlation([-r["loss_last"] for r in good], [r["si_sdri"] for r in good])
        lines.append(
            f"{method}: the lower the loss, the better the separation? Rank correlation {rho:+.2f} over "
            f"{count} cases (+1: always, 0: the loss says nothing)."
        )
    return lines


def times(records: Sequence[Record]) -> str:
    """Median time a second of audio, on a scale of powers of ten."""
    took: dict[str, list[float]] = {}
    kinds: dict[str, str] = {}
    for record in records:
        if "took" in record and record["kind"] not in ("control", "ceiling", "estimates"):
            took.setdefault(record["method"], []).append(record["took"] / record["seconds"])
            kinds[record["method"]] = record["kind"]
    if not took:
        return ""
    values = {method: max(median(each), 1e-3) for method, each in took.items()}
    low = math.floor(math.log10(min(values.values())))
    high = max(math.ceil(math.log10(max(values.values()))), low + 1)
    bottom = ROW * len(values) + 4.0
    scale = _Scale(low, high, LABELS, WIDTH - 110)
    shapes = []
    for power in range(low, high + 1):
        shapes.append(svg.line(scale(power), 0, scale(power), bottom, "grid"))
        shapes.append(svg.text(scale(power), bottom + 14, f"{10.0**power:g}", "middle", "small"))
    shapes.append(
        svg.text((LABELS + WIDTH - 110) / 2, bottom + 30, "seconds for a second of audio", "middle", "small")
    )
    for i, (method, value) in enumerate(values.items()):
        y = ROW * i + 4
        end = scale(math.log10(value))
        shapes.append(svg.text(LABELS - 10, y + 12, _short(method), "end"))
        shapes.append(svg.bar(LABELS, y, end - LABELS, ROW - 8, kinds[method]))
        shapes.append(svg.text(max(end, LABELS) + 6, y + 12, f"{value:.2g} s", "start", "small"))
    return svg.picture(WIDTH, bottom + 36, shapes, "time for a second of audio, by method")


class _Scale:
    """Values from `low` to `high` as places from `start` to `end` (pixels)."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high = low, high
        self._start, self._end = start, end

    def __call__(self, value: float) -> float:
        return self._start + (value - self.low) / (self.high - self.low) * (self._end - self._start)


def _axis(scale: _Scale, bottom: float, label: str, top: float = 0.0) -> list[str]:
    shapes = []
    for tick in svg.ticks(scale.low, scale.high):
        shapes.append(svg.line(scale(tick), top, scale(tick), bottom, "grid"))
        shapes.append(svg.text(scale(tick), bottom + 14, f"{tick:g}", "middle", "small"))
    middle = scale((scale.low + scale.high) / 2)
    return [*shapes, svg.text(middle, bottom + 30, label, "middle", "small")]


def _room(values: Sequence[float]) -> tuple[float, float]:
    """The range of `values` with a margin."""
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or max(abs(high), 1.0) * 0.1
    return low - margin, high + margin


def _with_losses(records: Sequence[Record]) -> Mapping[str, list[Record]]:
    """By method, the measured cases that have a loss."""
    found: dict[str, list[Record]] = {}
    for record in records:
        if record["status"] == "ok" and record.get("loss_last") is not None:
            found.setdefault(record["method"], []).append(record)
    return found


def _rank_correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Spearman's rho; equal values share their mean rank. 0 where one of the two never changes."""
    ranks = []
    for values in (xs, ys):
        _, place, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[place])
    if any(np.ptp(rank) == 0 for rank in ranks):
        return 0.0
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _short(name: str, most: int = 26) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"
