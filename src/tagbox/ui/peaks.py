"""The outline of a track: the lowest and highest sample of each of many equal stretches."""

import numpy as np
from numpy.typing import NDArray

from tagbox.ui.tracks import Track

STRETCHES_PER_SECOND = 100
BLOCK_SECONDS = 20
FULL_SCALE = 127
"""The number that stands for the largest sample which a byte can hold, 1."""


def outline(track: Track) -> NDArray[np.int8]:
    """Return the lowest and the highest sample of each hundredth of a second, (stretches, 2).

    Of several channels, the extremes of all count. Samples are in steps of 1/127, rounded away from zero so
    that no sound looks like silence, and end at -1 and 1. Only what is ready is read, block by block.
    """
    blocks = []
    per_stretch = track.rate / STRETCHES_PER_SECOND
    stretches = int(track.ready / per_stretch)
    per_block = BLOCK_SECONDS * STRETCHES_PER_SECOND
    for first in range(0, stretches, per_block):
        bounds = np.arange(first, min(first + per_block, stretches) + 1) * per_stretch
        edges = bounds.astype(np.int64)
        values = track.read(int(edges[0]), int(edges[-1]))
        starts = edges[:-1] - edges[0]
        low = np.minimum.reduceat(values.min(axis=1), starts)
        high = np.maximum.reduceat(values.max(axis=1), starts)
        blocks.append(np.stack([low, high], axis=1))
    if not blocks:
        return np.zeros((0, 2), np.int8)
    steps = np.concatenate(blocks).clip(-1, 1) * FULL_SCALE
    rounded: NDArray[np.int8] = np.where(steps < 0, np.floor(steps), np.ceil(steps)).astype(np.int8)
    return rounded
