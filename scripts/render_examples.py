#!/usr/bin/env python3
"""Render the recordings in examples/ from tunes in the public domain.

    render_examples.py [SOUNDFONT] [--out examples]

Each tune becomes a folder with a FLAC file for each stem and for the mixture, at 44.1 kHz and 16 bit. The
stems are rounded first and the mixture is the sum of their integers, so the sum is exact. The same soundfont
and the same FluidSynth give the same bytes. Needs fluidsynth on the PATH and MuseScore_General (MIT):
apt-get install fluidsynth musescore-general-soundfont-small
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from tagbox.rendering import fluidsynth
from tagbox.rendering.fluidsynth import RATE
from tagbox.rendering.midi import standard_midi_file
from tagbox.rendering.scores import read_notation
from tagbox.rendering.tunes import GRACE, GREENSLEEVES, SAILOR

TICKS_PER_UNIT = 480
"""A score's unit is an eighth or a sixteenth."""
PEAK = 0.89
"""Of the mixture: 1 dB below full scale."""
MAX_DELAY_SECONDS = 0.012
"""A note begins up to this much late, at random."""
FADE_SECONDS = 0.5
DRUM_CHANNEL = 9


@dataclass(frozen=True)
class Part:
    """One instrument and its notes.

    Attributes:
        name: of the stem.
        program: General MIDI's, from 0; None is the drum kit.
        pan: position in stereo, from -1 (left) to 1 (right).
        level: RMS, dB relative to the other parts.
        held: the share of a note's length that sounds.
        velocity: MIDI's, of an unaccented note.
        score: pitches and lengths in units: `A4*2` is a note, `A2+E3*1` a chord, `-*3` a rest.
    """

    name: str
    program: int | None
    pan: float
    level: float
    held: float
    velocity: int
    score: str


@dataclass(frozen=True)
class Tune:
    """A recording to render.

    Attributes:
        name: of the folder.
        unit: length of the score's unit, s.
        seconds: length of the recording.
        channels: 1 or 2.
        parts: the instruments.
    """

    name: str
    unit: float
    seconds: float
    channels: int
    parts: tuple[Part, ...]


# Greensleeves in A minor; a unit is a sixteenth of 6/8. Accompaniments are ours.
BROKEN = """
    -*2 A2*2 E3*2 A3*2 C4*2 A3*2 E3*2 G2*2 D3*2 G3*2 B3*2 D4*2 G3*2
    F2*2 C3*2 A3*2 C4*2 F4*2 C4*2 E2*2 B2*2 E3*2 G#3*2 B3*2 E4*2
    A2*2 E3*2 C4*2 E4*2 C4*2 A3*2 G2*2 D3*2 B3*2 D4*2 B3*2 G3*2
    F2*2 C3*2 F3+A3*2 E2*2 B2*2 E3+G#3*2 A2*2 E3*2 A3*2 C4*2 E4*2 A4*2"""

# Drunken Sailor in D dorian; a unit is an eighth of 4/4.
STRUM_D = "D3+A3+D4+F4*2 D4+F4+A4*1 D4+F4+A4*1 A3+D4+F4*1 D4+F4+A4*1 A3+D4+F4*1 D4+F4+A4*1 "
STRUM_C = "C3+G3+C4+E4*2 C4+E4+G4*1 C4+E4+G4*1 G3+C4+E4*1 C4+E4+G4*1 G3+C4+E4*1 C4+E4+G4*1 "
STRUM_END = "C3+G3+C4+E4*2 C4+E4+G4*2 A2+E3+A3+C4*2 E4+A4*2 D3+A3+D4+F4*4 D3+A3+D4+F4*4"
BASS_D = "D2*3 D2*1 A2*2 D2*2 D2*2 A2*2 F2*2 A2*2 "
BASS_C = "C2*3 C2*1 G2*2 C2*2 C2*2 G2*2 E2*2 G2*2 "
BASS_END = "C2*2 E2*2 A1*2 C2*2 D2*2 A2*2 D2*4"
BEAT = "kick+hat*1 hat*1 snare+hat*1 hat*1 kick+hat*1 kick+hat*1 snare+hat*1 hat*1 "
FILL = "kick+hat*1 hat*1 snare+hat*1 hat*1 snare*1 mid*1 low*1 low*1 "

