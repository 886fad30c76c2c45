"""Made-up notes: what the instruments of the bank play, by rule, in every register that they have.

Half of the phrases keep one tempo and one chord progression, so that any of them sound together as music
does, with onsets and partials that coincide. The others are free.
"""

from dataclasses import dataclass

import numpy as np

from scripts.training_sounds.bank import SECONDS, SHARED
from tagbox.rendering.scores import Note
from tagbox.tags.vocabularies import RENDERED_CLASSES

BEAT = 0.5
"""Seconds, of the phrases that go together."""
CHORDS = ((0, 4, 7), (9, 0, 4), (5, 9, 0), (7, 11, 2))
"""Pitch classes; each lasts three beats."""
SCALE = (0, 2, 4, 5, 7, 9, 11)

PROGRAMS: dict[str, tuple[int, ...]] = {
    "acoustic piano": (0, 1, 2, 3),
    "electric piano": (4, 5),
    "harpsichord": (6, 7),
    "chromatic percussion": (*range(8, 16), 108, 112, 114),
    "organ": (16, 17, 18, 19, 20),
    "accordion": (21, 22, 23),
    "acoustic guitar": (24, 25),
    "clean guitar": (26, 27, 28, 31),
    "distorted guitar": (29, 30),
    "bass": tuple(range(32, 40)),
    "violin": (40, 41, 110),
    "cello": (42, 43),
    "orchestral strings": (44, 48, 49, 50, 51),
    "pizzicato": (45,),
    "harp": (46,),
    "choir": (52, 53, 54),
    "trumpet": (56, 59),
    "horn": (57, 58, 60),
    "brass section": (61, 62, 63),
    "saxophone": (64, 65, 66, 67),
    "oboe": (68, 69, 70, 109, 111),
    "clarinet": (71,),
    "flute": tuple(range(72, 80)),
    "synth lead": tuple(range(80, 88)),
    "synth pad": tuple(range(88, 104)),
    "sitar": (104, 105, 106, 107),
    "drums": (47, 113, 115, 116, 117, 118, 119),
    "effects": (55, *range(120, 128)),
}
"""Of General MIDI, by the vocabulary's classes; drum kits are "drums"."""

LOW = {"bass": 40, "cello": 48, "horn": 52}
HIGH = {"chromatic percussion": 76, "flute": 77, "violin": 69}
MIDDLE = 62
SINGLE = {"bass", "drums"}
"""Classes that play no chords."""
MELODIC = {"violin", "cello", "trumpet", "horn", "saxophone", "oboe", "clarinet", "flute", "synth lead"}
"""Classes that play chords seldom."""

KIT_KEYS = {
    "kick": (35, 36),
    "snare": (38, 40, 37, 39),
    "hat": (42, 44, 46),
    "cymbal": (49, 51, 53, 55, 57, 59),
    "tom": (41, 43, 45, 47, 48, 50),
    "hand": (54, 56, 60, 61, 62, 63, 64, 65, 66, 69, 70, 75, 76),
}
"""General MIDI's keys of a drum kit."""


