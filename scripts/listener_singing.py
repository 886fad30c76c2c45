#!/usr/bin/env python3
"""Sing the phrases that teach the listener what a voice is: flite speaks, the WORLD vocoder sings.

    listener_singing.py OUT [--phrases 48] [--seed 0]

OUT/flite/sing-VOICE.npy holds (phrases, samples), int16, 16 kHz, as listener_corpus.py writes them. A spoken
line is taken apart into pitch, envelope and breath (Morise et al., "WORLD", 2016), stretched, moved to a
melody with glides and vibrato, its formants shifted a little, and put together again.

Needs: apt-get install flite (its voices are free to use, modify and distribute), pip install pyworld
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pyworld
import soundfile

from listener_corpus import BEAT, CHORDS, PEAK, RATE, SECONDS, near

FRAME = 0.005
VOICES = {"slt": (57, 76), "rms": (45, 64), "awb": (47, 66)}
"""Voices of flite, and from where to where (MIDI pitch) each sings."""
LINES = (
    "oh the evening sun is going down behind the silver hill",
    "ah ah ah, la la la, sing along with me, hey",
    "you and I will never leave the river in the morning light",
    "why do all the birds fly away, far away, over the sea",
    "baby tell me how many roads are left for us to go",
    "ooh, no one knows my name, no one calls me home",
)


def spoken(voice: str, line: str) -> np.ndarray:
    """The line as flite speaks it, 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "line.wav")
        subprocess.run(
            ["flite", "-voice", voice, "--setf", "duration_stretch=1.3", "-t", line, "-o", str(wav)],
            check=True,
        )
        audio, rate = soundfile.read(wav)
    if rate != RATE:
        raise SystemExit(f"flite's voice {voice} speaks at {rate} Hz; this script expects {RATE}")
    return audio


def melody(low: int, high: int, aligned: bool, frames: int, random: np.random.Generator) -> np.ndarray:
    """Pitch in Hz at every frame: notes that glide into each other, the long ones with vibrato."""
    beat = BEAT if aligned else random.uniform(0.3, 0.8)
    key = 0 if aligned else int(random.integers(12))
    pitch, now, walk = np.zeros(frames), 0.0, random.uniform(low + 4, high - 4)
    depth, speed = random.choice([0.0, 0.25, 0.5]), random.uniform(4.8, 6.2)
    while int(now / FRAME) < frames:
        length = beat * float(random.choice([0.5, 1, 1, 2, 3]))
        chord = CHORDS[int(now / (3 * beat)) % 4]
        walk = np.clip(walk + random.normal(0, 3), low, high)
        note = near((int(random.choice(chord)) + key) % 12, walk)
        a, b = int(now / FRAME), min(frames, int((now + length) / FRAME))
        held = np.arange(b - a) * FRAME
        pitch[a:b] = note + depth * np.clip((held - 0.2) / 0.3, 0, 1) * np.sin(2 * np.pi * speed * held)
        now += length
    glide = np.hanning(15) / np.hanning(15).sum()
    smooth = np.convolve(np.pad(pitch, 7, mode="edge"), glide, mode="valid")
    return 440 * 2 ** ((smooth - 69) / 12)


def main() -> None:
    """Sing with every voice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--phrases", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    folder = args.out / "flite"
    folder.mkdir(parents=True, exist_ok=True)
    frames = round(SECONDS / FRAME)
    for number, (voice, (low, high)) in enumerate(VOICES.items()):
        random = np.random.default_rng([args.seed, number])
        analysed = []
        for line in LINES:
            audio = spoken(voice, line)
            pitch, times = pyworld.dio(audio, RATE, frame_period=FRAME * 1000)
            pitch = pyworld.stonemask(audio, pitch, times, RATE)
            envelope = pyworld.cheaptrick(audio, pitch, times, RATE)
            analysed.append((pitch > 0, envelope, pyworld.d4c(audio, pitch, times, RATE)))
        rows = np.zeros((args.phrases, round(SECONDS * RATE)), np.int16)
        for index in range(args.phrases):
            voiced, envelope, breath = analysed[int(random.integers(len(analysed)))]
            places = random.integers(len(voiced)) + np.arange(frames) / random.uniform(1.0, 2.5)
            places = places.astype(int) % len(voiced)
            shift = random.uniform(0.9, 1.12)
            bins = np.clip(np.arange(envelope.shape[1]) / shift, 0, envelope.shape[1] - 1).astype(int)
            sung = np.where(voiced[places], melody(low, high, index % 2 == 0, frames, random), 0.0)
            audio = pyworld.synthesize(
                sung,
                np.ascontiguousarray(envelope[places][:, bins]),
                np.ascontiguousarray(breath[places][:, bins]),
                RATE,
                FRAME * 1000,
            )
            audio = audio[: rows.shape[1]]
            rows[index, : len(audio)] = audio * (PEAK * 32767 / max(1e-6, np.abs(audio).max()))
        np.save(folder / f"sing-{voice}.npy", rows)
        print(voice, flush=True)


if __name__ == "__main__":
    main()
