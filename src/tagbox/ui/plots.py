"""Drawings for the page as SVG text: a recording with what is heard in it, and a run's curves."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from tagbox.evaluation.reports import svg
from tagbox.tagging import TagPredictions
from tagbox.tags.resolve import short
from tagbox.ui.jobs import JobStatus

WIDTH = 640
LEFT = 96
RIGHT = 44
WAVE = 64
ROW = 18
ROWS = 10
COLUMNS = 400
CURVES = 200
COLOURS = ("#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#a6761d")


def heard_over_time(samples: Tensor, rate: int, heard: TagPredictions) -> str:
    """The waveform of `samples` (channels, samples), and under it each tag's probability by window.

    Rows are the tags that are surest in some window; the figure at the right is the mean over the recording.
    """
    seconds = samples.shape[-1] / rate
    width = WIDTH - LEFT - RIGHT
    shapes = [svg.text(LEFT - 6, WAVE / 2 + 4, "waveform", "end"), _wave(samples, width)]
    surest = heard.windows.amax(dim=0)
    for row, tag in enumerate(torch.argsort(surest, descending=True, stable=True)[:ROWS].tolist()):
        y = WAVE + 8 + row * ROW
        shapes.append(svg.text(LEFT - 6, y + 13, short(heard.tags[tag]), "end"))
        for (begin, end), probability in zip(heard.spans, heard.windows[:, tag].tolist(), strict=True):
            x = LEFT + begin / seconds * width
            shapes.append(
                f'<rect x="{x:.1f}" y="{y}" width="{(end - begin) / seconds * width:.1f}" height="{ROW - 2}" '
                f'class="heat" fill-opacity="{probability:.2f}"><title>{begin:.1f} to {end:.1f} s: '
                f"{probability:.0%}</title></rect>"
            )
        mean = float(heard.probabilities[tag])
        shapes.append(svg.text(WIDTH - 4, y + 13, f"{mean:.0%}", "end"))
    bottom = WAVE + 8 + ROWS * ROW
    for tick in svg.ticks(0, seconds, 6):
        shapes.append(svg.text(LEFT + tick / seconds * width, bottom + 14, f"{tick:g} s", "middle", "faint"))
    label = "waveform, and the probability of each tag over time"
    return svg.picture(WIDTH, bottom + 20, shapes, label)


def curves(
    moment: JobStatus, words: Sequence[str], wanted: Mapping[str, Sequence[Sequence[int]]], steps: int
) -> str:
    """The loss and the wanted tags' probabilities of the loop that goes on, so far.

    Args:
        words: one a source.
        wanted: for each word, for each tagger, the outputs that it stands for.
        steps: of the loop, at the most.
    """
    lines = _probabilities(moment, words, wanted)
    losses = [step.loss for step in moment.steps]
    left, right, top, height = 46, 58, 12, CURVES - 38
    width = WIDTH - left - right

    def x(step: int) -> float:
        return left + width * step / max(steps - 1, 1)

    shapes = []
    for tick in (0.0, 0.5, 1.0):
        y = top + height * (1 - tick)
        shapes += [
            svg.line(left, y, WIDTH - right, y, "grid"),
            svg.text(left - 6, y + 4, f"{tick:.0%}", "end"),
        ]
    for tick in svg.ticks(0, max(steps - 1, 1), 6):
        if tick == int(tick):
            shapes.append(svg.text(x(int(tick)), CURVES - 8, f"{tick:g}", "middle", "faint"))
    if losses:
        low, high = min(losses), max(losses)
        span = (high - low) or 1.0
        points = [(x(i), top + height * (1 - (loss - low) / span)) for i, loss in enumerate(losses)]
        shapes.append(_line(points, "currentColor", "loss"))
        shapes.append(svg.text(WIDTH - right + 4, top + 4, f"{high:.3g}", "start", "faint"))
        shapes.append(svg.text(WIDTH - right + 4, top + height + 4, f"{low:.3g}", "start", "faint"))
    for i, (_, values) in enumerate(lines):
        points = [(x(j), top + height * (1 - value)) for j, value in enumerate(values)]
        shapes.append(_line(points, COLOURS[i % len(COLOURS)], "probability"))
    picture = svg.picture(WIDTH, CURVES, shapes, "loss and probabilities by step")
    return f'<div class="legend">{_legend(lines, losses)}</div>{picture}'


def _probabilities(
    moment: JobStatus, words: Sequence[str], wanted: Mapping[str, Sequence[Sequence[int]]]
) -> list[tuple[str, list[float]]]:
    """For each source of the loop that goes on, the surest wanted tag at each step, mean over taggers."""
    if not moment.steps:
        return []
    rows = moment.steps[0].probabilities[0].shape[0]
    shown = words if rows == len(words) else [words[(moment.loops - 1) % len(words)]]
    lines = []
    for row, word in enumerate(shown):
        values = [
            sum(float(p[row, tags].max()) for p, tags in zip(step.probabilities, wanted[word], strict=True))
            / len(step.probabilities)
            for step in moment.steps
        ]
        lines.append((word, values))
    return lines


def _legend(lines: Sequence[tuple[str, list[float]]], losses: Sequence[float]) -> str:
    from html import escape

    parts = [
        f'<span><i style="background:{COLOURS[i % len(COLOURS)]}"></i>{escape(word)} '
        f"<b>{values[-1]:.0%}</b></span>"
        for i, (word, values) in enumerate(lines)
    ]
    if losses:
        parts.append(f'<span><i class="dotted"></i>loss <b>{losses[-1]:.4g}</b></span>')
    return "".join(parts)


def _line(points: Sequence[tuple[float, float]], colour: str, style: str) -> str:
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{drawn}" fill="none" stroke="{colour}" class="{style}"/>'


def _wave(samples: Tensor, width: float) -> str:
    """The range of `samples` (channels, samples) in each of `COLUMNS` stretches, as one filled shape."""
    mono = samples.mean(dim=0)
    columns = min(COLUMNS, mono.shape[0])
    per = mono.shape[0] // columns
    pieces = mono[: columns * per].reshape(columns, per)
    high, low = pieces.amax(dim=1), pieces.amin(dim=1)
    scale = WAVE / 2 / max(float(mono.abs().max()), 1e-9)
    xs = [LEFT + width * (i + 0.5) / columns for i in range(columns)]
    above = [f"{x:.1f},{WAVE / 2 - scale * value:.1f}" for x, value in zip(xs, high.tolist(), strict=True)]
    below = [f"{x:.1f},{WAVE / 2 - scale * value:.1f}" for x, value in zip(xs, low.tolist(), strict=True)]
    return f'<polygon points="{" ".join([*above, *below[::-1]])}" class="wave"/>'