# New Britain ("Amazing Grace") in G; a unit is an eighth of 3/4.
PICKED = """
    -*2 G2*1 B3*1 D4*1 G4*1 D4*1 B3*1 G2*1 B3*1 D4*1 G4*1 D4*1 B3*1
    C3*1 G3*1 C4*1 E4*1 C4*1 G3*1 G2*1 D3*1 B3*1 D4*1 B3*1 G3*1
    G2*1 B3*1 D4*1 G4*1 D4*1 B3*1 E3*1 B3*1 E4*1 G4*1 E4*1 B3*1 D3*1 A3*1 D4*1 F#4*1 D4*1 A3*1 D3*1 A3*1"""

TUNES = (
    Tune(
        "duet",
        unit=0.145,
        seconds=14.5,
        channels=1,
        parts=(
            Part("violin", 40, 0.0, 0.0, 1.0, 92, GREENSLEEVES),
            Part("piano", 0, 0.0, 0.0, 1.6, 74, BROKEN),
        ),
    ),
    Tune(
        "band",
        unit=0.205,
        seconds=13.5,
        channels=2,
        parts=(
            Part("flute", 73, 0.25, 0.0, 0.9, 100, SAILOR),
            Part("guitar", 25, -0.5, 0.0, 1.0, 88, STRUM_D * 2 + STRUM_C * 2 + STRUM_D * 2 + STRUM_END),
            Part("bass", 33, 0.0, 0.0, 0.95, 96, BASS_D * 2 + BASS_C * 2 + BASS_D * 2 + BASS_END),
            Part("drums", None, 0.0, 1.0, 1.0, 96, "crash+" + BEAT * 3 + FILL + BEAT * 3 + FILL),
        ),
    ),
    Tune(
        "song",
        unit=0.3,
        seconds=14.5,
        channels=1,
        parts=(
            Part("vocals", 52, 0.0, 0.0, 1.0, 100, GRACE),
            Part("guitar", 24, 0.0, -2.0, 2.0, 84, PICKED),
        ),
    ),
)


def encode_part(part: Part, unit: float, channels: int, random: np.random.Generator) -> bytes:
    """Encode a part as a Standard MIDI File of one track, with random delays and velocities."""
    channel = DRUM_CHANNEL if part.program is None else 0
    events = [(0, bytes((0xC0 | channel, part.program or 0)))]
    pan = part.pan if channels == 2 else 0.0
    events.append((0, bytes((0xB0 | channel, 10, round(64 + 63 * pan)))))
    for start, length, number in read_notation(part.score):
        delay = random.uniform(0, MAX_DELAY_SECONDS) / unit
        accent = 6 if start % 4 == 0 else 0
        velocity = int(np.clip(part.velocity + accent + random.integers(-8, 9), 1, 127))
        on = round((start + delay) * TICKS_PER_UNIT)
        off = on + round(length * part.held * TICKS_PER_UNIT) - 1
        events.append((on, bytes((0x90 | channel, number, velocity))))
        events.append((off, bytes((0x80 | channel, number, 0))))
    return standard_midi_file(events, TICKS_PER_UNIT, round(unit * 1e6))


def render_part(part: Part, tune: Tune, soundfont: Path, random: np.random.Generator) -> np.ndarray:
    """Render a part, (samples, channels), at its level relative to the others, faded out at the end."""
    score = encode_part(part, tune.unit, tune.channels, random)
    audio = fluidsynth.render(score, soundfont, tune.seconds)
    if tune.channels == 1:
        audio = audio.mean(axis=1, keepdims=True)
    fade = round(FADE_SECONDS * RATE)
    audio[-fade:] *= np.cos(np.linspace(0, np.pi / 2, fade))[:, None] ** 2
    return audio / np.sqrt(np.mean(audio**2)) * 10 ** (part.level / 20)


def main() -> None:
    """Render all tunes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("soundfont", type=Path, nargs="?", help="default: one that is installed")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parents[1] / "examples")
    args = parser.parse_args()
    soundfont = fluidsynth.find_soundfont(args.soundfont)
    for seed, tune in enumerate(TUNES):
        random = np.random.default_rng(seed)
        stems = {part.name: render_part(part, tune, soundfont, random) for part in tune.parts}
        gain = PEAK * 2**15 / np.abs(sum(stems.values())).max()
        rounded = {name: np.round(audio * gain).astype(np.int32) for name, audio in stems.items()}
        folder = args.out / tune.name
        folder.mkdir(parents=True, exist_ok=True)
        for name, audio in {**rounded, "mixture": sum(rounded.values())}.items():
            if np.abs(audio).max() >= 2**15:
                raise SystemExit(f"{tune.name}/{name} does not fit 16 bits; lower PEAK")
            soundfile.write(folder / f"{name}.flac", audio.astype(np.int16), RATE, compression_level=1.0)
        print(folder, ", ".join(rounded), f"{tune.seconds:g} s")


if __name__ == "__main__":
    main()
