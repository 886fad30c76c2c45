"""Which part of a recording is judged: one where the source plays, by a rule, with a seed.

The rule: the source is cut into seconds. A second *plays* when it is less than 30 dB below the source's
loudest second and above -70 dB of full scale. Of all excerpts that begin on a whole second, those with the
most playing seconds are candidates (within a tenth of the best); the seed and the names of track and sources
choose among them. Several sources that are asked for together are counted together.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tagbox.evaluation.datasets.registry import Signal, Track

BELOW_LOUDEST_DB = 30.0
QUIETEST_DB = -70.0
BLOCK_SECONDS = 30
"""Decoded at a time."""
NEARLY = 0.9


@dataclass(frozen=True)
class Excerpt:
    """`start` and `duration` in seconds; `plays` is the share of it in which the sources play."""

    start: float
    duration: float
    plays: float


def choose(track: Track, words: Sequence[str], seconds: float | None, seed: int) -> Excerpt:
    """The excerpt of at most `seconds` (all when None) in which to judge the sources `words` of `track`."""
    playing = np.stack([playing_seconds(track.sources[word], track.seconds) for word in words])
    per_second = playing.mean(axis=0)
    if seconds is None or seconds >= track.seconds:
        return Excerpt(0.0, track.seconds, float(per_second.mean()))
    length = max(1, math.ceil(seconds))
    starts = max(1, math.floor(track.seconds - seconds) + 1)
    counts = np.array([per_second[at : at + length].mean() for at in range(starts)])
    candidates = np.flatnonzero(counts >= NEARLY * counts.max())
    draw = int.from_bytes(
        hashlib.sha256("\0".join([str(seed), track.name, *sorted(words)]).encode()).digest()[:8]
    )
    start = int(candidates[draw % len(candidates)])
    return Excerpt(float(start), seconds, float(counts[start]))


def playing_seconds(signal: Signal, seconds: float) -> NDArray[np.bool_]:
    """For each second of `signal`, whether it plays."""
    levels: list[float] = []
    while len(levels) < math.ceil(seconds):
        audio = signal.read(float(len(levels)), float(BLOCK_SECONDS))
        if audio.samples.shape[-1] == 0:
            break
        pieces = torch.split(audio.samples, audio.rate, dim=-1)
        # A few samples left over at the end are no second of their own.
        pieces = pieces[:-1] if len(pieces) > 1 and pieces[-1].shape[-1] < audio.rate // 10 else pieces
        levels += [float(piece.square().mean()) for piece in pieces]
        if len(pieces) < BLOCK_SECONDS:
            break
    levels += [0.0] * (math.ceil(seconds) - len(levels))
    power = np.array(levels)
    floor = max(power.max() * 10 ** (-BELOW_LOUDEST_DB / 10), 10 ** (QUIETEST_DB / 10))
    plays: NDArray[np.bool_] = power > floor
    return plays
