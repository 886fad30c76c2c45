"""A tune becomes a score: rules for lead, counterpoint, chords, bass, drums and colour, varied by a seed."""

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from tagbox.rendering.ensembles import Chair, casts
from tagbox.rendering.general_midi import DRUM_KEYS, family
from tagbox.rendering.scores import STEPS, Note, Part, Score, read_notation, units_of
from tagbox.rendering.tunes import QUALITIES, TUNES, Tune

Event = tuple[int, float, int]
"""(unit at which it starts, units that it sounds, MIDI pitch)."""
Chord = tuple[int, int, tuple[int, ...]]
"""(unit at which it starts, units that it lasts, pitch classes from the root up)."""

LEVELS = {
    "lead": 0.0, "counter": -3.0, "chords": -3.0, "bass": -3.0, "colour": -8.0, "drums": -2.0,
}  # fmt: skip
"""dB; a seed moves each by up to `LEVEL_SPREAD`."""
LEVEL_SPREAD = 2.0
LATEST = 0.012
"""Seconds by which players are late, at the most."""

CENTRES = {
    "Piano": 62, "Chromatic Percussion": 76, "Organ": 64, "Guitar": 58, "Bass": 38, "Strings": 69,
    "Strings (continued)": 64, "Brass": 62, "Reed": 64, "Pipe": 76, "Synth Lead": 69, "Synth Pad": 60,
    "Synth Effects": 62, "Ethnic": 62, "Percussive": 62, "Sound Effects": 60,
}  # fmt: skip
LOW_ONES = {41: 62, 42: 52, 43: 43, 57: 52, 58: 43, 60: 57, 66: 57, 67: 50, 70: 50}
"""Where instruments play that are not at home where their family is."""


def scores(seed: int, seconds: float) -> Iterator[Score]:
    """Arrangements without end, `seconds` long; every tune comes up before one comes again."""
    ensembles = casts(seed)
    order = np.random.default_rng([seed, 2])
    number = 0
    while True:
        for index in order.permutation(len(TUNES)):
            random = np.random.default_rng([seed, 3, number])
            yield arrange(TUNES[index], next(ensembles), seconds, random)
            number += 1


def score(seed: int, seconds: float, number: int) -> Score:
    """The arrangement with this number, counted from 0."""
    return next(islice(scores(seed, seconds), number, None))


def arrange(tune: Tune, chairs: Sequence[Chair], seconds: float, random: np.random.Generator) -> Score:
    """The tune in a key and tempo that `random` chooses, again and again until `seconds` are full."""
    unit = tune.unit * random.uniform(0.85, 1.15)
    key = int(random.integers(-5, 7))
    length = units_of(tune.melody)
    times = int(seconds / (unit * length)) + 1
    melody = [
        (again * length + start, float(held), pitch + key)
        for again in range(times)
        for start, held, pitch in read_notation(tune.melody)
    ]
    harmony = [
        (again * length + start, held, tuple((tone + key) % 12 for tone in tones))
        for again in range(times)
        for start, held, tones in read_chords(tune.chords)
    ]
    parts = []
    for chair in chairs:
        events = _line(chair, tune, melody, harmony, times * length, random)
        level = LEVELS[chair.role] + random.uniform(-LEVEL_SPREAD, LEVEL_SPREAD)
        notes = _play(_placed(events, chair), unit, tune.beat, seconds, random)
        parts.append(Part(chair.program, notes, level=round(float(level), 2)))
    return Score(tune.title, tuple(parts))


def read_chords(text: str) -> list[Chord]:
    """Names and lengths as (start, units, pitch classes from the root up).

    >>> read_chords("C*4 Am*2")
    [(0, 4, (0, 4, 7)), (4, 2, (9, 0, 4))]
    """
    now, out = 0, []
    for word in text.split():
        name, length = word.split("*")
        letters = 2 if name[1:2] in ("#", "b") else 1
        root = STEPS[name[0]] + {"#": 1, "b": -1}.get(name[1:2], 0)
        out.append((now, int(length), tuple((root + i) % 12 for i in QUALITIES[name[letters:]])))
        now += int(length)
    return out


def _line(
    chair: Chair,
    tune: Tune,
    melody: list[Event],
    harmony: list[Chord],
    length: int,
    random: np.random.Generator,
) -> list[Event]:
    """What the chair's role plays, in an octave of its own."""
    if chair.role == "lead":
        return [(start, 0.95 * held, pitch) for start, held, pitch in melody]
    if chair.role == "counter":
        return _counter(melody, harmony)
    if chair.role == "chords":
        return _chords(harmony, tune.beat, int(random.integers(3)))
    if chair.role == "bass":
        return _bass(harmony, tune.beat, int(random.integers(3)))
    if chair.role == "drums":
        return _drums(tune, length, int(random.integers(2)))
    return _colour(family(chair.program), harmony, tune)


