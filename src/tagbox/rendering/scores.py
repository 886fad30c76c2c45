"""Represent music: notes in seconds, parts, scores, and a short notation for tunes."""

import dataclasses
import math
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from tagbox.rendering.general_midi import DRUM_KEYS, family

STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True)
class Note:
    """A note: `start` and `length` in seconds, `pitch` and `velocity` as in MIDI."""

    start: float
    length: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Control:
    """A MIDI channel message other than a note, at `when` seconds, with 0 as its channel."""

    when: float
    message: bytes


@dataclass(frozen=True)
class Part:
    """The notes of one instrument.

    Attributes:
        program: number in General MIDI, from 0; None is the drum kit.
        notes: by start.
        controls: messages other than notes.
        level: RMS in dB relative to the other parts; None keeps that of the rendered audio.
    """

    program: int | None
    notes: tuple[Note, ...]
    controls: tuple[Control, ...] = ()
    level: float | None = None

    @property
    def family(self) -> str:
        """Return the instrument's class, as Slakh2100 names it."""
        return family(self.program)


@dataclass(frozen=True)
class Score:
    """A title, and the parts that play together."""

    title: str
    parts: tuple[Part, ...]


def read_notation(text: str) -> list[tuple[int, int, int]]:
    """Parse a line of music into notes (start in units, length in units, MIDI pitch).

    Words are pitches and a length in units: `A4*2` a note, `A2+E3*1` a chord, `-*3` a rest, `kick+hat*1`
    drums. Middle C is C4.

    >>> read_notation("A4*2 -*1 C4+E4*3")
    [(0, 2, 69), (3, 3, 60), (3, 3, 64)]
    """
    now, out = 0, []
    for word in text.split():
        pitches, length = word.rsplit("*", 1)
        for pitch in pitches.split("+") if pitches != "-" else ():
            out.append((now, int(length), DRUM_KEYS[pitch] if pitch in DRUM_KEYS else _midi_pitch(pitch)))
        now += int(length)
    return out


def count_units(text: str) -> int:
    """Count the units of a line of notation.

    >>> count_units("A4*2 -*1 C4+E4*3")
    6
    """
    return sum(int(word.rsplit("*", 1)[1]) for word in text.split())


def _midi_pitch(pitch: str) -> int:
    found = re.fullmatch(r"([A-G])([#b]?)(\d)", pitch)
    if found is None:
        raise ValueError(f"{pitch!r} is no pitch")
    letter, sign, octave = found.groups()
    return STEPS[letter] + {"": 0, "#": 1, "b": -1}[sign] + 12 * (int(octave) + 1)


def cut_window(part: Part, start: float, seconds: float) -> Part:
    """Cut the notes that begin in a window of `seconds` out of a part; times then count from `start`.

    Notes end with the window at the latest. The last control of each kind before the window is repeated at
    its start, because it is still in force.
    """
    end = start + seconds
    notes = tuple(
        Note(note.start - start, min(note.length, end - note.start), note.pitch, note.velocity)
        for note in part.notes
        if start <= note.start < end
    )
    before: dict[bytes, Control] = {}
    for control in part.controls:
        if control.when < start:
            # A controller is known by its number, everything else by its status.
            kind = control.message[:2] if control.message[0] == 0xB0 else control.message[:1]
            before[kind] = Control(0.0, control.message)
    during = tuple(
        Control(control.when - start, control.message)
        for control in part.controls
        if start <= control.when < end
    )
    return dataclasses.replace(part, notes=notes, controls=(*before.values(), *during))


def busiest_window(parts: Sequence[Part], seconds: float, min_notes: int) -> float:
    """Find the window of `seconds` with the most parts that play `min_notes` notes, then with the most notes.

    Returns:
        the whole second at which the window begins, the first of several.
    """
    starts = [sorted(note.start for note in part.notes) for part in parts]
    last = max((start for part_starts in starts for start in part_starts), default=0.0)
    end = max(1, int(last - seconds) + 2)
    # A window holds more than the one before it only where a note comes in at its end.
    first_with = (math.floor(start - seconds) + 1 for part_starts in starts for start in part_starts)
    firsts = {0} | {near for first in first_with for near in (first - 1, first, first + 1) if 0 <= near < end}

    def parts_and_notes(first: int) -> tuple[int, int]:
        counts = [
            bisect_left(part_starts, first + seconds) - bisect_left(part_starts, first)
            for part_starts in starts
        ]
        return sum(count >= min_notes for count in counts), sum(counts)

    return float(max(sorted(firsts), key=parts_and_notes))
