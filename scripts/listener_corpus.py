#!/usr/bin/env python3
"""Render the phrases that the listener learns from: one instrument each, 6 s, mono, 16 kHz, 16 bit.

    listener_corpus.py OUT [--soundfont FILE]... [--phrases 8] [--seed 0]

OUT/SOUNDFONT/PROGRAM.npy holds the phrases of one General MIDI program as (phrases, samples), int16;
`kit-NNN.npy` those of a drum kit. What is there already is left, so a run can be stopped and begun again.

The notes are made up here, by rule: melodies, chords, broken chords, long and repeated notes in every
register that the instrument has. Phrases with even numbers share one chord progression and one tempo, so that
any of them sound together as music does, with coinciding onsets and partials; odd ones are free.

OUT/sonic-pi/kit-loops.npy is recorded drums, from Debian's sonic-pi-samples (CC0).

Needs: apt-get install fluidsynth fluid-soundfont-gm musescore-general-soundfont-small sonic-pi-samples
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import soundfile
import torch

from tagbox.audio.resampling import resample
from tagbox.errors import TagBoxError
from tagbox.rendering import fluidsynth, midi
from tagbox.rendering.scores import Control, Note, Part

RATE = 16000
SECONDS = 6.0
PEAK = 0.7
SOUNDFONTS = ("/usr/share/sounds/sf2/FluidR3_GM.sf2", "/usr/share/sounds/sf3/MuseScore_General_Lite.sf3")
LOOPS = Path("/usr/share/sonic-pi/samples")
DRUM_LOOPS = (
    "loop_amen", "loop_amen_full", "loop_breakbeat", "loop_compus", "loop_electric", "loop_industrial",
    "loop_mehackit1", "loop_mehackit2", "loop_mika", "loop_perc1", "loop_perc2", "loop_safari", "loop_tabla",
)  # fmt: skip
KITS = (0, 8, 16, 24, 25, 32, 40, 48)
BEAT = 0.5
CHORDS = ((0, 4, 7), (9, 0, 4), (5, 9, 0), (7, 11, 2))
SCALE = (0, 2, 4, 5, 7, 9, 11)
BASS_PROGRAMS = (*range(32, 40), 43, 47, 57, 58, 67, 70)
HIGH_PROGRAMS = (8, 9, 10, 13, 72, 74, 75, 78, 79, 112)
BENDABLE = range(21, 112)
KIT_KEYS = {
    "kick": (35, 36), "snare": (38, 40, 37, 39), "hat": (42, 44, 46), "cymbal": (49, 51, 53, 55, 57, 59),
    "tom": (41, 43, 45, 47, 48, 50), "hand": (54, 56, 60, 61, 62, 63, 64, 65, 66, 69, 70, 75, 76),
}  # fmt: skip


def centre(program: int, random: np.random.Generator) -> int:
    """A pitch around which the instrument is to play: where it is at home, and around."""
    home = 40 if program in BASS_PROGRAMS else 79 if program in HIGH_PROGRAMS else 62
    spread = 5 if program in BASS_PROGRAMS else 9
    return int(np.clip(random.normal(home, spread), 28, 96))


def near(pitch_class: int, pitch: float) -> int:
    """The pitch of that class nearest to `pitch`."""
    return pitch_class + 12 * round((pitch - pitch_class) / 12)


def phrase(program: int, aligned: bool, random: np.random.Generator) -> list[Note]:
    """Notes of one phrase, from 0 s on; they end a little before it does."""
    end = SECONDS - 0.3
    beat = BEAT if aligned else random.uniform(0.25, 0.8)
    key = 0 if aligned else int(random.integers(12))
    middle, loud = centre(program, random), random.integers(50, 115)
    style = random.choice(["melody", "melody", "chords", "broken", "long", "repeated"])
    if program in BASS_PROGRAMS and style in ("chords", "broken"):
        style = "repeated"
    held = random.uniform(0.4, 1.05)
    notes: list[Note] = []
    now, walk = 0.0 if aligned else random.uniform(0, 0.3), float(middle)

    def play(when: float, length: float, pitch: int) -> None:
        velocity = int(np.clip(loud + random.integers(-15, 13), 25, 127))
        notes.append(Note(when, min(length, end - when), int(np.clip(pitch, 21, 108)), velocity))

    while now < end - 0.1:
        chord = [(tone + key) % 12 for tone in CHORDS[int(now / (3 * beat)) % 4]]
        if style == "melody":
            length = beat * float(random.choice([0.25, 0.5, 0.5, 1, 1, 2]))
            walk = np.clip(walk + random.normal(0, 3.5), middle - 12, middle + 12)
            on_chord = random.random() < 0.5
            tone = random.choice(chord) if on_chord else (random.choice(SCALE) + key) % 12
            if random.random() < 0.9:
                play(now, length * held, near(int(tone), walk))
        elif style == "chords":
            length = beat * float(random.choice([1, 2, 3, 3]))
            pitches = sorted({near(tone, middle + int(random.integers(-5, 6))) for tone in chord})
            for pitch in pitches:
                play(now, length * held, pitch)
        elif style == "broken":
            length = beat * 0.5
            play(now, length * (held + 0.5), near(chord[len(notes) % 3], middle + 6 * (len(notes) % 3 - 1)))
        elif style == "long":
            length = beat * float(random.choice([3, 3, 6]))
            play(now, length * min(1.0, held + 0.2), near(int(random.choice(chord)), middle))
        else:
            length = beat * float(random.choice([0.5, 0.5, 1]))
            play(now, length * held, near(chord[0] if random.random() < 0.7 else chord[2], middle))
        now += length
    return notes


def groove(aligned: bool, random: np.random.Generator) -> list[Note]:
    """A drum pattern: all of the kit, or one or two of its drums alone."""
    beat = BEAT if aligned else random.uniform(0.3, 0.75)
    whole = random.random() < 0.55
    kinds = list(KIT_KEYS) if whole else list(random.choice(list(KIT_KEYS), size=2, replace=False))
    if not whole and random.random() < 0.5:
        kinds = kinds[:1]
    density = {kind: random.uniform(0.1, 0.5) for kind in kinds}
    keys = {kind: int(random.choice(KIT_KEYS[kind])) for kind in kinds}
    pattern = {kind: random.random(8) < density[kind] for kind in kinds}
    if whole:
        pattern["kick"][[0, 4]], pattern["snare"][[2, 6]] = True, True
        pattern["hat"][:: int(random.choice([1, 2]))] = True
    loud, notes = random.integers(60, 120), []
    for step in range(int((SECONDS - 0.2) / (beat / 2))):
        for kind in kinds:
            if pattern[kind][step % 8] or random.random() < 0.04:
                sound = keys[kind] if random.random() < 0.85 else int(random.choice(KIT_KEYS[kind]))
                velocity = int(np.clip(loud + random.integers(-25, 10), 20, 127))
                notes.append(Note(step * beat / 2, 0.2, sound, velocity))
    return notes


def part(program: int, kit: bool, phrases: int, random: np.random.Generator) -> Part:
    """All phrases of one instrument, one after the other, `SECONDS` apart."""
    notes: list[Note] = []
    controls: list[Control] = [Control(0.0, bytes((0xC0, program)))]
    for index in range(phrases):
        start = index * SECONDS
        one = groove(index % 2 == 0, random) if kit else phrase(program, index % 2 == 0, random)
        notes += [Note(start + n.start, n.length, n.pitch, n.velocity) for n in one]
        if program in BENDABLE and not kit:
            vibrato = int(random.choice([0, 0, 40, 90]))
            bend = 8192 + int(random.normal(0, 500))  # of 8192 for two semitones
            controls.append(Control(start, bytes((0xB0, 1, vibrato))))
            controls.append(Control(start, bytes((0xE0, bend & 127, bend >> 7))))
    return Part(None if kit else program, tuple(sorted(notes, key=lambda n: n.start)), tuple(controls))


def loops(random: np.random.Generator) -> np.ndarray:
    """Recorded drums: loops at several speeds, and grooves of single hits; (phrases, samples)."""
    files = {path.stem: path for path in sorted(LOOPS.glob("*.flac"))}
    wanted = [path for stem, path in files.items() if stem in DRUM_LOOPS]
    hits = [path for stem, path in files.items() if stem.startswith(("drum_", "bd_", "sn_", "tabla_"))]
    rows = []
    for path in wanted:
        for speed in (0.9, 1.0, 1.12):
            rows.append(np.resize(recorded(path, speed), round(SECONDS * RATE)))
    for index in range(3 * len(wanted)):
        row = np.zeros(round((SECONDS + 4) * RATE), np.float32)
        beat = BEAT if index % 2 == 0 else random.uniform(0.3, 0.75)
        for path in random.choice(hits, size=int(random.integers(1, 6)), replace=False):
            hit, pattern = recorded(path, random.uniform(0.85, 1.15))[: 4 * RATE], random.random(8) < 0.35
            level = random.uniform(0.3, 1.0)
            for step in range(int((SECONDS - 0.2) / (beat / 2))):
                if pattern[step % 8]:
                    at = int(step * beat / 2 * RATE)
                    row[at : at + len(hit)] += level * random.uniform(0.6, 1.0) * hit
        rows.append(row[: round(SECONDS * RATE)])
    return levelled(torch.from_numpy(np.stack(rows)))


def recorded(path: Path, speed: float) -> np.ndarray:
    """A file of samples, mono, played at `speed`, at most as long as a phrase and a bit."""
    audio, rate = soundfile.read(path, always_2d=True, dtype="float32")
    mono = torch.from_numpy(audio[: 10 * rate].mean(axis=1))
    return resample(mono, round(rate * speed), RATE).numpy()


def levelled(rows: torch.Tensor) -> np.ndarray:
    """Each phrase at the same peak, int16; silence stays silent."""
    peaks = rows.abs().amax(dim=1, keepdim=True)
    rows = torch.where(peaks > 1e-4, rows * (PEAK / peaks.clamp(min=1e-4)), 0)
    return (rows * 32767).round().to(torch.int16).numpy()


def store(rows: np.ndarray, target: Path) -> None:
    """Write the phrases whole or not at all."""
    beside = target.with_suffix(".part")
    with beside.open("wb") as file:
        np.save(file, rows)
    beside.replace(target)
    print(target, flush=True)


def render(score: Part, soundfont: Path, phrases: int, reverb: bool) -> np.ndarray:
    """The phrases, (phrases, samples), each at the same peak."""
    stereo = fluidsynth.render(midi.encode_midi([score]), soundfont, phrases * SECONDS, reverb)
    mono = resample(torch.from_numpy(stereo.mean(axis=1)).float(), fluidsynth.RATE, RATE)
    rows = mono[: round(phrases * SECONDS * RATE)].reshape(phrases, -1)
    return levelled(rows)


def main() -> None:
    """Render everything that is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--soundfont", type=Path, action="append", default=[])
    parser.add_argument("--phrases", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    (args.out / "sonic-pi").mkdir(parents=True, exist_ok=True)
    if LOOPS.is_dir() and not (args.out / "sonic-pi" / "kit-loops.npy").exists():
        store(loops(np.random.default_rng(args.seed)), args.out / "sonic-pi" / "kit-loops.npy")
    try:
        for soundfont in args.soundfont or [Path(name) for name in SOUNDFONTS]:
            folder = args.out / soundfont.stem
            folder.mkdir(parents=True, exist_ok=True)
            for kit, program in [*((True, k) for k in KITS), *((False, p) for p in range(128))]:
                target = folder / (f"kit-{program:03d}.npy" if kit else f"{program:03d}.npy")
                if target.exists():
                    continue
                random = np.random.default_rng([args.seed, kit, program, *soundfont.stem.encode()])
                score = part(program, kit, args.phrases, random)
                rows = render(score, fluidsynth.find_soundfont(soundfont), args.phrases, bool(program % 2))
                store(rows, target)
    except TagBoxError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
