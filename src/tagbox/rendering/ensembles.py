"""Who plays: instruments drawn so that every family comes up, in small ensembles and duets.

Families come from shuffled decks that are dealt to the end before they are shuffled again, so that sixteen
tracks hold every family of General MIDI, and the instruments that taggers know best come up most.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from tagbox.rendering.general_midi import FAMILIES, family

LEAD = (
    "Piano", "Chromatic Percussion", "Organ", "Guitar", "Strings", "Strings", "Strings (continued)", "Brass",
    "Reed", "Pipe", "Synth Lead", "Ethnic",
)  # fmt: skip
CHORDS = ("Piano", "Piano", "Guitar", "Guitar", "Organ", "Chromatic Percussion", "Strings (continued)")
COUNTER = ("Strings", "Strings (continued)", "Brass", "Reed", "Pipe", "Synth Lead")
COLOUR = ("Synth Pad", "Percussive", "Synth Effects", "Sound Effects")

SUITED = {
    "Strings": (40, 41, 42, 45, 46),
    "Strings (continued)": (48, 49, 50, 52, 53, 54),
    "Pipe": (72, 73, 73, 74, 75, 79),
    "Guitar": (24, 25, 26, 27, 29),
    "Ethnic": (104, 105, 106, 107, 108, 110),
    "Percussive": (112, 113, 114, 115, 116, 117),
    "Sound Effects": (122, 123, 126),
}
"""Programs of a family that can carry a part; all eight of the others."""

KINDS = ("duet", "band", "quartet", "band with counterpoint")


@dataclass(frozen=True)
class Chair:
    """A role ("lead", "chords", "counter", "bass", "colour", "drums") and the program that plays it."""

    role: str
    program: int | None


@dataclass
class _Deck:
    cards: tuple[str, ...]
    random: np.random.Generator
    left: list[str] = field(default_factory=list)

    def draw(self, taken: set[str]) -> str:
        """The next family that does not play yet."""
        if not any(card not in taken for card in self.left):
            self.left += [self.cards[i] for i in self.random.permutation(len(self.cards))]
        card = next(card for card in self.left if card not in taken)
        self.left.remove(card)
        return card


def casts(seed: int) -> Iterator[tuple[Chair, ...]]:
    """Ensembles without end, in the order of `KINDS`; no family plays twice in one."""
    random = np.random.default_rng([seed, 1])
    decks = {
        role: _Deck(cards, random)
        for role, cards in (("lead", LEAD), ("chords", CHORDS), ("counter", COUNTER), ("colour", COLOUR))
    }
    seats = {
        "duet": ("lead", "chords"),
        "band": ("lead", "chords", "bass", "colour", "drums"),
        "quartet": ("lead", "counter", "chords", "bass"),
        "band with counterpoint": ("lead", "counter", "chords", "bass", "colour", "drums"),
    }
    while True:
        for kind in KINDS:
            taken: set[str] = set()
            chairs = []
            for role in seats[kind]:
                if role == "drums":
                    chairs.append(Chair(role, None))
                    continue
                group = "Bass" if role == "bass" else decks[role].draw(taken)
                taken.add(group)
                first = 8 * FAMILIES.index(group)
                programs = SUITED.get(group, tuple(range(first, first + 8)))
                chairs.append(Chair(role, int(random.choice(programs))))
            assert len({family(chair.program) for chair in chairs}) == len(chairs)
            yield tuple(chairs)
