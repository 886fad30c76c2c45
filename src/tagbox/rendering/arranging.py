"""Arrange tunes as scores, by rules for lead, counterpoint, chords, bass, drums and colour."""

import dataclasses
from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np

from tagbox.rendering.ensembles import Player, generate_ensembles
from tagbox.rendering.general_midi import DRUM_KEYS, family
from tagbox.rendering.scores import STEPS, Note, Part, Score, count_units, read_notation
from tagbox.rendering.tunes import QUALITIES, TUNES, Tune

Event = tuple[int, float, int]
"""A note as (start in units, length in units, MIDI pitch)."""
Chord = tuple[int, int, tuple[int, ...]]
"""A chord as (start in units, length in units, pitch classes from the root up)."""

LEVEL_DB_BY_ROLE = {
    "lead": 0.0, "counter": -3.0, "chords": -3.0, "bass": -3.0, "colour": -8.0, "drums": -2.0,
}  # fmt: skip
"""Each is varied at random by up to `LEVEL_SPREAD_DB`."""
LEVEL_SPREAD_DB = 2.0
MAX_DELAY_SECONDS = 0.012
"""By which a player is late, at random."""

CENTRE_BY_FAMILY = {
    "Piano": 62, "Chromatic Percussion": 76, "Organ": 64, "Guitar": 58, "Bass": 38, "Strings": 69,
    "Strings (continued)": 64, "Brass": 62, "Reed": 64, "Pipe": 76, "Synth Lead": 69, "Synth Pad": 60,
    "Synth Effects": 62, "Ethnic": 62, "Percussive": 62, "Sound Effects": 60,
}  # fmt: skip
"""MIDI pitch about which an instrument plays."""
CENTRE_BY_PROGRAM = {41: 62, 42: 52, 43: 43, 57: 52, 58: 43, 60: 57, 66: 57, 67: 50, 70: 50}
"""The same for instruments that play lower than their family."""


def arrangements(seed: int, seconds: float) -> Iterator[Score]:
    """Yield arrangements of `seconds` without end; every tune occurs before one occurs again."""
    ensembles = generate_ensembles(seed)
    order = np.random.default_rng([seed, 2])
    number = 0
    while True:
        for index in order.permutation(len(TUNES)):
            random = np.random.default_rng([seed, 3, number])
            yield arrange(TUNES[index], next(ensembles), seconds, random)
            number += 1


def arrangement(seed: int, seconds: float, number: int) -> Score:
    """Return the arrangement with this number, counted from 0."""
    return next(islice(arrangements(seed, seconds), number, None))


def arrange(tune: Tune, players: Sequence[Player], seconds: float, random: np.random.Generator) -> Score:
    """Arrange a tune in a random key and tempo, repeated until it lasts `seconds`."""
    unit = tune.unit * random.uniform(0.85, 1.15)
    key = int(random.integers(-5, 7))
    length = count_units(tune.melody)
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
    for player in players:
        events = _line(player, tune, melody, harmony, times * length, random)
        level = LEVEL_DB_BY_ROLE[player.role] + random.uniform(-LEVEL_SPREAD_DB, LEVEL_SPREAD_DB)
        notes = _play(_transpose_to_range(events, player), unit, tune.beat, seconds, random)
        parts.append(Part(player.program, notes, level=round(float(level), 2)))
    return Score(tune.title, tuple(parts))


def read_chords(text: str) -> list[Chord]:
    """Parse names and lengths of chords.

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
    player: Player,
    tune: Tune,
    melody: list[Event],
    harmony: list[Chord],
    length: int,
    random: np.random.Generator,
) -> list[Event]:
    """Write the notes of a player's role, in any octave."""
    if player.role == "lead":
        return [(start, 0.95 * held, pitch) for start, held, pitch in melody]
    if player.role == "counter":
        return _counter(melody, harmony)
    if player.role == "chords":
        return _chords(harmony, tune.beat, int(random.integers(3)))
    if player.role == "bass":
        return _bass(harmony, tune.beat, int(random.integers(3)))
    if player.role == "drums":
        return _drums(tune, length, int(random.integers(2)))
    return _colour(family(player.program), harmony, tune)


def _counter(melody: list[Event], harmony: list[Chord]) -> list[Event]:
    """Write a counterpoint: the nearest chord tone at least a third below each longer note of the melody."""
    out = []
    for start, held, pitch in melody:
        if held >= 2:
            tones = _chord_at(harmony, start)
            below = next(p for p in range(pitch - 3, pitch - 16, -1) if p % 12 in tones)
            out.append((start, 0.9 * held, below))
    return out


def _chords(harmony: list[Chord], beat: int, pattern: int) -> list[Event]:
    """Write chords: held (pattern 0), struck on every beat (1), or broken (2)."""
    out: list[Event] = []
    for start, length, tones in harmony:
        voicing = _voicing(tones)
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
    """Write a bass line: roots (pattern 0), roots and fifths in turn (1), or all tones of the chord (2)."""
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
    """Write kick and snare on the beats, hats (pattern 0) or a ride between, a cymbal every fourth bar."""
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
    """Write held chords for pads, a figure on the root for percussion, and an occasional effect."""
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


def _voicing(tones: Sequence[int]) -> tuple[int, ...]:
    """Return pitches from the octave of middle C up, each above the one before."""
    out = [60 + tones[0]]
    for tone in tones[1:]:
        out.append(out[-1] + (tone - out[-1]) % 12)
    return tuple(out)


def _transpose_to_range(events: list[Event], player: Player) -> list[Event]:
    """Transpose by octaves to the centre of the instrument's range."""
    if player.program is None or not events:
        return events
    centre = CENTRE_BY_PROGRAM.get(player.program, CENTRE_BY_FAMILY[family(player.program)])
    middle = float(np.median([pitch for _, _, pitch in events]))
    shift = 12 * round((centre - middle) / 12)
    return [(start, held, int(np.clip(pitch + shift, 21, 108))) for start, held, pitch in events]


def _play(
    events: list[Event], unit: float, beat: int, seconds: float, random: np.random.Generator
) -> tuple[Note, ...]:
    """Convert to notes in seconds, a little uneven in time and loudness as people play."""
    notes = []
    for start, held, pitch in events:
        begin = start * unit + random.uniform(0, MAX_DELAY_SECONDS)
        strong = 8 if start % beat == 0 else 0
        velocity = int(np.clip(84 + strong + random.integers(-8, 9), 1, 127))
        if begin < seconds:
            notes.append(Note(begin, min(held * unit, seconds - begin), pitch, velocity))
    return tuple(sorted(notes, key=dataclasses.astuple))
