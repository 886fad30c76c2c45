"""Drawings of the page as SVG text: a recording with a tagger's predictions, and the curves of a loop."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import torch
from torch import Tensor

from tagbox.evaluation.reports import svg
from tagbox.tagging import TagPredictions
from tagbox.tags.resolve import short_name
from tagbox.ui.jobs import JobStatus

WIDTH = 640
WAVEFORM_LEFT, WAVEFORM_RIGHT = 96, 44
WAVEFORM_HEIGHT = 64
WAVEFORM_COLUMNS = 400
TAG_ROWS = 10
TAG_ROW_HEIGHT = 18
LOOP_HEIGHT = 200
LOOP_LEFT, LOOP_RIGHT, LOOP_TOP, LOOP_BOTTOM = 46, 58, 12, 26
COLOURS = ("#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#a6761d")
MIN_PEAK = 1e-9

Curve = tuple[str, list[float]]
"""A query, and at each step the probability of its most probable target tag."""


def draw_predictions(samples: Tensor, rate: int, predictions: TagPredictions) -> str:
    """Draw the waveform of `samples` (channels, samples), and below it each tag's probability by window.

    The rows are the tags with the highest probability in any window; the number on the right is the mean
    over the recording.
    """
    seconds = samples.shape[-1] / rate
    width = WIDTH - WAVEFORM_LEFT - WAVEFORM_RIGHT
    shapes = [
        svg.text(WAVEFORM_LEFT - 6, WAVEFORM_HEIGHT / 2 + 4, "waveform", "end"),
        _waveform(samples, width),
    ]
    highest = predictions.windows.amax(dim=0)
    for row, tag in enumerate(torch.argsort(highest, descending=True, stable=True)[:TAG_ROWS].tolist()):
        y = WAVEFORM_HEIGHT + 8 + row * TAG_ROW_HEIGHT
        shapes.append(svg.text(WAVEFORM_LEFT - 6, y + 13, short_name(predictions.tags[tag]), "end"))
        values = predictions.windows[:, tag].tolist()
        for (start, stop), probability in zip(predictions.spans, values, strict=True):
            x = WAVEFORM_LEFT + start / seconds * width
            shapes.append(
                f'<rect x="{x:.1f}" y="{y}" width="{(stop - start) / seconds * width:.1f}" '
                f'height="{TAG_ROW_HEIGHT - 2}" class="heat" fill-opacity="{probability:.2f}">'
                f"<title>{start:.1f} to {stop:.1f} s: {probability:.0%}</title></rect>"
            )
        mean = float(predictions.probabilities[tag])
        shapes.append(svg.text(WIDTH - 4, y + 13, f"{mean:.0%}", "end"))
    bottom = WAVEFORM_HEIGHT + 8 + TAG_ROWS * TAG_ROW_HEIGHT
    for tick in svg.ticks(0, seconds, 6):
        x = WAVEFORM_LEFT + tick / seconds * width
        shapes.append(svg.text(x, bottom + 14, f"{tick:g} s", "middle", "faint"))
    label = "waveform, and the probability of each tag over time"
    return svg.picture(WIDTH, bottom + 20, shapes, label)


def draw_loop(
    status: JobStatus, queries: Sequence[str], targets: Mapping[str, Sequence[Sequence[int]]], steps: int
) -> str:
    """Draw the loss and the target tags' probabilities of the current loop so far, with a legend.

    Args:
        queries: one a source.
        targets: for each query, for each tagger, the indices of its target tags.
        steps: the number of steps that the loop takes at the most.
    """
    plane = _Plane(steps)
    losses = [step.loss for step in status.steps]
    curves = _probability_curves(status, queries, targets)
    shapes = plane.grid()
    if losses:
        shapes += _loss_curve(plane, losses)
    for i, (_, probabilities) in enumerate(curves):
        points = [(plane.x(step), plane.y(value)) for step, value in enumerate(probabilities)]
        shapes.append(_polyline(points, COLOURS[i % len(COLOURS)], "probability"))
    picture = svg.picture(WIDTH, LOOP_HEIGHT, shapes, "loss and probabilities by step")
    return f'<div class="legend">{_legend(curves, losses)}</div>{picture}'


@dataclass(frozen=True)
class _Plane:
    """The plane of the curves: steps from left to right, shares of 1 from bottom to top."""

    steps: int

    def x(self, step: float) -> float:
        width = WIDTH - LOOP_LEFT - LOOP_RIGHT
        return LOOP_LEFT + width * step / max(self.steps - 1, 1)

    def y(self, share: float) -> float:
        return LOOP_TOP + (LOOP_HEIGHT - LOOP_TOP - LOOP_BOTTOM) * (1 - share)

    def grid(self) -> list[str]:
        """Return horizontal lines at 0, 50 and 100 %, and the numbers of some steps."""
        shapes = []
        for share in (0.0, 0.5, 1.0):
            y = self.y(share)
            shapes += [
                svg.line(LOOP_LEFT, y, WIDTH - LOOP_RIGHT, y, "grid"),
                svg.text(LOOP_LEFT - 6, y + 4, f"{share:.0%}", "end"),
            ]
        for step in svg.ticks(0, max(self.steps - 1, 1), 6):
            if step == int(step):
                shapes.append(svg.text(self.x(step), LOOP_HEIGHT - 8, f"{step:g}", "middle", "faint"))
        return shapes


def _loss_curve(plane: _Plane, losses: Sequence[float]) -> list[str]:
    """Return the curve of the losses, scaled to the plane's height, with its range on the right."""
    low, high = min(losses), max(losses)
    span = (high - low) or 1.0
    points = [(plane.x(step), plane.y((loss - low) / span)) for step, loss in enumerate(losses)]
    right = WIDTH - LOOP_RIGHT + 4
    return [
        _polyline(points, "currentColor", "loss"),
        svg.text(right, plane.y(1) + 4, f"{high:.3g}", "start", "faint"),
        svg.text(right, plane.y(0) + 4, f"{low:.3g}", "start", "faint"),
    ]


