"""Strum chords on a recorded acoustic guitar.

    python -m scripts.training_sounds.strums BANK [--phrases 32]

From the kit belofilms_GuitarStrums of Debian's hydrogen-drumkits-effects, whole chords strummed up and down.
"""

import argparse
import re
from pathlib import Path

import numpy as np

from scripts.training_sounds.bank import RATE, SAMPLES, SECONDS, Audio, place, store
from scripts.training_sounds.drums import HYDROGEN, read
from scripts.training_sounds.phrases import BEAT

ROOTS = {"C": 0, "Csharp": 1, "D": 2, "Dsharp": 3, "E": 4, "F": 5, "Fsharp": 6, "G": 7, "Gsharp": 8,
         "A": 9, "Asharp": 10, "Bflat": 10, "B": 11}  # fmt: skip
PROGRESSION = ((0, "major"), (9, "minor"), (5, "major"), (7, "major"))
"""That of the other phrases, as roots and kinds of chords."""
LONGEST = 4.0


def chords(folder: Path) -> dict[tuple[int, str], list[Audio]]:
    """Read the strums of each chord, as (root, kind)."""
    found: dict[tuple[int, str], list[Audio]] = {}
    for path in sorted(folder.glob("*.flac")):
        name = re.match(r"([A-G](?:sharp|flat)?) ?(major|minor)_", path.stem)
        if name:
            found.setdefault((ROOTS[name[1]], name[2]), []).append(read(path, LONGEST))
    return found


def strummed(found: dict[tuple[int, str], list[Audio]], aligned: bool, random: np.random.Generator) -> Audio:
    """Strum a phrase, (samples,)."""
    row = np.zeros(SAMPLES + round((LONGEST + 1) * RATE), np.float32)
    beat = BEAT if aligned else random.uniform(0.35, 0.8)
    keys = sorted(found)
    free = [keys[int(random.integers(len(keys)))] for _ in range(4)]
    pattern = random.random(8) < random.uniform(0.35, 0.9)
    pattern[0] = True
    times = np.arange(0, SECONDS - 0.2, beat / 2)
    struck = [time for step, time in enumerate(times) if pattern[step % 8]]
    for time, following in zip(struck, [*struck[1:], SECONDS], strict=True):
        chord = (PROGRESSION if aligned else free)[int(time / (3 * beat)) % 4]
        takes = found.get(chord) or found[free[0]]
        one = takes[int(random.integers(len(takes)))][: round((following - time + 0.03) * RATE)].copy()
        fade = round(0.03 * RATE)
        if len(one) > fade:
            one[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        at = round(time * RATE)
        row[at : at + len(one)] += random.uniform(0.5, 1.0) * one
    return row[:SAMPLES]


def main() -> None:
    """Strum what is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("--folder", type=Path, default=Path(HYDROGEN, "belofilms_GuitarStrums"))
    parser.add_argument("--phrases", type=int, default=32)
    args = parser.parse_args()
    target = place(args.bank, "guitar-strums", "acoustic guitar", "free-strums")
    if target.exists():
        return
    random = np.random.default_rng(21)
    found = chords(args.folder)
    store(np.stack([strummed(found, index % 2 == 0, random) for index in range(args.phrases)]), target)


if __name__ == "__main__":
    main()
