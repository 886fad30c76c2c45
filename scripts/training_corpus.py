#!/usr/bin/env python3
"""Render the free music that the embedded generator is trained and tested on.

    training_corpus.py OUT [--pieces 120] [--chorales 80] [--seed 0]

Writes FLAC files of 20 s, mono, at 44.1 kHz to OUT/train and OUT/held-out. A seed decides all notes.

- Chorales by J. S. Bach (public domain), from the corpus of the package music21, each part on a random
  instrument of General MIDI. Every tenth is held out.
- Etudes: chords, bass, melody and drums by random rules; ours, under the project's licence. Every tenth is
  held out.
- Loops: Debian's sonic-pi-samples (CC0), as they are, for training only.

FluidSynth renders them with MuseScore_General and FluidR3 (both MIT) alternately. Needs:
apt-get install fluidsynth musescore-general-soundfont-small fluid-soundfont-gm sonic-pi-samples
pip install music21
"""

import argparse
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

from tagbox.rendering import fluidsynth, midi, scores
from tagbox.rendering.fluidsynth import RATE
from tagbox.rendering.general_midi import DRUM_CHANNEL as DRUMS
from tagbox.rendering.scores import Part

SECONDS = 20.0
PEAK = 0.7
SOUNDFONTS = (
    Path("/usr/share/sounds/sf3/MuseScore_General_Lite.sf3"),
    Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
)
LOOPS = (Path("/usr/share/sonic-pi/samples"), Path("/usr/share/sonic-pi-samples"))
HELD_OUT_EVERY = 10
MAJOR, MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
KICK, SNARE, HAT, OPEN, CRASH, TOM = 36, 38, 42, 46, 49, 45

Note = tuple[float, float, int, int, int]
"""Start (s), length (s), pitch, channel and velocity."""


def chorale_notes(score: object, tempo: float) -> list[Note]:
    """Return the notes of a music21 score at `tempo` quarter notes a minute, a channel for each part."""
    beat = 60 / tempo
    notes: list[Note] = []
    for channel, part in enumerate(score.parts[:8]):  # type: ignore[attr-defined]
        for note in part.flatten().notes:
            for pitch in note.pitches:
                start, length = float(note.offset) * beat, float(note.quarterLength) * beat
                if start < SECONDS and length > 0:
                    notes.append((start, length * 0.95, pitch.midi, channel, 90))
    return notes


def etude_notes(random: np.random.Generator) -> list[Note]:
    """Draw the notes of an etude: chords (channel 0), bass (1), melody (2), a second voice (3), drums."""
    scale = MAJOR if random.random() < 0.6 else MINOR
    key, beat = int(random.integers(48, 60)), 60 / random.uniform(60, 170)
    chords = random.choice([0, 3, 4, 5, 1], size=8)
    chords[0] = 0
    drums, arpeggio = random.random() < 0.7, random.random() < 0.5
    notes: list[Note] = []
    degree = 7

    def pitch(step: int, octave: int) -> int:
        return key + 12 * (octave + step // 7) + scale[step % 7]

    for bar in range(int(SECONDS / (4 * beat)) + 1):
        start, root = bar * 4 * beat, int(chords[bar % 8])
        for i, third in enumerate((0, 2, 4)):
            if arpeggio:
                notes += [
                    (start + (3 * n + i) * beat / 2, beat / 2, pitch(root + third, 0), 0, 75)
                    for n in range(2)
                ]
            else:
                notes.append((start, 3.8 * beat, pitch(root + third, 0), 0, 70))
        for n in range(int(random.choice([1, 2, 4, 8]))):
            notes.append((start + n * beat / 2, 0.45 * beat, pitch(root, -2), 1, 95))
        now = 0.0
        while now < 4:
            length = float(random.choice([0.25, 0.5, 0.5, 1, 1, 2]))
            degree = int(np.clip(degree + random.integers(-3, 4), 3, 16))
            if random.random() < 0.85:
                velocity = int(random.integers(60, 120))
                notes.append((start + now * beat, length * beat * 0.9, pitch(degree, 0), 2, velocity))
                if random.random() < 0.3:
                    notes.append(
                        (start + now * beat, length * beat * 0.9, pitch(degree - 2, 0), 3, velocity - 15)
                    )
            now += length
        if drums:
            notes += [(start + n * beat / 2, 0.1, HAT if n % 8 < 7 else OPEN, DRUMS, 70) for n in range(8)]
            notes += [(start + n * beat, 0.1, KICK if n % 2 == 0 else SNARE, DRUMS, 105) for n in range(4)]
            notes += [(start + random.integers(0, 8) * beat / 2, 0.1, TOM, DRUMS, 90)]
            if bar % 4 == 0:
                notes.append((start, 0.1, CRASH, DRUMS, 90))
    return notes


def draw_programs(random: np.random.Generator, channels: int) -> list[int]:
    """Draw a General MIDI program for each channel; sound effects (120 and up) are rare."""
    return [int(random.integers(0, 120 if random.random() < 0.9 else 128)) for _ in range(channels)]


def make_parts(notes: list[Note], programs: list[int]) -> list[Part]:
    """Return a part for each channel that has notes."""
    by_channel: dict[int, list[scores.Note]] = {}
    for start, length, pitch, channel, velocity in notes:
        if 0 <= pitch < 128 and start < SECONDS:
            note = scores.Note(start, min(length, SECONDS - start), pitch, velocity)
            by_channel.setdefault(channel, []).append(note)
    return [
        Part(None if channel == DRUMS else programs[channel], tuple(own))
        for channel, own in sorted(by_channel.items())
    ]


def render_score(score: list[Part], soundfont: Path, target: Path) -> None:
    """Render with FluidSynth to mono FLAC; silence is not written."""
    mono = fluidsynth.render(midi.encode_midi(score), soundfont, SECONDS, chorus=True).mean(axis=1)
    peak = np.abs(mono).max()
    if peak > 1e-3:
        target.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(target, mono * (PEAK / peak), RATE, subtype="PCM_16")


def pieces(args: argparse.Namespace) -> Iterator[tuple[str, list[Note]]]:
    """Yield the name and the notes of everything that is rendered, in an order that the seed decides."""
    from music21 import corpus

    random = np.random.default_rng(args.seed)
    scores = sorted(str(path) for path in corpus.getComposer("bach"))
    for i, index in enumerate(random.permutation(len(scores))[: args.chorales]):
        score = corpus.parse(scores[index])
        yield f"chorale-{i:03d}", chorale_notes(score, random.uniform(50, 140))
    for i in range(args.pieces):
        yield f"etude-{i:03d}", etude_notes(np.random.default_rng([args.seed, i]))


def main() -> None:
    """Render everything, and copy the loops."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--pieces", type=int, default=120)
    parser.add_argument("--chorales", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if shutil.which("fluidsynth") is None or not all(path.exists() for path in SOUNDFONTS):
        sys.exit(
            "this needs fluidsynth and two soundfonts; on Debian: "
            "apt-get install fluidsynth musescore-general-soundfont-small fluid-soundfont-gm"
        )
    for number, (name, notes) in enumerate(pieces(args)):
        part = "held-out" if number % HELD_OUT_EVERY == 0 else "train"
        random = np.random.default_rng([args.seed, number, 1])
        render_score(
            make_parts(notes, draw_programs(random, 8)),
            SOUNDFONTS[number % 2],
            args.out / part / f"{name}.flac",
        )
        print(part, name, flush=True)
    for folder in LOOPS:
        for loop in sorted(folder.rglob("*.flac")):
            target = args.out / "train" / f"loop-{loop.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(loop, target)


if __name__ == "__main__":
    main()
