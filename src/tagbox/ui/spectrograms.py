"""Spectrograms of tracks of any length, on one scale of colours so that they can be compared with each other.

A picture has no axes: it lies under a waveform, and is as long. Its rows are spaced evenly in mel, by
O'Shaughnessy's formula (Speech Communication, 1987): mel = 2595 log10(1 + Hz / 700).
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagbox.audio.readers import FileReader
from tagbox.errors import TagBoxError
from tagbox.plots import FLOOR_DB, HIGHEST_HZ, level_db

COLUMNS = 6000
ROWS = 144
BLOCK_SECONDS = 20
REFERENCE_MAGNITUDE = 0.01
"""Of `level_db`; so small that its floor, `FLOOR_DB` below it, lies under the floor of every picture."""
COLOURS = 256


def save_spectrograms(tracks: Mapping[str, Path], folder: Path) -> dict[str, Path]:
    """Draw each track as a PNG in `folder`; 0 dB is the highest level of the first track.

    Raises:
        TagBoxError: matplotlib is not installed, or a track cannot be read.
    """
    try:
        import matplotlib
        from PIL import Image
    except ImportError as error:
        raise TagBoxError("plots need matplotlib; install it with: pip install 'tagbox[ui]'") from error
    palette = matplotlib.colormaps["magma"].resampled(COLOURS)(np.arange(COLOURS))[:, :3]
    pictures = {}
    highest: float | None = None
    for name, path in tracks.items():
        reader = FileReader.of(path)
        levels = mel_rows(pooled_levels(reader), reader.rate)
        highest = float(levels.max()) if highest is None else highest
        shares = ((levels - highest) / -FLOOR_DB + 1).clip(0, 1)
        image = Image.fromarray(np.flipud((shares * (COLOURS - 1)).astype(np.uint8)).copy(), "L")
        image.putpalette((palette * 255).astype(np.uint8).tobytes())
        pictures[name] = folder / f"{path.stem}.png"
        image.save(pictures[name])
    return pictures


def top_frequency(rate: int) -> float:
    """Return the frequency at the upper edge of a picture, Hz."""
    return min(rate / 2, HIGHEST_HZ)


def mel_rows(levels: NDArray[np.float32], rate: int) -> NDArray[np.float32]:
    """Return the highest of `levels` (bins, columns) in each of `ROWS` bands, the lowest band first."""
    highest_mel = 2595 * np.log10(1 + top_frequency(rate) / 700)
    edges = 700 * (10 ** (np.linspace(0, highest_mel, ROWS + 1) / 2595) - 1)
    bins = np.clip(np.round(edges / (rate / 2) * (len(levels) - 1)).astype(int), 0, len(levels) - 1)
    bands = [levels[low : max(low + 1, high)].max(axis=0) for low, high in pairwise(bins)]
    return np.stack(bands)


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