def _probability_curves(
    status: JobStatus, queries: Sequence[str], targets: Mapping[str, Sequence[Sequence[int]]]
) -> list[Curve]:
    """Return a curve for each source of the current loop, averaged over the taggers."""
    if not status.steps:
        return []
    sources = status.steps[0].probabilities[0].shape[0]
    # A loop steers all sources together, or one of them.
    shown = queries if sources == len(queries) else [queries[(status.loops - 1) % len(queries)]]
    curves = []
    for row, query in enumerate(shown):
        values = [
            sum(float(p[row, tags].max()) for p, tags in zip(step.probabilities, targets[query], strict=True))
            / len(step.probabilities)
            for step in status.steps
        ]
        curves.append((query, values))
    return curves


def _legend(curves: Sequence[Curve], losses: Sequence[float]) -> str:
    entries = [
        f'<span><i style="background:{COLOURS[i % len(COLOURS)]}"></i>{escape(query)} '
        f"<b>{values[-1]:.0%}</b></span>"
        for i, (query, values) in enumerate(curves)
    ]
    if losses:
        entries.append(f'<span><i class="dotted"></i>loss <b>{losses[-1]:.4g}</b></span>')
    return "".join(entries)


def _polyline(points: Sequence[tuple[float, float]], colour: str, style: str) -> str:
    coordinates = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{coordinates}" fill="none" stroke="{colour}" class="{style}"/>'


def _waveform(samples: Tensor, width: float) -> str:
    """Return the range of `samples` (channels, samples) in each of `WAVEFORM_COLUMNS`, as a filled shape."""
    mono = samples.mean(dim=0)
    columns = min(WAVEFORM_COLUMNS, mono.shape[0])
    per_column = mono.shape[0] // columns
    by_column = mono[: columns * per_column].reshape(columns, per_column)
    high, low = by_column.amax(dim=1), by_column.amin(dim=1)
    middle = WAVEFORM_HEIGHT / 2
    scale = middle / max(float(mono.abs().max()), MIN_PEAK)
    xs = [WAVEFORM_LEFT + width * (i + 0.5) / columns for i in range(columns)]
    upper = [f"{x:.1f},{middle - scale * value:.1f}" for x, value in zip(xs, high.tolist(), strict=True)]
    lower = [f"{x:.1f},{middle - scale * value:.1f}" for x, value in zip(xs, low.tolist(), strict=True)]
    return f'<polygon points="{" ".join([*upper, *lower[::-1]])}" class="wave"/>'
