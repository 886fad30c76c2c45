"""The examples of the gallery, as data: a new example, or a new setup of one, takes a few lines here."""

import dataclasses
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tagbox import presets
from tagbox.presets import Settings

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 6.0
"""Length of every excerpt."""

# Jukebox's weights are for noncommercial use, and fcn, hcnn and others are downloads; these ship with TagBox.
SHIPPED_MODELS: dict[str, Any] = {
    "generator": "embedded",
    "taggers": ("mtat/pons-musicnn", "mtat/pons-vgg"),
}
NOT_STATED = ("not stated",) * 4
"""Learning rate, steps, taggers and data of examples for which the published page does not list them."""
OPTIONS = {"taggers": "tagger"}
"""The command line's names of fields of `Settings` that have another name there."""


@dataclass(frozen=True)
class Setup:
    """A method and its settings.

    Attributes:
        name: of its files, and on the page.
        preset: of TagBox.
        description: for readers of the page.
        changes: fields of `Settings` that differ from the preset's.
    """

    name: str
    preset: str
    description: str
    changes: dict[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """All settings of a run with this setup."""
        return presets.override(presets.find(self.preset).settings, **self.changes)


@dataclass(frozen=True)
class Example:
    """An example of the published demo page.

    Attributes:
        name: of its files and of its section on the page.
        title: on the page.
        original: its title on the published page.
        description: of the recording, and what to listen for.
        recording: a folder in examples/.
        tag: what is separated, or steered towards.
        setups: the runs to compare.
        table: the settings as the published page lists them.
        start: of the excerpt, seconds.
        stem: the stem of `recording` that is the reference; None if there is none.
        command: of tagbox, "separate" or "transfer".
        flutter: whether to measure flutter (see `scripts.gallery.measures.flutter`).
    """

    name: str
    title: str
    original: str
    description: str
    recording: str
    tag: str
    setups: tuple[Setup, ...]
    table: tuple[tuple[str, str], ...]
    start: float = 2.0
    stem: str | None = None
    command: str = "separate"
    flutter: bool = False

    def file(self, track: str) -> Path:
        """Return the file of the recording's mixture or of one of its stems."""
        return ROOT / "examples" / self.recording / f"{track}.flac"

    def output(self, setup: Setup) -> Path:
        """Return the folder, or for a transfer the file, that the command writes in the repository."""
        folder = Path("out", "gallery", self.name, setup.name)
        return folder / f"{self.tag}.wav" if self.command == "transfer" else folder

    def arguments(self, setup: Setup) -> list[str]:
        """Return the arguments of `tagbox` that run this example from the repository's root."""
        arguments = [self.command, f"examples/{self.recording}/mixture.flac", "--tags", self.tag]
        arguments += ["-o", self.output(setup).as_posix(), "--start", f"{self.start:g}"]
        arguments += ["--duration", f"{SECONDS:g}"]
        if setup.preset != ("transfer" if self.command == "transfer" else "default"):
            arguments += ["--preset", setup.preset]
        for name, value in setup.changes.items():
            option = "--" + OPTIONS.get(name, name).replace("_", "-")
            for each in value if isinstance(value, tuple) else (value,):
                arguments += [option, f"{each:g}" if isinstance(each, float) else str(each)]
        return arguments

    def command_line(self, setup: Setup) -> str:
        """Return the command as one types it."""
        return shlex.join(["tagbox", *self.arguments(setup)])


def find_runs(name: str) -> tuple[tuple[Example, Setup], ...]:
    """Return the runs of the example called `name`, or the one run called EXAMPLE/SETUP.

    Raises:
        KeyError: there is none.
    """
    runs = tuple((e, s) for e in EXAMPLES for s in e.setups if name in (e.name, f"{e.name}/{s.name}"))
    if not runs:
        raise KeyError(name)
    return runs


def _table(fft: str, lr: str, steps: str, models: str, data: str, tags: str) -> tuple[tuple[str, str], ...]:
    names = ("fft size(s)", "lr", "steps", "tagger model(s)", "tagger data", "selected tags", "generator")
    return tuple(zip(names, (fft, lr, steps, models, data, tags, "Jukebox"), strict=True))


PAPER = Setup(
    "paper",
    "paper",
    "Algorithm 1 of the paper, with the settings of the published page but with the generator and the "
    "taggers that ship with TagBox.",
    SHIPPED_MODELS,
)
DEFAULT = Setup(
    "default",
    "default",
    "The share network predicts whose each moment and band is, and the listener whose each component of two "
    "non-negative matrix factorisations is; the mask is the product. No generator and no optimisation.",
)
STEERED = Setup(
    "steered",
    "steered",
    "Gates on the components of one factorisation, optimised by gradient descent until a published tagger "
    "detects the tag in the source and no longer in the residual. No generator.",
)


def _paper(description: str = PAPER.description, name: str = PAPER.name, **changes: Any) -> Setup:
    """Return the setup of the paper with other settings."""
    return dataclasses.replace(
        PAPER, name=name, description=description, changes={**SHIPPED_MODELS, **changes}
    )


EXAMPLES = (
    Example(
        "vocals",
        "Vocals",
        "Wonderwall by Oasis - Vocal Separation",
        "A choir singing “ah”, accompanied by a guitar.",
        "song",
        "vocals",
        (_paper(steps=200), STEERED, DEFAULT),
        _table("512, 1024, 2048", "10.0", "200", "fcn, hcnn, musicnn", "MTAT", "All vocal tags"),
        stem="vocals",
    ),
    Example(
        "real-vocals",
        "Vocals of a real song",
        "Wonderwall by Oasis - Vocal Separation",
        "A produced song: Caesium by Software-Entwicklungskit (CC0). Its vocals, drums and synthesizers are "
        "equally loud.",
        "real",
        "vocals",
        (STEERED, DEFAULT),
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
        "Another excerpt of the song. As on the published page, the learning rate is half as high and one "
        "tagger fewer is used.",
        "song",
        "vocals",
        (_paper(lr=5.0, steps=200, taggers=("mtat/pons-vgg",)), STEERED, DEFAULT),
        _table("512, 1024, 2048", "5.0", "200", "fcn, hcnn", "MTAT", "All vocal tags"),
        start=8.0,
        stem="vocals",
    ),
    Example(
        "fft-sizes",
        "One FFT size compared with several",
        "Adding multiple FFT sizes helps with perceptual quality",
        "The flute of a small band with guitar, bass and drums. On the published page, masks of one FFT size "
        "warble and masks of two FFT sizes warble less, although the SDR does not show it. Listen for the "
        "difference between the first two results. TagBox's default does not use such masks; it is here for "
        "comparison.",
        "band",
        "flute",
        (
            _paper("Algorithm 1 with masks of one FFT size.", "paper-one", fft=(1024,)),
            _paper("Algorithm 1 with masks of two FFT sizes.", "paper-two", fft=(1024, 2048)),
            DEFAULT,
        ),
        _table("1024, then 1024, 2048", *NOT_STATED, "not stated"),
        stem="flute",
        flutter=True,
    ),
    Example(
        "transfer",
        "“Style transfer” to guitar",
        '"Style Transfer"',
        "Without the mask, the generator may produce anything that the taggers classify as a guitar. The "
        "published page warns of many artifacts, as if the result had been recorded in a snowstorm. There is "
        "no reference stem for this, so the table shows how much of the recording is left in the result.",
        "duet",
        "guitar",
        (
            _paper(
                "The paper's settings without the mask. Algorithm 1 steers away from the tags, which would "
                "be no transfer, so the objective is that of the published code, which steers towards them.",
                objective="cross-entropy",
            ),
            Setup("transfer", "transfer", "TagBox's own preset for this, with a much lower learning rate."),
        ),
        _table("no mask", *NOT_STATED, "Guitar"),
        command="transfer",
    ),
)
