#!/usr/bin/env python3
"""Play the listener's phrases on recorded notes: real instruments beside those of soundfonts.

    listener_samples.py OUT PACKAGES [--phrases 16] [--seed 0]

PACKAGES holds the npm packages tonejs-instrument-NAME-mp3 as `npm pack` leaves them (NAME: see `PROGRAMS`),
by Makefully Studios after N. P. Brosowsky's tonejs-instruments: CC BY 3.0, from public domain sources.
OUT/recorded-N/PROGRAM.npy is written as listener_corpus.py writes its phrases, three times as many, so that
recordings are a good part of what the listener hears. A note is the nearest recorded one, played at another
speed, and let go within a tenth of a second.
"""

import argparse
import io
import re
import tarfile
from pathlib import Path

import numpy as np
import soundfile
import torch

from listener_corpus import RATE, SECONDS, levelled, phrase, store
from tagbox.audio.resampling import resample
from tagbox.rendering.scores import Note

PROGRAMS = {
    "piano": 0, "xylophone": 13, "organ": 19, "harmonium": 20, "guitar-nylon": 24, "guitar-acoustic": 25,
    "guitar-electric": 27, "bass-electric": 33, "violin": 40, "cello": 42, "contrabass": 43, "harp": 46,
    "trumpet": 56, "trombone": 57, "tuba": 58, "french-horn": 60, "saxophone": 65, "bassoon": 70,
    "clarinet": 71, "flute": 73,
}  # fmt: skip
TIMES = 3
RELEASE = 0.1
LONGEST = 6.0
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def recorded(package: Path) -> dict[int, np.ndarray]:
    """The notes of an instrument by MIDI pitch, mono, 16 kHz."""
    notes = {}
    with tarfile.open(package) as files:
        for member in files:
            named = re.fullmatch(r"package/([A-G])(s?)(\d)\.mp3", member.name)
            opened = files.extractfile(member) if named else None
            if named is None or opened is None:
                continue
            audio, rate = soundfile.read(io.BytesIO(opened.read()), always_2d=True, dtype="float32")
            mono = torch.from_numpy(audio[: round(LONGEST * rate)].mean(axis=1))
            pitch = STEPS[named[1]] + len(named[2]) + 12 * (int(named[3]) + 1)
            notes[pitch] = resample(mono, rate, RATE).numpy()
    return notes


def play(notes: dict[int, np.ndarray], score: list[Note], low: int, high: int) -> np.ndarray:
    """A phrase (samples,), brought into the instrument's range by octaves."""
    row = np.zeros(round((SECONDS + LONGEST + 1) * RATE), np.float32)
    for note in score:
        pitch = note.pitch
        pitch += 12 * max(0, -(-(low - pitch) // 12)) - 12 * max(0, -(-(pitch - high) // 12))
        nearest = min(notes, key=lambda known: abs(known - pitch))
        sample = notes[nearest]
        places = np.arange(0, len(sample) - 1, 2 ** ((pitch - nearest) / 12))
        sound = np.interp(places, np.arange(len(sample)), sample)
        held, release = round(note.length * RATE), round(RELEASE * RATE)
        sound = sound[: held + release]
        sound[held:] *= np.linspace(1, 0, release)[: max(0, len(sound) - held)]
        at = round(note.start * RATE)
        row[at : at + len(sound)] += (note.velocity / 127) ** 1.5 * sound
    return row[: round(SECONDS * RATE)]


def main() -> None:
    """Render every instrument that is there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("packages", type=Path)
    parser.add_argument("--phrases", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name, program in PROGRAMS.items():
        found = sorted(args.packages.glob(f"tonejs-instrument-{name}-mp3-*.tgz"))
        if not found:
            raise SystemExit(f"{args.packages} lacks {name}; npm pack tonejs-instrument-{name}-mp3")
        notes = recorded(found[-1])
        low, high = min(notes) - 3, max(notes) + 3
        for again in range(TIMES):
            random = np.random.default_rng([args.seed, program, again])
            scores = [phrase(program, index % 2 == 0, random) for index in range(args.phrases)]
            rows = np.stack([play(notes, score, low, high) for score in scores])
            folder = args.out / f"recorded-{again + 1}"
            folder.mkdir(parents=True, exist_ok=True)
            store(levelled(torch.from_numpy(rows)), folder / f"{program:03d}.npy")


if __name__ == "__main__":
    main()
