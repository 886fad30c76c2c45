"""Choose the excerpt of a track that is evaluated: one in which the source plays, by a rule and a seed.

The rule: the source is cut into seconds. A second is active when its power is less than 30 dB below that of
the source's loudest second, and above -70 dB of full scale. Of all excerpts that begin on a whole second,
those with nearly the most active seconds are candidates; the seed and the names of track and sources draw one
of them. Sources that are asked for together are counted together.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tagbox.evaluation.datasets.track import Signal, Track

ACTIVE_RANGE_DB = 30.0
"""An active second is less than this below the loudest second."""
MIN_ACTIVE_DB = -70.0
"""An active second is above this level, relative to full scale."""
BLOCK_SECONDS = 30
"""How much is decoded at a time."""
CANDIDATE_SHARE = 0.9
"""An excerpt is a candidate when it has this share of the best excerpt's active seconds."""


@dataclass(frozen=True)
class Excerpt:
    """A stretch of a track.

    Attributes:
        start: s.
        duration: s.
        active_share: the share of its seconds in which the sources are active.
    """

    start: float
    duration: float
    active_share: float


def choose_excerpt(track: Track, queries: Sequence[str], seconds: float | None, seed: int) -> Excerpt:
    """Choose the excerpt in which to evaluate the sources `queries` of `track`.

    Args:
        seconds: its length; the whole track if None or if the track is shorter.
        seed: of the draw among candidates.
    """
    length = track.seconds
    activity = np.stack([active_seconds(track.sources[query], length) for query in queries])
    per_second = activity.mean(axis=0)
    if seconds is None or seconds >= length:
        return Excerpt(0.0, length, float(per_second.mean()))
    width = max(1, math.ceil(seconds))
    starts = max(1, math.floor(length - seconds) + 1)
    shares = np.array([per_second[at : at + width].mean() for at in range(starts)])
    candidates = np.flatnonzero(shares >= CANDIDATE_SHARE * shares.max())
    key = "\0".join([str(seed), track.name, *sorted(queries)])
    draw = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8])
    start = int(candidates[draw % len(candidates)])
    return Excerpt(float(start), seconds, float(shares[start]))


def active_seconds(signal: Signal, seconds: float) -> NDArray[np.bool_]:
    """Compute for each of the first `seconds` seconds of `signal` whether it is active."""
    powers: list[float] = []
    while len(powers) < math.ceil(seconds):
        audio = signal.read(float(len(powers)), float(BLOCK_SECONDS))
        if audio.samples.shape[-1] == 0:
            break
        parts = torch.split(audio.samples, audio.rate, dim=-1)
        # A remainder of less than a tenth of a second does not count as a second.
        parts = parts[:-1] if len(parts) > 1 and parts[-1].shape[-1] < audio.rate // 10 else parts
        powers += [float(part.square().mean()) for part in parts]
        if len(parts) < BLOCK_SECONDS:
            break
    powers += [0.0] * (math.ceil(seconds) - len(powers))
    power = np.array(powers)
    floor = max(power.max() * 10 ** (-ACTIVE_RANGE_DB / 10), 10 ** (MIN_ACTIVE_DB / 10))
    active: NDArray[np.bool_] = power > floor
    return active
