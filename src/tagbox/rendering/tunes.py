"""List tunes in the public domain: melodies and their chords.

The melodies are traditional or by composers long dead; the chords were written for this list. An upbeat comes
before the first whole bar.
"""

from dataclasses import dataclass

QUALITIES = {"": (0, 4, 7), "m": (0, 3, 7), "7": (0, 4, 7, 10)}
"""Semitones above the root, by the ending of a chord's name."""


@dataclass(frozen=True)
class Tune:
    """A melody in the notation of `tagbox.rendering.scores`, with its chords.

    Attributes:
        title: of the tune.
        origin: composer or country, and date.
        unit: length of one unit, s.
        bar: length of a bar, units.
        beat: length of a beat, units.
        upbeat: units before the first whole bar.
        melody: notes and their lengths.
        chords: names and lengths, such as `Am*12`; together as long as the melody.
    """

    title: str
    origin: str
    unit: float
    bar: int
    beat: int
    upbeat: int
    melody: str
    chords: str


GREENSLEEVES = """
    A4*2 C5*4 D5*2 E5*3 F5*1 E5*2 D5*4 B4*2 G4*3 A4*1 B4*2 C5*4 A4*2 A4*3 G#4*1 A4*2 B4*4 G#4*2 E4*4
    A4*2 C5*4 D5*2 E5*3 F5*1 E5*2 D5*4 B4*2 G4*3 A4*1 B4*2 C5*3 B4*1 A4*2 G#4*3 F#4*1 G#4*2 A4*10"""
SAILOR = """
    A5*2 A5*1 A5*1 A5*2 A5*1 A5*1 A5*2 D5*2 F5*2 A5*2 G5*2 G5*1 G5*1 G5*2 G5*1 G5*1 G5*2 C5*2 E5*2 G5*2
    A5*2 A5*1 A5*1 A5*2 A5*1 A5*1 A5*2 B5*2 C6*2 D6*2 C6*2 A5*2 G5*2 E5*2 D5*4 D5*4"""
GRACE = """
    D4*2 G4*4 B4*1 G4*1 B4*4 A4*2 G4*4 E4*2 D4*4 D4*2 G4*4 B4*1 G4*1 B4*4 A4*2 D5*8"""

