"""Spectrograms of tracks of any length, on one colour scale so that they can be compared side by side."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagbox.audio.readers import FileReader
from tagbox.errors import TagBoxError
from tagbox.plots import FLOOR_DB, HIGHEST_HZ, level_db

COLUMNS = 600
BLOCK_SECONDS = 20
REFERENCE_MAGNITUDE = 0.01
"""Of `level_db`; so small that its floor, `FLOOR_DB` below it, lies under the floor of every picture."""


def save_spectrograms(tracks: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Draw each track as a PNG in `folder`; 0 dB is the highest level of the first track.

    Raises:
        TagBoxError: matplotlib is not installed, or a track cannot be read.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TagBoxError("plots need matplotlib; install it with: pip install 'tagbox[ui]'") from error
    pictures = {}
    highest: float | None = None
    for name, path in tracks.items():
        reader = FileReader.of(path)
        levels = pooled_levels(reader)
        highest = float(levels.max()) if highest is None else highest
        seconds = reader.samples / reader.rate
        figure = Figure(figsize=(4.4, 2.2), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.imshow(
            levels - highest,
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=FLOOR_DB,
            vmax=0,
            extent=(0, seconds, 0, reader.rate / 2000),
        )
        axes.set(xlabel="s", ylabel="kHz", ylim=(0, min(reader.rate / 2, HIGHEST_HZ) / 1000))
        pictures[name] = folder / f"{path.stem}.png"
        figure.savefig(pictures[name], dpi=110, format="png")
    return pictures


def pooled_levels(reader: FileReader) -> NDArray[np.float32]:
    """Return levels in dB, (bins, columns), with at most `COLUMNS` columns: each is its loudest frame.

    The file is read in blocks of `BLOCK_SECONDS`, so that memory does not grow with its length.
    """
    block_samples = BLOCK_SECONDS * reader.rate
    spans = [
        (start, min(reader.samples, start + block_samples))
        for start in range(0, reader.samples, block_samples)
    ]
    columns = max(1, COLUMNS // len(spans))
    pooled = []
    for block in reader.read_spans(spans):
        samples = block.shape[-1]
        if samples:
            share = max(1, round(columns * samples / block_samples)) if len(spans) > 1 else columns
            pooled.append(_pool_columns(level_db(block, REFERENCE_MAGNITUDE), share))
    return np.concatenate(pooled, axis=1)


def _pool_columns(levels: NDArray[np.float32], columns: int) -> NDArray[np.float32]:
    frames = levels.shape[1]
    if frames <= columns:
        return levels
    starts = np.arange(columns) * frames // columns
    pooled: NDArray[np.float32] = np.maximum.reduceat(levels, starts, axis=1)
    return pooled
