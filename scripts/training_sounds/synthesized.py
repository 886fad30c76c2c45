"""Play the phrases on synthesizers that are made up here: for every phrase another one.

    python -m scripts.training_sounds.synthesized BANK [--phrases 48]

Oscillators are sums of partials through a filter that moves, which is what subtractive synthesizers do
without their aliasing; electric pianos and bells are frequency modulation; organs are drawbars behind a
rotating speaker; drum machines are sweeps and noise. No recording is behind any of it.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from scripts.training_sounds.bank import RATE, SAMPLES, Audio, place, store
from scripts.training_sounds.phrases import KIT_KEYS, Range, scores
from tagbox.rendering.scores import Note

CONTROL = 64
"""Samples between values of what moves slowly."""
MOST_PARTIALS = 48
TAIL = 1.5
"""Seconds after a note is let go that it may go on."""
OF_KEYS = {key: kind for kind, keys in KIT_KEYS.items() for key in keys}
Curve = NDArray[np.float64]


def times(seconds: float) -> Curve:
    """Count the samples of some seconds, s."""
    return np.arange(round(seconds * RATE)) / RATE


def envelope(length: int, held: float, attack: float, decay: float, sustain: float, release: float) -> Curve:
    """Rise, fall to a level, and die away after `held` seconds; (length,)."""
    time = np.arange(length) / RATE
    level = np.minimum(1, time / attack) * (
        sustain + (1 - sustain) * np.exp(-np.maximum(0, time - attack) / decay)
    )
    return level * np.where(time > held, np.exp(-(time - held) / release), 1.0)


@dataclass(frozen=True)
class Patch:
    """A subtractive synthesizer's settings; times in s, frequencies against the note's."""

    odd: float
    slope: float
    width: float
    detunings: tuple[float, ...]
    sub: float
    noise: float
    cutoff: float
    sweep: float
    resonance: float
    poles: float
    attack: float
    decay: float
    sustain: float
    release: float
    filter_decay: float
    vibrato: float
    vibrato_rate: float
    glide: float


def patch(kind: str, random: np.random.Generator) -> Patch:
    """Draw a synthesizer for leads, pads or basses."""
    pad, bass = kind == "synth pad", kind == "bass"
    voices = int(random.choice([1, 1, 2, 3, 5] if not pad else [2, 3, 5, 7]))
    spread = 10 ** random.uniform(-3.3, -1.9)
    return Patch(
        odd=float(random.choice([0.0, 0.0, 0.5, 0.95, 1.0])),
        slope=random.uniform(0.7, 2.2),
        width=random.uniform(0.05, 0.5),
        detunings=tuple(1 + spread * random.normal(0, 1, voices)),
        sub=random.uniform(0, 0.8) if bass else 0.3 * max(0.0, random.normal(0, 1)),
        noise=0.15 * random.random() ** 4,
        cutoff=10 ** random.uniform(0.1, 1.4),
        sweep=10 ** random.uniform(0, 1.3),
        resonance=random.uniform(0, 3) * (random.random() < 0.6),
        poles=float(random.choice([1, 2, 2, 4])),
        attack=10 ** (random.uniform(-1.3, 0) if pad else random.uniform(-3, -1.3)),
        decay=10 ** random.uniform(-1.2, 0.5),
        sustain=random.uniform(0.5, 1) if pad else random.random(),
        release=10 ** (random.uniform(-0.7, 0.2) if pad else random.uniform(-2, -0.7)),
        filter_decay=10 ** random.uniform(-1.5, 0.3),
        vibrato=10 ** random.uniform(-4, -2.2),
        vibrato_rate=random.uniform(4, 7),
        glide=10 ** random.uniform(-3, -1) if random.random() < 0.3 else 1e-3,
    )


def subtractive(note: Note, before: float, sound: Patch, random: np.random.Generator) -> Audio:
    """Play a note that slides up or down from the pitch `before`, in Hz."""
    time = times(min(note.length + TAIL, 7.0))
    hertz = 440 * 2 ** ((note.pitch - 69) / 12)
    slide = (before / hertz) ** np.exp(-time / sound.glide)
    trembling = 1 + sound.vibrato * np.minimum(1, time / 0.3) * np.sin(2 * np.pi * sound.vibrato_rate * time)
    turns = np.cumsum(slide * trembling) / RATE
    slow = time[::CONTROL]
    swept = sound.cutoff * (1 + (sound.sweep - 1) * np.exp(-slow / sound.filter_decay))
    swept = swept * 2 ** (note.velocity / 64 - 1.5)
    partials = np.arange(1, min(MOST_PARTIALS, int(0.45 * RATE / hertz)) + 1)
    heights = partials.astype(float) ** -sound.slope
    heights = heights * np.where(partials % 2 == 0, 1 - sound.odd, 1.0)
    heights = heights * (0.3 + np.abs(np.sin(np.pi * partials * sound.width)))
    over = partials[:, None] / swept[None]
    through = 1 / np.sqrt(1 + over ** (2 * sound.poles))
    through = through * (1 + sound.resonance * np.exp(-((np.log2(over) / 0.3) ** 2)))
    row = np.zeros(len(time))
    for partial, height, gain in zip(partials, heights, through, strict=True):
        if height * gain.max() < 1e-3:
            continue
        wave = np.zeros(len(time))
        for detuned in sound.detunings:
            wave += np.sin(2 * np.pi * (partial * hertz * detuned * turns + random.random()))
        row += height * wave * np.interp(time, slow, gain)
    row += sound.sub * len(sound.detunings) * np.sin(np.pi * hertz * turns)
    row += sound.noise * random.normal(0, 1, len(row))
    shape = envelope(len(row), note.length, sound.attack, sound.decay, sound.sustain, sound.release)
    return (note.velocity / 127 * row * shape).astype(np.float32)


def synthesizer(notes: tuple[Note, ...], kind: str, random: np.random.Generator) -> Audio:
    """Play a phrase on a synthesizer of its own."""
    sound = patch(kind, random)
    row = np.zeros(SAMPLES + round(9 * RATE), np.float32)
    before = 440.0
    for note in notes:
        one = subtractive(note, before, sound, random)
        before = 440 * 2 ** ((note.pitch - 69) / 12)
        at = round(note.start * RATE)
        row[at : at + len(one)] += one
    if random.random() < 0.4:
        row = chorus(row, random)
    return row[:SAMPLES]


def chorus(row: Audio, random: np.random.Generator) -> Audio:
    """Mix in a copy whose delay moves."""
    at = np.arange(len(row))
    depth, rate = random.uniform(0.001, 0.006), random.uniform(0.2, 2.0)
    delay = (0.012 + depth * np.sin(2 * np.pi * rate * at / RATE)) * RATE
    return (row + random.uniform(0.4, 1) * np.interp(at - delay, at, row)).astype(np.float32)


def modulated(notes: tuple[Note, ...], kind: str, random: np.random.Generator) -> Audio:
    """Play a phrase by frequency modulation: electric pianos, and bells and bars."""
    struck = kind == "chromatic percussion"
    ratios = random.choice([1.0, 1.0, 2.0, 3.0, 3.5, 4.0, 7.0, 11.0, 14.0], 2, replace=False)
    if struck:
        ratios = ratios * random.uniform(0.8, 1.4)
    depths, decays = 10 ** random.uniform(-0.7, 0.6, 2), 10 ** random.uniform(-1.3, 0.3, 2)
    whole_decay = 10 ** (random.uniform(-1.0, 0.4) if struck else random.uniform(-0.2, 0.7))
    tremolo, rate = random.uniform(0, 0.5) * (random.random() < 0.4), random.uniform(3, 7)
    bark = random.uniform(0.3, 2.0)
    row = np.zeros(SAMPLES + round(9 * RATE), np.float32)
    for note in notes:
        time = times(min(note.length + TAIL, 7.0))
        hertz = 440 * 2 ** ((note.pitch - 69) / 12)
        strength = (note.velocity / 127) ** bark
        phase = 2 * np.pi * hertz * time
        bent = sum(
            depth * strength * np.exp(-time / decay) * np.sin(ratio * phase)
            for ratio, depth, decay in zip(ratios, depths, decays, strict=True)
        )
        one = np.sin(phase + bent) + 0.2 * np.sin(2 * phase + 0.5 * bent)
        release = 1.0 if struck else 0.08
        shape = envelope(len(time), note.length, 0.002, whole_decay * (440 / hertz) ** 0.4, 0.0, release)
        at = round(note.start * RATE)
        row[at : at + len(time)] += (note.velocity / 127 * one * shape).astype(np.float32)
    moving = 1 - tremolo * (0.5 + 0.5 * np.sin(2 * np.pi * rate * np.arange(len(row)) / RATE))
    row = (row * moving).astype(np.float32)
    return (chorus(row, random) if random.random() < 0.3 else row)[:SAMPLES]


def organ(notes: tuple[Note, ...], kind: str, random: np.random.Generator) -> Audio:
    """Play a phrase with drawbars, a click, and at times a rotating speaker and an overdriven amplifier."""
    del kind
    bars = np.array([0.5, 1.5, 1, 2, 3, 4, 5, 6, 8])
    drawn = random.random(len(bars)) ** 2 * (random.random(len(bars)) < 0.7)
    drawn[int(random.integers(3))] = 1.0
    percussion, click = random.uniform(0, 1) * (random.random() < 0.4), random.uniform(0, 0.3)
    row = np.zeros(SAMPLES + round(9 * RATE), np.float32)
    for note in notes:
        time = times(min(note.length + 0.1, 7.0))
        hertz = 440 * 2 ** ((note.pitch - 69) / 12)
        one = np.zeros(len(time))
        for bar, height in zip(bars, drawn, strict=True):
            if hertz * bar < 0.4 * RATE and height > 0:
                one += height * np.sin(2 * np.pi * (hertz * bar * time + random.random()))
        one += percussion * np.exp(-time / 0.2) * np.sin(2 * np.pi * 3 * hertz * time)
        one += click * random.normal(0, 1, len(time)) * np.exp(-time / 0.004)
        one *= envelope(len(time), note.length, 0.004, 1, 1, 0.01)
        begin = round(note.start * RATE)
        row[begin : begin + len(time)] += one.astype(np.float32)
    at = np.arange(len(row))
    if random.random() < 0.6:
        rate = random.choice([0.8, 6.5]) * random.uniform(0.8, 1.2)
        turned = np.sin(2 * np.pi * rate * at / RATE)
        delayed = np.interp(at - (0.002 + 0.0005 * turned) * RATE, at, row)
        row = (delayed * (1 + random.uniform(0.1, 0.4) * turned)).astype(np.float32)
    if random.random() < 0.4:
        row = np.tanh(random.uniform(1, 6) * row / max(1e-6, float(np.abs(row).max()))).astype(np.float32)
    return row[:SAMPLES]


def hit(kind: str, random: np.random.Generator) -> Audio:
    """Make up one drum of a drum machine."""
    time = times(1.2)
    noise = random.normal(0, 1, len(time))
    bright = np.diff(noise, prepend=0.0)
    if kind == "kick":
        low, high = random.uniform(38, 65), random.uniform(80, 500)
        fall = 10 ** random.uniform(-2.2, -1.3)
        phase = np.cumsum(low + high * np.exp(-time / fall)) / RATE
        body = np.sin(2 * np.pi * phase) * np.exp(-time / 10 ** random.uniform(-1.2, -0.2))
        made = np.tanh(random.uniform(1, 4) * body) + random.uniform(0, 0.4) * noise * np.exp(-time / 0.003)
    elif kind in ("snare", "hand"):
        tone = random.uniform(150, 350) * (1 if kind == "snare" else random.uniform(1, 5))
        rattle = noise if random.random() < 0.5 else bright
        made = (
            random.uniform(0.2, 1)
            * np.sin(2 * np.pi * tone * time)
            * np.exp(-time / random.uniform(0.02, 0.12))
        )
        made = made + random.uniform(0.1, 1) * rattle * np.exp(-time / random.uniform(0.02, 0.2))
        if random.random() < 0.3:
            made = made * (1 + np.sign(np.sin(2 * np.pi * random.uniform(30, 90) * time)) * (time < 0.04))
    elif kind == "tom":
        tone = random.uniform(70, 260)
        phase = np.cumsum(tone * (1 + random.uniform(0, 1.2) * np.exp(-time / 0.03))) / RATE
        made = np.sin(2 * np.pi * phase) * np.exp(-time / random.uniform(0.08, 0.4)) + 0.1 * noise * np.exp(
            -time / 0.01
        )
    else:
        metal = sum(np.sign(np.sin(2 * np.pi * hertz * time)) for hertz in random.uniform(300, 6000, 6))
        made = np.diff(0.3 * metal + random.uniform(0, 1.5) * bright, n=2, prepend=[0.0, 0.0])
        longest = 0.25 if kind == "hat" else 0.9
        made = made * np.exp(-time / random.uniform(0.015 if kind == "hat" else 0.2, longest))
    return (made / max(1e-6, float(np.abs(made).max()))).astype(np.float32)


def machine(notes: tuple[Note, ...], kind: str, random: np.random.Generator) -> Audio:
    """Play a pattern on a drum machine of its own."""
    del kind
    drums = {key: hit(of, random) for key, of in OF_KEYS.items()}
    levels = {of: 10 ** (random.normal(0, 4) / 20) for of in KIT_KEYS}
    row = np.zeros(SAMPLES + 2 * RATE, np.float32)
    for note in notes:
        one, at = drums[note.pitch], round(note.start * RATE)
        row[at : at + len(one)] += levels[OF_KEYS[note.pitch]] * (note.velocity / 127) ** 1.3 * one
    return row[:SAMPLES]


Player = Callable[[tuple[Note, ...], str, np.random.Generator], Audio]
PLAYERS: tuple[tuple[str, Player], ...] = (
    ("bass", synthesizer),
    ("drums", machine),
    ("electric piano", modulated),
    ("synth lead", synthesizer),
    ("synth pad", synthesizer),
    ("organ", organ),
    ("chromatic percussion", modulated),
)


def main() -> None:
    """Play what is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("--phrases", type=int, default=48)
    args = parser.parse_args()
    for number, (kind, player) in enumerate(PLAYERS):
        target = place(args.bank, "synthesized", kind, "random")
        if target.exists():
            continue
        seed = (11, number)
        random = np.random.default_rng(seed)
        made_up = kind == "drums"
        phrases = scores("kit" if made_up else kind, None if made_up else Range(), args.phrases, seed)
        store(np.stack([player(notes, kind, random) for notes in phrases]), target)


if __name__ == "__main__":
    main()