@dataclass(frozen=True)
class Range:
    """The pitches that an instrument has, as MIDI numbers, both included."""

    low: int = 21
    high: int = 108

    def bring(self, pitch: int) -> int:
        """Move a pitch into the range by octaves; one that no octave brings there ends at its edge.

        >>> Range(40, 60).bring(30), Range(40, 60).bring(75)
        (42, 51)
        """
        pitch += 12 * max(0, -(-(self.low - pitch) // 12)) - 12 * max(0, -(-(pitch - self.high) // 12))
        return min(max(pitch, self.low), self.high)


def near(pitch_class: int, pitch: float) -> int:
    """Find the pitch of that class nearest to `pitch`."""
    return pitch_class + 12 * round((pitch - pitch_class) / 12)


def style_of(kind: str, random: np.random.Generator) -> str:
    """Draw a way of playing that the class is used to."""
    styles = ["melody", "melody", "chords", "broken", "long", "repeated"]
    style = str(random.choice(styles))
    if kind in SINGLE and style in ("chords", "broken"):
        return str(random.choice(["repeated", "walking"]))
    if kind in MELODIC and style == "chords":
        return "melody"
    return style


def phrase(kind: str, within: Range, aligned: bool, random: np.random.Generator) -> tuple[Note, ...]:
    """Make up the notes of a phrase; they end a little before it does."""
    end = SECONDS - 0.3
    beat = BEAT if aligned else random.uniform(0.25, 0.8)
    key = 0 if aligned else int(random.integers(12))
    home = LOW.get(kind, HIGH.get(kind, MIDDLE))
    middle = int(np.clip(random.normal(home, 5 if kind in LOW else 9), 28, 96))
    loud = int(random.integers(45, 118))
    style = style_of(kind, random)
    held = random.uniform(0.4, 1.05)
    notes: list[Note] = []
    now, walk = (0.0 if aligned else random.uniform(0, 0.3)), float(middle)
    while now < end - 0.1:
        chord = [(tone + key) % 12 for tone in CHORDS[int(now / (3 * beat)) % 4]]
        pitches: list[int] = []
        over = 0.0
        if style in ("melody", "walking"):
            length = beat * float(random.choice([0.25, 0.5, 0.5, 1, 1, 2] if style == "melody" else [0.5, 1]))
            walk = float(np.clip(walk + random.normal(0, 3.5), middle - 12, middle + 12))
            tone = random.choice(chord) if random.random() < 0.5 else (random.choice(SCALE) + key) % 12
            pitches = [near(int(tone), walk)] if random.random() < 0.9 else []
        elif style == "chords":
            length = beat * float(random.choice([1, 2, 3, 3]))
            pitches = sorted({near(tone, middle + int(random.integers(-5, 6))) for tone in chord})
        elif style == "broken":
            length, over = beat * 0.5, 0.5
            pitches = [near(chord[len(notes) % 3], middle + 6 * (len(notes) % 3 - 1))]
        elif style == "long":
            length, over = beat * float(random.choice([3, 3, 6])), 0.2
            pitches = [near(int(random.choice(chord)), middle)]
        else:
            length = beat * float(random.choice([0.5, 0.5, 1]))
            pitches = [near(chord[0] if random.random() < 0.7 else chord[2], middle)]
        for pitch in pitches:
            velocity = int(np.clip(loud + random.integers(-15, 13), 25, 127))
            lasts = min(length * (held + over), end - now)
            notes.append(Note(now, lasts, within.bring(pitch), velocity))
        now += length
    return tuple(notes)


def groove(aligned: bool, random: np.random.Generator) -> tuple[Note, ...]:
    """Make up a drum pattern: all of the kit, or one or two of its drums alone."""
    beat = BEAT if aligned else random.uniform(0.3, 0.75)
    whole = random.random() < 0.6
    kinds = list(KIT_KEYS) if whole else [str(k) for k in random.choice(list(KIT_KEYS), 2, replace=False)]
    if not whole and random.random() < 0.5:
        kinds = kinds[:1]
    keys = {kind: int(random.choice(KIT_KEYS[kind])) for kind in kinds}
    pattern = {kind: random.random(8) < random.uniform(0.1, 0.5) for kind in kinds}
    if whole:
        pattern["kick"][[0, 4]], pattern["snare"][[2, 6]] = True, True
        pattern["hat"][:: int(random.choice([1, 2]))] = True
    loud, notes = int(random.integers(55, 122)), []
    for step in range(int((SECONDS - 0.2) / (beat / 2))):
        for kind in kinds:
            if pattern[kind][step % 8] or random.random() < 0.04:
                key = keys[kind] if random.random() < 0.85 else int(random.choice(KIT_KEYS[kind]))
                velocity = int(np.clip(loud + random.integers(-25, 10), 20, 127))
                notes.append(Note(step * beat / 2, 0.2, key, velocity))
    return tuple(notes)


def scores(kind: str, within: Range | None, count: int, seed: tuple[int, ...]) -> list[tuple[Note, ...]]:
    """Make up `count` phrases of a class: first those that all its instruments play, then their own.

    Args:
        kind: a class of the vocabulary, or "kit" for drum kits, whose range is None.
        within: brought into by octaves, so that shared notes stay in tune with each other.
        count: at least `SHARED`.
        seed: of the instrument; the shared phrases hang on the class alone.
    """
    number = len(RENDERED_CLASSES) if kind == "kit" else RENDERED_CLASSES.index(kind)
    made = []
    for index in range(count):
        key = (number, index) if index < SHARED else (*seed, index)
        random = np.random.default_rng([len(key), *key])
        aligned = index % 2 == 0
        made.append(phrase(kind, within, aligned, random) if within else groove(aligned, random))
    return made
