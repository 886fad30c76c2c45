"""The layout of the phrases on disk, and the functions that write it.

BANK/MAKER/CLASS--DETAIL.npy holds phrases of one instrument as (phrases, samples), int16, mono, 44.1 kHz,
6 s each. MAKER is a soundfont or a set of recordings, CLASS one of the vocabulary's with underscores for
spaces. The first `SHARED` phrases of a file have the same notes in every file of that class, so that two
makings of a note can be mixed into a third timbre; a DETAIL that begins with "free-" has none of them.
Phrases with even numbers keep the one tempo and the one chord progression of `phrases.py`.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tagbox.tags.vocabularies import RENDERED_CLASSES

RATE = 44_100
SECONDS = 6.0
SAMPLES = round(RATE * SECONDS)
SHARED = 4
FREE = "free-"
PEAK = 0.7
SILENCE = 1e-4
"""A peak below which a phrase counts as silent."""

Audio = NDArray[np.float32]


def place(bank: Path, maker: str, kind: str, detail: str) -> Path:
    """Name the file of an instrument.

    >>> str(place(Path("bank"), "FluidR3_GM", "electric piano", "004"))
    'bank/FluidR3_GM/electric_piano--004.npy'
    """
    if kind not in RENDERED_CLASSES:
        raise ValueError(f"{kind!r} is no class of the vocabulary")
    return bank / maker / f"{kind.replace(' ', '_')}--{detail}.npy"


def read_name(path: Path) -> tuple[str, str]:
    """Tell class and detail from a file's name.

    >>> read_name(Path("bank/FluidR3_GM/electric_piano--004.npy"))
    ('electric piano', '004')
    """
    kind, _, detail = path.stem.partition("--")
    return kind.replace("_", " "), detail


def levelled(rows: Audio) -> NDArray[np.int16]:
    """Bring each phrase (phrases, samples) to the same peak, 16 bit; silence stays silent."""
    peaks = np.abs(rows).max(axis=1, keepdims=True)
    scaled = np.where(peaks > SILENCE, rows * (PEAK / np.maximum(peaks, SILENCE)), 0)
    return np.round(scaled * 32767).astype(np.int16)


def store(rows: Audio, target: Path) -> None:
    """Write phrases whole or not at all; silent ones stay, so that shared ones keep their places."""
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_suffix(".part")
    with beside.open("wb") as file:
        np.save(file, levelled(rows))
    beside.replace(target)
    print(target, flush=True)
