"""Render the phrases with General MIDI soundfonts: every program, its variations and the drum kits.

    python -m scripts.training_sounds.soundfonts BANK FILE.sf2... [--phrases 8]

What is there already is left, so a run can be stopped and begun again.

Needs: apt-get install fluidsynth fluid-soundfont-gm musescore-general-soundfont-small csound-soundfont.
The licences stand in sources.py.
"""

import argparse
import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.training_sounds.bank import RATE, SECONDS, Audio, place, store
from scripts.training_sounds.phrases import PROGRAMS, Range, scores
from tagbox.rendering import fluidsynth, midi
from tagbox.rendering.scores import Control, Note, Part

KIT_BANK = 128
"""Of drum kits, as soundfonts number them."""
OTHER_MAPS = 120
"""The first bank whose programs are not those of General MIDI."""
MOST_VARIED = 120
"""The first program that is an effect, of which variations may be anything."""
BENDABLE = range(21, 112)
LAYERS = re.compile(rb"[&+]|Full Orchestra|Woodwind Choir|SFX")
"""Names of presets that are several instruments, and so of no class."""
VIBRATO_DEPTHS = (0, 0, 40, 90)
BEND_DEVIATION = 500
"""Of 8192 for two semitones: instruments are seldom in tune to the cent."""


@dataclass(frozen=True)
class Patch:
    """A program of a soundfont, one of its variations in another bank, or one of its drum kits."""

    program: int
    bank: int = 0

    @property
    def kit(self) -> bool:
        """Tell whether it is a drum kit."""
        return self.bank == KIT_BANK

    @property
    def kind(self) -> str:
        """Name the class of the vocabulary."""
        return "drums" if self.kit else next(kind for kind, own in PROGRAMS.items() if self.program in own)

    @property
    def detail(self) -> str:
        """Name it within its class."""
        prefix = "kit-" if self.kit else f"bank-{self.bank:03d}-" if self.bank else ""
        return f"{prefix}{self.program:03d}"


def patches(soundfont: Path) -> list[Patch]:
    """List what a soundfont has, from its preset headers."""
    content = soundfont.read_bytes()
    begin = content.rindex(b"phdr")
    (size,) = struct.unpack_from("<I", content, begin + 4)
    headers = [struct.unpack_from("<20sHH", content, begin + 8 + at) for at in range(0, size - 38, 38)]
    found = {Patch(program, bank) for name, program, bank in headers if not LAYERS.search(name)}
    return sorted(
        (
            one
            for one in found
            if one.bank in (0, KIT_BANK) or (one.bank < OTHER_MAPS and one.program < MOST_VARIED)
        ),
        # A stride that visits all classes early: a bank that is half done can be learnt from.
        key=lambda one: (one.bank not in (0, KIT_BANK), one.program * 37 % 128, one.bank),
    )


def one_part(patch: Patch, phrases: list[tuple[Note, ...]], random: np.random.Generator) -> Part:
    """Put phrases one after the other, `SECONDS` apart, each with its own vibrato and tuning."""
    notes: list[Note] = []
    controls = [Control(0.0, bytes((0xC0, patch.program)))]
    if patch.bank and not patch.kit:
        controls.insert(0, Control(0.0, bytes((0xB0, 0, patch.bank))))
    for index, one in enumerate(phrases):
        start = index * SECONDS
        notes += [Note(start + n.start, n.length, n.pitch, n.velocity) for n in one]
        if not patch.kit and patch.program in BENDABLE:
            bend = 8192 + int(random.normal(0, BEND_DEVIATION))
            controls.append(Control(start, bytes((0xB0, 1, int(random.choice(VIBRATO_DEPTHS))))))
            controls.append(Control(start, bytes((0xE0, bend & 127, bend >> 7))))
    return Part(None if patch.kit else patch.program, tuple(notes), tuple(controls))


def render(patch: Patch, soundfont: Path, count: int) -> Audio:
    """Play the phrases of a patch, (phrases, samples)."""
    seed = (patch.program, patch.bank, *soundfont.stem.encode())
    phrases = scores("kit" if patch.kit else patch.kind, None if patch.kit else Range(), count, seed)
    part = one_part(patch, phrases, np.random.default_rng(seed))
    reverb = patch.program % 4 == 3
    stereo = fluidsynth.render(midi.encode_midi([part]), soundfont, count * SECONDS, reverb=reverb)
    return stereo.mean(axis=1).astype(np.float32).reshape(count, round(SECONDS * RATE))


def main() -> None:
    """Render everything that is not there yet, the programs of all soundfonts in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("soundfonts", type=Path, nargs="+")
    parser.add_argument("--phrases", type=int, default=8)
    args = parser.parse_args()
    for soundfont in args.soundfonts:
        for patch in patches(soundfont):
            target = place(args.bank, soundfont.stem, patch.kind, patch.detail)
            if not target.exists():
                store(render(patch, soundfont.resolve(), args.phrases), target)


if __name__ == "__main__":
    main()
