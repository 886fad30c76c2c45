"""Render the phrases with General MIDI soundfonts: every program and the drum kits.

    python -m scripts.training_sounds.soundfonts BANK FILE.sf2... [--phrases 8] [--kits-only]

What is there already is left, so a run can be stopped and begun again.

Needs: apt-get install fluidsynth fluid-soundfont-gm musescore-general-soundfont-small csound-soundfont
fluidr3mono-gm-soundfont avldrums.lv2-soundfont. The licences stand in sources.py.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from scripts.training_sounds.bank import RATE, SECONDS, Audio, place, store
from scripts.training_sounds.phrases import PROGRAMS, Range, scores
from tagbox.rendering import fluidsynth, midi
from tagbox.rendering.scores import Control, Note, Part

KITS = (0, 8, 16, 24, 25, 32, 40, 48)
"""Programs of the drum channel: standard, room, power, electronic, analogue, jazz, brush, orchestra."""
BENDABLE = range(21, 112)
VIBRATO_DEPTHS = (0, 0, 40, 90)
BEND_DEVIATION = 500
"""Of 8192 for two semitones: instruments are seldom in tune to the cent."""


@dataclass(frozen=True)
class Patch:
    """A program of a soundfont, or one of its drum kits."""

    program: int
    kit: bool = False

    @property
    def kind(self) -> str:
        """Name the class of the vocabulary."""
        return "drums" if self.kit else next(kind for kind, own in PROGRAMS.items() if self.program in own)

    @property
    def detail(self) -> str:
        """Name it within its class."""
        return f"kit-{self.program:03d}" if self.kit else f"{self.program:03d}"


def one_part(patch: Patch, phrases: list[tuple[Note, ...]], random: np.random.Generator) -> Part:
    """Put phrases one after the other, `SECONDS` apart, each with its own vibrato and tuning."""
    notes: list[Note] = []
    controls = [Control(0.0, bytes((0xC0, patch.program)))]
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
    seed = (patch.program, int(patch.kit), *soundfont.stem.encode())
    phrases = scores("kit" if patch.kit else patch.kind, None if patch.kit else Range(), count, seed)
    part = one_part(patch, phrases, np.random.default_rng(seed))
    stereo = fluidsynth.render(midi.write([part]), soundfont, count * SECONDS, reverb=patch.program % 4 == 3)
    return stereo.mean(axis=1).astype(np.float32).reshape(count, round(SECONDS * RATE))


def main() -> None:
    """Render everything that is not there yet, the programs of all soundfonts in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("soundfonts", type=Path, nargs="+")
    parser.add_argument("--phrases", type=int, default=8)
    parser.add_argument("--kits-only", action="store_true")
    args = parser.parse_args()
    kits = [Patch(program, kit=True) for program in KITS]
    # A stride that visits all classes early: a bank that is half done can be learnt from.
    programs = [] if args.kits_only else [Patch(37 * step % 128) for step in range(128)]
    for patch in [*kits[:1], *programs, *kits[1:]]:
        for soundfont in args.soundfonts:
            target = place(args.bank, soundfont.stem, patch.kind, patch.detail)
            if not target.exists():
                store(render(patch, soundfont.resolve(), args.phrases), target)


if __name__ == "__main__":
    main()