TUNES = (
    Tune(
        "Greensleeves", "English, sixteenth century", 0.145, 12, 6, 2, GREENSLEEVES,
        "Am*2 Am*12 G*12 Am*12 E*12 Am*12 G*12 Am*6 E*6 Am*10",
    ),
    Tune(
        "Drunken Sailor", "shanty, before 1839", 0.205, 8, 2, 0, SAILOR,
        "Dm*8 Dm*8 C*8 C*8 Dm*8 Dm*8 C*4 Am*4 Dm*8",
    ),
    Tune(
        "New Britain", "American, before 1836", 0.3, 6, 2, 2, GRACE + " -*2",
        "G*2 G*6 G*6 C*6 G*6 G*6 Em*6 D*10",
    ),
    Tune(
        "Ode to Joy", "Beethoven, 1824", 0.22, 8, 2, 0,
        """E5*2 E5*2 F5*2 G5*2 G5*2 F5*2 E5*2 D5*2 C5*2 C5*2 D5*2 E5*2 E5*3 D5*1 D5*4
        E5*2 E5*2 F5*2 G5*2 G5*2 F5*2 E5*2 D5*2 C5*2 C5*2 D5*2 E5*2 D5*3 C5*1 C5*4""",
        "C*8 G*8 C*8 C*3 G*5 C*8 G*8 C*8 G*3 C*5",
    ),
    Tune(
        "Ah! vous dirai-je, maman", "French, before 1761", 0.24, 8, 2, 0,
        """C5*2 C5*2 G5*2 G5*2 A5*2 A5*2 G5*4 F5*2 F5*2 E5*2 E5*2 D5*2 D5*2 C5*4
        G5*2 G5*2 F5*2 F5*2 E5*2 E5*2 D5*4 G5*2 G5*2 F5*2 F5*2 E5*2 E5*2 D5*4
        C5*2 C5*2 G5*2 G5*2 A5*2 A5*2 G5*4 F5*2 F5*2 E5*2 E5*2 D5*2 D5*2 C5*4""",
        """C*8 F*4 C*4 F*4 C*4 G*4 C*4 C*4 F*4 C*4 G*4 C*4 F*4 C*4 G*4
        C*8 F*4 C*4 F*4 C*4 G*4 C*4""",
    ),
    Tune(
        "Auld Lang Syne", "Scottish, before 1799", 0.28, 8, 2, 2,
        """C4*2 F4*3 F4*1 F4*2 A4*2 G4*3 F4*1 G4*2 A4*2 F4*3 F4*1 A4*2 C5*2 D5*6 D5*2
        C5*3 A4*1 A4*2 F4*2 G4*3 F4*1 G4*2 A4*2 F4*3 D4*1 D4*2 C4*2 F4*6""",
        "F*2 F*8 C*8 F*8 Bb*8 F*8 C*8 Bb*6 C*2 F*6",
    ),
    Tune(
        "Minuet in G", "Petzold, about 1725", 0.24, 6, 2, 0,
        """D5*2 G4*1 A4*1 B4*1 C5*1 D5*2 G4*2 G4*2 E5*2 C5*1 D5*1 E5*1 F#5*1 G5*2 G4*2 G4*2
        C5*2 D5*1 C5*1 B4*1 A4*1 B4*2 C5*1 B4*1 A4*1 G4*1 F#4*2 G4*1 A4*1 B4*1 G4*1 B4*2 A4*4
        D5*2 G4*1 A4*1 B4*1 C5*1 D5*2 G4*2 G4*2 E5*2 C5*1 D5*1 E5*1 F#5*1 G5*2 G4*2 G4*2
        C5*2 D5*1 C5*1 B4*1 A4*1 B4*2 C5*1 B4*1 A4*1 G4*1 A4*2 B4*1 A4*1 G4*1 F#4*1 G4*6""",
        "G*12 C*6 G*6 C*6 G*6 D*12 G*12 C*6 G*6 C*6 G*6 D*6 G*6",
    ),
    Tune(
        "Oh! Susanna", "Foster, 1848", 0.17, 8, 2, 2,
        """G4*1 A4*1 B4*2 D5*2 D5*3 E5*1 D5*2 B4*2 G4*3 A4*1 B4*2 B4*2 A4*2 G4*2 A4*6 G4*1 A4*1
        B4*2 D5*2 D5*3 E5*1 D5*2 B4*2 G4*3 A4*1 B4*2 B4*2 A4*2 A4*2 G4*6""",
        "G*2 G*8 G*8 G*8 D*8 G*8 G*8 G*4 D*4 G*6",
    ),
    Tune(
        "Korobeiniki", "Russian, 1861", 0.19, 8, 2, 0,
        """E5*2 B4*1 C5*1 D5*2 C5*1 B4*1 A4*2 A4*1 C5*1 E5*2 D5*1 C5*1 B4*3 C5*1 D5*2 E5*2 C5*2 A4*2 A4*4
        -*1 D5*2 F5*1 A5*2 G5*1 F5*1 E5*3 C5*1 E5*2 D5*1 C5*1 B4*2 B4*1 C5*1 D5*2 E5*2 C5*2 A4*2 A4*4""",
        "E*8 Am*8 E*8 Am*8 Dm*8 C*8 E*8 Am*8",
    ),
    Tune(
        "La Folia", "Iberian, seventeenth century", 0.26, 6, 2, 0,
        """D5*2 D5*3 E5*1 C#5*2 C#5*4 D5*2 D5*3 E5*1 E5*2 E5*4 F5*2 F5*3 G5*1 E5*2 E5*4
        D5*2 D5*3 C#5*1 C#5*6 D5*2 D5*3 E5*1 C#5*2 C#5*4 D5*2 D5*3 E5*1 E5*2 E5*4
        F5*2 F5*3 G5*1 E5*2 E5*4 D5*1 E5*1 C#5*3 D5*1 D5*6""",
        "Dm*6 A*6 Dm*6 C*6 F*6 C*6 Dm*6 A*6 Dm*6 A*6 Dm*6 C*6 F*6 C*6 Dm*2 A*4 Dm*6",
    ),
    Tune(
        "Frère Jacques", "French, before 1780", 0.22, 8, 2, 0,
        """C5*2 D5*2 E5*2 C5*2 C5*2 D5*2 E5*2 C5*2 E5*2 F5*2 G5*4 E5*2 F5*2 G5*4
        G5*1 A5*1 G5*1 F5*1 E5*2 C5*2 G5*1 A5*1 G5*1 F5*1 E5*2 C5*2 C5*2 G4*2 C5*4 C5*2 G4*2 C5*4""",
        "C*8 C*8 C*8 C*8 C*8 C*8 C*2 G*2 C*4 C*2 G*2 C*4",
    ),
    Tune(
        "Canon", "Pachelbel, about 1680; the second half ours", 0.25, 8, 2, 0,
        """F#5*4 E5*4 D5*4 C#5*4 B4*4 A4*4 B4*4 C#5*4
        F#5*2 D5*2 E5*2 C#5*2 D5*2 B4*2 C#5*2 A4*2 B4*2 G4*2 A4*2 F#4*2 B4*2 G4*2 C#5*2 E5*2""",
        "D*4 A*4 Bm*4 F#m*4 G*4 D*4 G*4 A*4 D*4 A*4 Bm*4 F#m*4 G*4 D*4 G*4 A*4",
    ),
)  # fmt: skip