def _counter(melody: list[Event], harmony: list[Chord]) -> list[Event]:
    """Under each longer note of the melody, the chord's tone at least a third below."""
    out = []
    for start, held, pitch in melody:
        if held >= 2:
            tones = _chord_at(harmony, start)
            below = next(p for p in range(pitch - 3, pitch - 16, -1) if p % 12 in tones)
            out.append((start, 0.9 * held, below))
    return out


def _chords(harmony: list[Chord], beat: int, pattern: int) -> list[Event]:
    """Held, struck on every beat, or broken."""
    out: list[Event] = []
    for start, length, tones in harmony:
        voicing = _rising(tones)
        if pattern == 0:
            out += [(start, 0.97 * length, pitch) for pitch in voicing]
        elif pattern == 1:
            for at in range(0, length, beat):
                out += [(start + at, 0.8 * min(beat, length - at), pitch) for pitch in voicing]
        else:
            step = max(1, beat // 2)
            figure = (*voicing, voicing[0] + 12, *voicing[:0:-1])
            for i, at in enumerate(range(0, length, step)):
                out.append((start + at, 1.5 * step, figure[i % len(figure)]))
    return out


def _bass(harmony: list[Chord], beat: int, pattern: int) -> list[Event]:
    """Roots, roots and fifths by turns, or the chord walked through."""
    out: list[Event] = []
    for start, length, tones in harmony:
        root, third, fifth = 36 + tones[0], 36 + tones[0] + (tones[1] - tones[0]) % 12, 43 + tones[0]
        figure = {0: (root, root), 1: (root, fifth), 2: (root, third, fifth, third)}[pattern]
        out += [
            (start + at, 0.9 * min(beat, length - at), figure[i % len(figure)])
            for i, at in enumerate(range(0, length, beat))
        ]
    return out


def _drums(tune: Tune, length: int, pattern: int) -> list[Event]:
    """Kick and snare on the beats, hats or a ride between, a cymbal every fourth bar."""
    cymbal = DRUM_KEYS["hat" if pattern == 0 else "ride"]
    step = max(1, tune.beat // 2)
    out: list[Event] = []
    for number, bar in enumerate(range(tune.upbeat, length, tune.bar)):
        for i, at in enumerate(range(0, tune.bar, tune.beat)):
            strong = i % 2 == 0 if tune.bar // tune.beat != 3 else i == 0
            out.append((bar + at, 1, DRUM_KEYS["kick" if strong else "snare"]))
        out += [(bar + at, 1, cymbal) for at in range(0, tune.bar, step)]
        if number % 4 == 0:
            out.append((bar, 1, DRUM_KEYS["crash"]))
        if number % 4 == 3:
            out += [(bar + tune.bar - step, 1, DRUM_KEYS["mid"]), (bar + tune.bar - 1, 1, DRUM_KEYS["low"])]
    return [event for event in out if event[0] < length]


def _colour(group: str, harmony: list[Chord], tune: Tune) -> list[Event]:
    """Pads hold chords, percussion has a figure on the root, and effects sound now and then."""
    if group == "Synth Pad":
        return _chords(harmony, tune.beat, 0)
    if group == "Percussive":
        return [
            (start + at, 0.8, 48 + tones[0])
            for start, length, tones in harmony
            for i, at in enumerate(range(0, length, max(1, tune.beat // 2)))
            if i % 4 in (0, 2, 3)
        ]
    if group == "Sound Effects":
        return [(start, float(length), 60) for start, length, _ in harmony[::3]]
    return [(start, float(length), 60 + tones[0]) for start, length, tones in harmony]


def _chord_at(harmony: list[Chord], unit: int) -> tuple[int, ...]:
    return next(tones for start, length, tones in harmony if start <= unit < start + length)


def _rising(tones: Sequence[int]) -> tuple[int, ...]:
    """Pitches from the octave of middle C up, each above the one before."""
    out = [60 + tones[0]]
    for tone in tones[1:]:
        out.append(out[-1] + (tone - out[-1]) % 12)
    return tuple(out)


def _placed(events: list[Event], chair: Chair) -> list[Event]:
    """In the octave nearest to where the instrument is at home."""
    if chair.program is None or not events:
        return events
    home = LOW_ONES.get(chair.program, CENTRES[family(chair.program)])
    middle = float(np.median([pitch for _, _, pitch in events]))
    shift = 12 * round((home - middle) / 12)
    return [(start, held, int(np.clip(pitch + shift, 21, 108))) for start, held, pitch in events]


def _play(
    events: list[Event], unit: float, beat: int, seconds: float, random: np.random.Generator
) -> tuple[Note, ...]:
    """A little uneven in time and loudness, as people play."""
    notes = []
    for start, held, pitch in events:
        begin = start * unit + random.uniform(0, LATEST)
        strong = 8 if start % beat == 0 else 0
        velocity = int(np.clip(84 + strong + random.integers(-8, 9), 1, 127))
        if begin < seconds:
            notes.append(Note(begin, min(held * unit, seconds - begin), pitch, velocity))
    return tuple(sorted(notes, key=dataclasses.astuple))
