"""Confidence intervals of means, by the bootstrap over tracks (Efron 1979); paired to compare two systems.

Cases of one track are not independent of each other, so whole tracks are resampled, with all their cases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
CONFIDENCE = 0.95
MIN_TRACKS = 5
"""With fewer tracks an interval says nothing, and nothing is claimed."""


@dataclass(frozen=True)
class Interval:
    """A mean and its percentile interval.

    Attributes:
        mean: over all cases.
        low: lower end of the interval at `CONFIDENCE`.
        high: upper end.
        cases: how many values the mean is of.
        tracks: how many tracks the values are from.
    """

    mean: float
    low: float
    high: float
    cases: int
    tracks: int


def bootstrap_interval(values: Sequence[float], tracks: Sequence[str], seed: int = 0) -> Interval:
    """Compute the mean of `values` and its interval.

    Args:
        values: at least one.
        tracks: the track of each value.
        seed: of the resampling.

    >>> bootstrap_interval([1.0, 1.0, 1.0], ["a", "b", "c"])
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
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Interval(float(sums.sum() / counts.sum()), float(low), float(high), len(values), len(names))


def paired_interval(
    values: Mapping[str, float], baseline: Mapping[str, float], track_of: Mapping[str, str]
) -> Interval | None:
    """Compute the mean and interval of `values` minus `baseline` over the cases that both have.

    Args:
        values: by case.
        baseline: by case.
        track_of: the track of each case.

    Returns:
        None where they have no case in common.
    """
    common = sorted(set(values) & set(baseline))
    if not common:
        return None
    differences = [values[case] - baseline[case] for case in common]
    return bootstrap_interval(differences, [track_of[case] for case in common])
