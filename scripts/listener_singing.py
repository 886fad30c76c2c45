#!/usr/bin/env python3
"""Sing the phrases that teach the listener what a voice is: programs speak, the WORLD vocoder sings.

    listener_singing.py OUT [--phrases 48] [--seed 0]

OUT/singing/sing-VOICE.npy holds (phrases, samples), int16, 16 kHz, as listener_corpus.py writes them. A
spoken line is taken apart into pitch, envelope and breath (Morise et al., "WORLD", 2016), stretched, moved
to a melody with glides and vibrato, its formants shifted a little, put together again, and at times doubled
or driven as records have it.

Needs: apt-get install flite festival festvox-kallpc16k festvox-kdlpc16k espeak-ng;
pip install pyworld "setuptools<81" (pyworld asks for pkg_resources, which later ones no longer have).
The voices of flite and festival are free to use, modify and distribute; espeak-ng's sounds are made by rule.
"""

import argparse
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import julius
import numpy as np
import soundfile
import torch

from listener_corpus import BEAT, CHORDS, PEAK, RATE, SECONDS, near

try:
    import pyworld
except ModuleNotFoundError as missing:
    raise SystemExit(f'{missing}; pip install pyworld "setuptools<81"') from missing

FRAME = 0.005


@dataclass(frozen=True)
class Voice:
    """Somebody who speaks: the command that writes {text} to {wav}, and the range to sing in, MIDI pitch."""

    command: tuple[str, ...]
    low: int
    high: int


def flite(name: str, low: int, high: int) -> Voice:
    """A voice of flite's."""
    options = ("--setf", "duration_stretch=1.3", "-t", "{text}", "-o", "{wav}")
    return Voice(("flite", "-voice", name, *options), low, high)


def festival(name: str, low: int, high: int) -> Voice:
    """A voice of festival's, which reads the text from standard input."""
    return Voice(("text2wave", "-eval", f"(voice_{name})", "-o", "{wav}"), low, high)


def espeak(name: str, low: int, high: int) -> Voice:
    """A voice of espeak-ng's: LANGUAGE+VARIANT."""
    return Voice(("espeak-ng", "-v", name, "-s", "120", "-w", "{wav}", "{text}"), low, high)


VOICES = {
    "slt": flite("slt", 57, 76),
    "rms": flite("rms", 45, 64),
    "awb": flite("awb", 47, 66),
    "kal": festival("kal_diphone", 43, 62),
    "ked": festival("ked_diphone", 45, 66),
    "en-f2": espeak("en-us+f2", 57, 79),
    "it-f3": espeak("it+f3", 55, 77),
    "es-m3": espeak("es+m3", 43, 64),
    "de-f4": espeak("de+f4", 55, 76),
    "fr-m7": espeak("fr+m7", 45, 67),
    "pt-m1": espeak("pt+m1", 43, 65),
}
LINES = (
    "oh the evening sun is going down behind the silver hill",
    "ah ah ah, la la la, sing along with me, hey",
    "you and I will never leave the river in the morning light",
    "why do all the birds fly away, far away, over the sea",
    "baby tell me how many roads are left for us to go",
    "ooh, no one knows my name, no one calls me home",
)


def spoken(voice: Voice, line: str) -> np.ndarray:
    """The line as the voice speaks it, 16 kHz."""
    with tempfile.TemporaryDirectory() as folder:
        wav = Path(folder, "line.wav")
        command = [part.format(text=line, wav=wav) for part in voice.command]
        subprocess.run(command, check=True, input=line, text=True, capture_output=True)
        audio, rate = soundfile.read(wav)
    if rate != RATE:
        audio = julius.resample_frac(torch.from_numpy(audio), rate, RATE).numpy()
    return np.ascontiguousarray(audio, dtype=np.float64)


def produced(audio: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """As records have it: half of the time doubled a few cents off and some milliseconds late, or driven."""
    audio = audio / max(1e-9, np.abs(audio).max())
    if random.random() < 0.35:
        for _ in range(int(random.integers(1, 3))):
            speed = 2 ** (random.normal(0, 12) / 1200)
            places = np.arange(len(audio)) * speed - random.uniform(0.008, 0.03) * RATE
            audio = audio + random.uniform(0.4, 1) * np.interp(places, np.arange(len(audio)), audio, 0, 0)
    if random.random() < 0.35:
        drive = random.uniform(1, 6)
        audio = np.tanh(drive * audio / max(1e-9, np.abs(audio).max()))
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
    folder = args.out / "singing"
    folder.mkdir(parents=True, exist_ok=True)
    frames = round(SECONDS / FRAME)
    for number, (name, voice) in enumerate(VOICES.items()):
        if (folder / f"sing-{name}.npy").exists():
            continue
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
            sung = np.where(
                voiced[places], melody(voice.low, voice.high, index % 2 == 0, frames, random), 0.0
            )
            audio = pyworld.synthesize(
                sung,
                np.ascontiguousarray(envelope[places][:, bins]),
                np.ascontiguousarray(breath[places][:, bins]),
                RATE,
                FRAME * 1000,
            )
            audio = produced(audio, random)[: rows.shape[1]]
            rows[index, : len(audio)] = audio * (PEAK * 32767 / max(1e-6, np.abs(audio).max()))
        np.save(folder / f"sing-{name}.npy", rows)
        print(name, flush=True)


if __name__ == "__main__":
    main()
