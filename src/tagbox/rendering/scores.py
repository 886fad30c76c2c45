"""Notes in seconds, parts of one instrument, scores of several, and a short notation for tunes."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tagbox.rendering.general_midi import DRUM_KEYS, family

STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True)
class Note:
    """`start` and `length` in seconds, `pitch` and `velocity` as in MIDI."""

    start: float
    length: float
    pitch: int
    velocity: int


@dataclass(frozen=True)
class Control:
    """A channel message other than a note, at `when` seconds; the channel's four bits are 0."""

    when: float
    message: bytes


@dataclass(frozen=True)
class Part:
    """What one instrument plays.

    Attributes:
        program: General MIDI's number from 0; None is the drum kit.
        level: RMS in dB against the other parts' 0; None leaves it as it sounds.
    """

    program: int | None
    notes: tuple[Note, ...]
    controls: tuple[Control, ...] = ()
    level: float | None = None

    @property
    def family(self) -> str:
        """The instrument's class, as Slakh2100 names it."""
        return family(self.program)


@dataclass(frozen=True)
class Score:
    """A title for people, and the parts that sound together."""

    title: str
    parts: tuple[Part, ...]


def read_notation(text: str) -> list[tuple[int, int, int]]:
    """A line of music as (unit at which a note starts, units that it lasts, MIDI pitch).

    Words are pitches and a length in units: `A4*2` a note, `A2+E3*1` a chord, `-*3` a rest, `kick+hat*1`
    drums. Middle C is C4.

    >>> read_notation("A4*2 -*1 C4+E4*3")
    [(0, 2, 69), (3, 3, 60), (3, 3, 64)]
    """
    now, out = 0, []
    for word in text.split():
        pitches, length = word.rsplit("*", 1)
        for pitch in pitches.split("+") if pitches != "-" else ():
            out.append((now, int(length), DRUM_KEYS[pitch] if pitch in DRUM_KEYS else _number(pitch)))
        now += int(length)
    return out


def units_of(text: str) -> int:
    """How many units a line of notation lasts.

    >>> units_of("A4*2 -*1 C4+E4*3")
    6
    """
    return sum(int(word.rsplit("*", 1)[1]) for word in text.split())


def _number(pitch: str) -> int:
    found = re.fullmatch(r"([A-G])([#b]?)(\d)", pitch)
    if found is None:
        raise ValueError(f"{pitch!r} is no pitch")
    letter, sign, octave = found.groups()
    return STEPS[letter] + {"": 0, "#": 1, "b": -1}[sign] + 12 * (int(octave) + 1)


def window(part: Part, start: float, seconds: float) -> Part:
    """What of `part` begins within `seconds` from `start` on, counted from there.

    Notes end with the window at the latest. Of controls before it, the last of each kind is in force from its
    beginning on.
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


def busiest_window(parts: Sequence[Part], seconds: float, least: int) -> float:
    """The whole second at which the window begins in which most parts play `least` notes, then most notes."""
    starts = [[note.start for note in part.notes] for part in parts]
    last = max((when for one in starts for when in one), default=0.0)

    def busy(at: int) -> tuple[int, int]:
        counts = [sum(at <= when < at + seconds for when in one) for one in starts]
        return sum(count >= least for count in counts), sum(counts)

    candidates = range(max(1, int(last - seconds) + 2))
    return float(max(candidates, key=lambda at: (*busy(at), -at)))
