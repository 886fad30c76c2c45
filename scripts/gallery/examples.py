"""What the gallery shows: data alone. A new example or another setup of one is a few lines here."""

import dataclasses
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tagbox import presets
from tagbox.presets import Settings

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 6.0
# Jukebox's weights are noncommercial and fcn, hcnn and the rest are a download; these ship with TagBox.
INSIDE: dict[str, Any] = {"generator": "embedded", "taggers": ("mtat/pons-musicnn", "mtat/pons-vgg")}
# How the command line calls a field of `Settings` where it is not by its name.
OPTIONS = {"taggers": "tagger"}


@dataclass(frozen=True)
class Setup:
    """One way to make an example.

    Attributes:
        name: of its files, and on the page.
        preset: of TagBox.
        words: what is to be known of it.
        changes: fields of `Settings` that are not the preset's.
    """

    name: str
    preset: str
    words: str
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """All settings that the run has."""
        return presets.override(presets.find(self.preset).settings, **self.changes)


@dataclass(frozen=True)
class Example:
    """One example of the original page.

    Attributes:
        original: its title there.
        words: what there is to hear, before any result.
        recording: folder in examples/.
        start: of the excerpt, s.
        table: the settings as the original page has them.
        stem: the stem of `recording` that is to come out; None where nothing true is known.
        command: of tagbox.
        flutter: whether unsteadiness is measured.
    """

    name: str
    title: str
    original: str
    words: str
    recording: str
    tag: str
    setups: tuple[Setup, ...]
    table: tuple[tuple[str, str], ...]
    start: float = 2.0
    stem: str | None = None
    command: str = "separate"
    flutter: bool = False

    def file(self, track: str) -> Path:
        """The recording's mixture or one of its stems."""
        return ROOT / "examples" / self.recording / f"{track}.flac"

    def target(self, setup: Setup) -> Path:
        """Where the command writes, below the repository: a folder, or for a transfer a file."""
        place = Path("out", "gallery", self.name, setup.name)
        return place / f"{self.tag}.wav" if self.command == "transfer" else place

    def arguments(self, setup: Setup) -> list[str]:
        """What follows `tagbox` on the command line, run in the repository."""
        words = [self.command, f"examples/{self.recording}/mixture.flac", "--tags", self.tag]
        words += ["-o", self.target(setup).as_posix(), "--start", f"{self.start:g}"]
        words += ["--duration", f"{SECONDS:g}"]
        usual = "transfer" if self.command == "transfer" else "default"
        if setup.preset != usual:
            words += ["--preset", setup.preset]
        for name, value in setup.changes.items():
            option = "--" + OPTIONS.get(name, name).replace("_", "-")
            for one in value if isinstance(value, tuple) else (value,):
                words += [option, f"{one:g}" if isinstance(one, float) else str(one)]
        return words

    def shell(self, setup: Setup) -> str:
        """The command as people type it."""
        return shlex.join(["tagbox", *self.arguments(setup)])


def _table(fft: str, lr: str, steps: str, models: str, data: str, tags: str) -> tuple[tuple[str, str], ...]:
    names = ("fft size(s)", "lr", "steps", "tagger model(s)", "tagger data", "selected tags", "generator")
    return tuple(zip(names, (fft, lr, steps, models, data, tags, "Jukebox"), strict=True))


PAPER = Setup(
    "paper",
    "paper",
    "Algorithm 1 of the paper with the settings of the original page, and with the generator and the taggers "
    "that ship with TagBox.",
    INSIDE,
)
DEFAULT = Setup(
    "default",
    "default",
    "The recording is taken apart by non-negative matrix factorisation, and each part goes where the "
    "listener hears it. No generator and no loop.",
)
STEERED = Setup(
    "steered",
    "steered",
    "Gates on the parts of one factorisation are steered by gradient, until a published tagger hears the "
    "word in the source and no longer in the rest. No generator.",
)


def _paper(words: str = PAPER.words, name: str = PAPER.name, **changes: Any) -> Setup:
    return dataclasses.replace(PAPER, name=name, words=words, changes={**INSIDE, **changes})


EXAMPLES = (
    Example(
        "vocals",
        "Vocals",
        "Wonderwall by Oasis - Vocal Separation",
        "A choir that sings “ah” over a guitar.",
        "song",
        "vocals",
        (_paper(steps=200), STEERED, DEFAULT),
        _table("512, 1024, 2048", "10.0", "200", "fcn, hcnn, musicnn", "MTAT", "All vocal tags"),
        stem="vocals",
    ),
    Example(
        "violin",
        "Violin from a piano duet",
        "Howl's Moving Castle, Piano & Violin Duet - Violin Separation",
        "Violin and piano, equally loud.",
        "duet",
        "violin",
        (PAPER, STEERED, DEFAULT),
        _table("512, 1024, 2048", "10.0", "100", "fcn, hcnn, musicnn", "MTG-Jamendo", "Violin"),
        stem="violin",
    ),
    Example(
        "vocals-slower",
        "Vocals with other settings",
        "Smoke On The Water, by Deep Purple - Vocal Separation",
        "Another passage of the song. The original halves the rate and leaves one tagger out; so does this.",
        "song",
        "vocals",
        (_paper(lr=5.0, steps=200, taggers=("mtat/pons-vgg",)), STEERED, DEFAULT),
        _table("512, 1024, 2048", "5.0", "200", "fcn, hcnn", "MTAT", "All vocal tags"),
        start=8.0,
        stem="vocals",
    ),
    Example(
        "fft-sizes",
        "One FFT size against several",
        "Adding multiple FFT sizes helps with perceptual quality",
        "The flute of a small band with guitar, bass and drums. The original page has masks of one FFT size "
        "warble, and masks of two warble less, though the SDR does not show it. Listen for it in the first "
        "two. Our default has no such masks; it is here for comparison.",
        "band",
        "flute",
        (
            _paper("Algorithm 1 with masks of one FFT size.", "paper-one", fft=(1024,)),
            _paper("Algorithm 1 with masks of two FFT sizes.", "paper-two", fft=(1024, 2048)),
            DEFAULT,
        ),
        _table("1024, then 1024, 2048", "not told", "not told", "not told", "not told", "not told"),
        stem="flute",
        flutter=True,
    ),
    Example(
        "transfer",
        "“Style transfer” to guitar",
        '"Style Transfer"',
        "Without the mask the generator may play anything that the taggers call a guitar. The original page "
        "says that this adds lots of artifacts, as if it were recorded in a snowstorm. There is no true "
        "guitar to compare with, so what is measured is how much of the recording is left.",
        "duet",
        "guitar",
        (
            _paper(
                "The paper's settings without the mask. Algorithm 1 goes away from the tags, which would be "
                "no transfer, so the objective is the published code's: towards them.",
                objective="cross-entropy",
            ),
            Setup(
                "transfer",
                "transfer",
                "Our preset for this, with much smaller steps.",
            ),
        ),
        _table("no mask", "not told", "not told", "not told", "not told", "Guitar"),
        command="transfer",
    ),
)


def find(name: str) -> tuple[tuple[Example, Setup], ...]:
    """The runs that `name` means: an example's, or one of them as EXAMPLE/SETUP.

    Raises:
        KeyError: there is none.
    """
    found = tuple((e, s) for e in EXAMPLES for s in e.setups if name in (e.name, f"{e.name}/{s.name}"))
    if not found:
        raise KeyError(name)
    return found
