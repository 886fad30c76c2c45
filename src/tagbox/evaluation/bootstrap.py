"""How sure a mean is: the bootstrap over tracks (Efron 1979), paired where two methods are compared.

Cases of one track are not independent of each other, so whole tracks are drawn, with all their cases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
LEVEL = 0.95
FEWEST = 5
"""Tracks, below which an interval says nothing and nothing is claimed."""


@dataclass(frozen=True)
class Interval:
    """A mean, its percentile interval at `LEVEL`, and of how many cases and tracks."""

    mean: float
    low: float
    high: float
    cases: int
    tracks: int


def interval(values: Sequence[float], tracks: Sequence[str], seed: int = 0) -> Interval:
    """The mean of `values`, where `tracks` names the track of each; at least one value.

    >>> interval([1.0, 1.0, 1.0], ["a", "b", "c"])
    Interval(mean=1.0, low=1.0, high=1.0, cases=3, tracks=3)
    """
    if not values or len(values) != len(tracks):
        raise ValueError(f"{len(values)} values of {len(tracks)} tracks")
    names = sorted(set(tracks))
    sums, counts = np.zeros(len(names)), np.zeros(len(names))
    for value, track in zip(values, tracks, strict=True):
        sums[names.index(track)] += value
        counts[names.index(track)] += 1
    drawn = np.random.default_rng(seed).integers(0, len(names), (RESAMPLES, len(names)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high), len(values), len(names))


def paired(
    ours: Mapping[str, float], theirs: Mapping[str, float], track_of: Mapping[str, str]
) -> Interval | None:
    """The interval of `ours` minus `theirs` over the cases that both have; None when there are none."""
    common = sorted(set(ours) & set(theirs))
    if not common:
        return None
    return interval([ours[case] - theirs[case] for case in common], [track_of[case] for case in common])
