"""Draws phrases from the bank that are to sound together; numpy only, so it is quick on any machine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.training_sounds.bank import FREE, SAMPLES, SHARED, read_name
from tagbox.tags.vocabularies import RENDERED_CLASSES

HOW_OFTEN = {
    "effects": 0.5,
    "sitar": 0.4,
    "harpsichord": 0.5,
    "harp": 0.7,
    "drums": 1.7,
    "bass": 2.0,
    "solo singing": 2.5,
    "acoustic piano": 1.5,
    "acoustic guitar": 1.3,
    "clean guitar": 1.3,
    "distorted guitar": 1.3,
}
"""About as music has it: what is played more often is drawn more often; 1 for all other classes."""

SEVERAL = (0.07, 0.2, 0.24, 0.21, 0.15, 0.09, 0.04)
"""How likely a mixture has one source, two, and so on."""
BAND = (("drums", 0.55), ("bass", 0.5), ("solo singing", 0.4))
"""What a mixture of three sources and more has that often, whatever else was drawn."""

TOGETHER = 0.6
"""How likely all sources of a mixture keep one tempo and one chord progression."""
FUSED = 0.25
"""How likely a source is two makings of the same notes, mixed."""
FASTEST = 1.5
"""Times its own speed that a phrase may be played."""
KEYS = 2.0
FURTHER_KEYS = 2.5
"""Semitones: the standard deviation of what a mixture is transposed, and of a free source."""
LEVEL_DEVIATION = 5.0
"""dB between the sources of a mixture."""
LOUDER = {"drums": 1.5, "solo singing": 2.0}
"""dB that music has them above the rest."""


@dataclass(frozen=True)
class Drawn:
    """The sources of some mixtures, one after the other.

    Attributes:
        audio: (sources, samples), each with an RMS of its `level`, long enough for the fastest.
        kinds: the class of each.
        mixtures: the mixture that each belongs to.
        speeds: how fast each is to be played.
    """

    audio: NDArray[np.float32]
    kinds: NDArray[np.int64]
    mixtures: NDArray[np.int64]
    speeds: NDArray[np.float32]


@dataclass
class Bank:
    """The phrases by class and maker; `refresh` finds files that appear later.

    Attributes:
        folder: as `scripts/training_sounds/bank.py` describes it.
        left_out: makers that are not learnt from, or MAKER/CLASS for one instrument of theirs.
    """

    folder: Path
    left_out: tuple[str, ...] = ()
    phrases: dict[str, dict[str, list[NDArray[np.int16]]]] = field(default_factory=dict)
    shared: dict[str, dict[str, list[NDArray[np.int16]]]] = field(default_factory=dict)
    known: set[Path] = field(default_factory=set)

    def refresh(self) -> None:
        """Open what is new."""
        for path in sorted(self.folder.glob("*/*.npy")):
            kind, detail = read_name(path)
            maker = path.parent.name
            names = {maker, f"{maker}/{kind}", f"{maker}/{path.stem}"}
            if path in self.known or names & set(self.left_out):
                continue
            self.known.add(path)
            rows = np.load(path, mmap_mode="r")
            self.phrases.setdefault(kind, {}).setdefault(maker, []).append(rows)
            if not detail.startswith(FREE):
                self.shared.setdefault(kind, {}).setdefault(maker, []).append(rows)


def pick(rows: Sequence[NDArray[np.int16]], random: np.random.Generator) -> NDArray[np.int16]:
    """Draw one of some instruments' phrases."""
    return rows[int(random.integers(len(rows)))]


def some_maker(
    makers: dict[str, list[NDArray[np.int16]]], random: np.random.Generator
) -> list[NDArray[np.int16]]:
    """Draw a maker: those with many instruments more often, but not in proportion."""
    names = sorted(makers)
    weights = np.array([len(makers[name]) for name in names]) ** 0.5
    return makers[str(random.choice(names, p=weights / weights.sum()))]


def crop(row: NDArray[np.int16], start: int, samples: int) -> NDArray[np.float32]:
    """Cut samples out of a phrase that begins anew at its end, with an RMS of 1 unless silent."""
    places = np.arange(start, start + samples)
    audio = np.take(row, places, mode="wrap").astype(np.float32) / 32768
    level = max(1e-3, float(np.sqrt(np.mean(audio**2))))
    return np.divide(audio, level, dtype=np.float32)


def source(
    bank: Bank, kind: str, aligned: bool, start: int, samples: int, random: np.random.Generator
) -> NDArray[np.float32]:
    """Draw a source of a class: a phrase, or two makings of the same notes mixed."""
    fusable = bank.shared.get(kind, {})
    if fusable and random.random() < FUSED:
        index = int(random.integers(SHARED))
        index -= index % 2 if aligned else 0
        one, other = (
            crop(pick(some_maker(fusable, random), random)[index], start, samples) for _ in range(2)
        )
        part = random.uniform(0.2, 0.8)
        return part * one + (1 - part) * other
    rows = pick(some_maker(bank.phrases[kind], random), random)
    index = int(random.integers(len(rows)))
    index -= index % 2 if aligned else 0
    return crop(rows[index], start, samples)


def company(names: Sequence[str], random: np.random.Generator) -> list[str]:
    """Draw the classes of a mixture."""
    weights = np.array([HOW_OFTEN.get(name, 1.0) for name in names])
    several = int(random.choice(len(SEVERAL), p=SEVERAL)) + 1
    chosen = [str(name) for name in random.choice(names, size=several, p=weights / weights.sum())]
    if several >= 3:
        for common, chance in BAND:
            if common in names and common not in chosen and random.random() < chance:
                chosen[int(random.integers(several))] = common
    return chosen


def draw(bank: Bank, count: int, samples: int, random: np.random.Generator) -> Drawn:
    """Draw the sources of `count` mixtures, each `samples` long once it is played at its speed."""
    audio: list[NDArray[np.float32]] = []
    kinds: list[int] = []
    mixtures: list[int] = []
    speeds: list[float] = []
    names = sorted(bank.phrases)
    longest = int(samples * FASTEST) + 2
    for mixture in range(count):
        together = random.random() < TOGETHER
        start = int(random.integers(SAMPLES))
        transposed = random.normal(0, KEYS) if random.random() < 0.6 else 0.0
        for kind in company(names, random):
            further = 0.0 if together or random.random() < 0.5 else random.normal(0, FURTHER_KEYS)
            begin = start if together else int(random.integers(SAMPLES))
            one = source(bank, kind, together, begin, longest, random)
            if not np.any(np.abs(one) > 1e-2):
                continue
            level = random.normal(0, LEVEL_DEVIATION) + LOUDER.get(kind, 0.0)
            audio.append(one * 10 ** (level / 20))
            kinds.append(RENDERED_CLASSES.index(kind))
            mixtures.append(mixture)
            speeds.append(float(np.clip(2 ** ((transposed + further) / 12), 1 / FASTEST, FASTEST)))
    return Drawn(
        np.stack(audio).astype(np.float32),
        np.array(kinds, np.int64),
        np.array(mixtures, np.int64),
        np.array(speeds, np.float32),
    )
