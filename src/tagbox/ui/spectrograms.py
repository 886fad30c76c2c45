"""Spectrograms of tracks of any length, drawn alike so that they can be compared side by side."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagbox.audio.readers import FileReader
from tagbox.errors import TagBoxError
from tagbox.plots import FLOOR_DB, HIGHEST_HZ, level_db

COLUMNS = 600
BLOCK_SECONDS = 20
FAINT = 0.01
"""What levels are told against at first: so faint that `FLOOR_DB` below it is under any picture's floor."""


def save(tracks: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Draw each track as a PNG in `folder`; 0 dB is the loudest point of the first.

    Raises:
        TagBoxError: matplotlib is not installed, or a track cannot be read.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TagBoxError("plots need matplotlib; install it with: pip install 'tagbox[ui]'") from error
    drawn = {}
    loudest: float | None = None
    for name, path in tracks.items():
        recording = FileReader.of(path)
        levels = _levels(recording)
        loudest = float(levels.max()) if loudest is None else loudest
        seconds = recording.samples / recording.rate
        figure = Figure(figsize=(4.4, 2.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.imshow(
            levels - loudest,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=FLOOR_DB,
            vmax=0,
            extent=(0, seconds, 0, recording.rate / 2000),
        )
        axes.set(xlabel="s", ylabel="kHz", ylim=(0, min(recording.rate / 2, HIGHEST_HZ) / 1000))
        drawn[name] = folder / f"{path.stem}.png"
        figure.savefig(drawn[name], dpi=110, format="png")
    return drawn


def _levels(recording: FileReader) -> NDArray[np.float32]:
    """Level in dB, (bins, columns): a stretch at a time, the loudest frame of each column."""
    block = BLOCK_SECONDS * recording.rate
    spans = [(at, min(recording.samples, at + block)) for at in range(0, recording.samples, block)]
    columns = max(1, COLUMNS // len(spans))
    parts = []
    for stretch in recording.read_spans(spans):
        if stretch.shape[-1]:
            share = max(1, round(columns * stretch.shape[-1] / block)) if len(spans) > 1 else columns
            parts.append(_loudest(level_db(stretch, FAINT), share))
    return np.concatenate(parts, axis=1)


def _loudest(levels: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    frames = levels.shape[1]
    if frames <= columns:
        return levels
    starts = np.arange(columns) * frames // columns
    pooled: NDArray[np.float32] = np.maximum.reduceat(levels, starts, axis=1)
    return pooled
