"""Choose the instruments of ensembles: duets, bands and quartets that together use every family.

Families are dealt from shuffled decks, each to its end before it is shuffled again, so that sixteen tracks
use every family of General MIDI, and the instruments that taggers know best occur most often.
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

PROGRAMS_BY_FAMILY = {
    "Strings": (40, 41, 42, 45, 46),
    "Strings (continued)": (48, 49, 50, 52, 53, 54),
    "Pipe": (72, 73, 73, 74, 75, 79),
    "Guitar": (24, 25, 26, 27, 29),
    "Ethnic": (104, 105, 106, 107, 108, 110),
    "Percussive": (112, 113, 114, 115, 116, 117),
    "Sound Effects": (122, 123, 126),
}
"""Programs that can carry a part, of families where not all eight can."""

ROLES_BY_ENSEMBLE = {
    "duet": ("lead", "chords"),
    "band": ("lead", "chords", "bass", "colour", "drums"),
    "quartet": ("lead", "counter", "chords", "bass"),
    "band with counterpoint": ("lead", "counter", "chords", "bass", "colour", "drums"),
}


@dataclass(frozen=True)
class Player:
    """A player of an ensemble.

    Attributes:
        role: "lead", "chords", "counter", "bass", "colour" or "drums".
        program: number in General MIDI, from 0; None is the drum kit.
    """

    role: str
    program: int | None


@dataclass
class _Deck:
    """Families that are dealt in random order, all of them before any is dealt again."""

    families: tuple[str, ...]
    random: np.random.Generator
    left: list[str] = field(default_factory=list)

    def deal(self, taken: set[str]) -> str:
        """Return the next family that is not in `taken`."""
        if not any(each not in taken for each in self.left):
            self.left += [self.families[i] for i in self.random.permutation(len(self.families))]
        dealt = next(each for each in self.left if each not in taken)
        self.left.remove(dealt)
        return dealt


def generate_ensembles(seed: int) -> Iterator[tuple[Player, ...]]:
    """Yield ensembles without end, in the order of `ROLES_BY_ENSEMBLE`; no family occurs twice in one."""
    random = np.random.default_rng([seed, 1])
    decks = {
        role: _Deck(families, random)
        for role, families in (
            ("lead", LEAD), ("chords", CHORDS), ("counter", COUNTER), ("colour", COLOUR),
        )
    }  # fmt: skip
    while True:
        for roles in ROLES_BY_ENSEMBLE.values():
            taken: set[str] = set()
            players = []
            for role in roles:
                if role == "drums":
                    players.append(Player(role, None))
                    continue
                group = "Bass" if role == "bass" else decks[role].deal(taken)
                taken.add(group)
                first = 8 * FAMILIES.index(group)
                programs = PROGRAMS_BY_FAMILY.get(group, tuple(range(first, first + 8)))
                players.append(Player(role, int(random.choice(programs))))
            assert len({family(player.program) for player in players}) == len(players)
            yield tuple(players)
