#!/usr/bin/env python3
"""Make docs/gallery.md: the original page's examples, by their own settings, on audio that is free.

    gallery.py [--out docs] [--only NAME]

Each example is run as the command under it says, by Algorithm 1 ("paper") and by our default, and measured
against the stems. What the original page did with Jukebox and downloaded taggers is done here with what ships
inside, so that anyone can make this page again: minutes on a laptop.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import soundfile
from torch import Tensor

import tagbox
from tagbox import audio
from tagbox.evaluation.metrics import si_sdr
from tagbox.plots import save_separation

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
EMBEDDED = {"generator": "embedded", "taggers": ("mtat/pons-musicnn", "mtat/pons-vgg")}
INSIDE = "--generator embedded --tagger pons-musicnn --tagger pons-vgg"
START, SECONDS = 2.0, 6.0


@dataclass(frozen=True)
class Example:
    """One example of the original page.

    Attributes:
        recording: folder in examples/.
        stem: what is to come out.
        original: the original's settings, for people.
        settings: what of them is not Algorithm 1's default, for the paper preset.
    """

    name: str
    title: str
    recording: str
    stem: str
    tag: str
    original: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def options(self) -> str:
        """The settings as the command line has them."""
        words = []
        for name, value in self.settings.items():
            for one in value if isinstance(value, tuple) else (value,):
                words.append(f"--{name} {one}")
        return " ".join(words)


SEPARATIONS = (
    Example(
        "vocals",
        "Vocals (the page: Wonderwall)",
        "song",
        "vocals",
        "vocals",
        "512, 1024, 2048 / 10 / 200 / fcn, hcnn, musicnn / MTAT / all vocal tags",
        {"steps": 200},
    ),
    Example(
        "violin",
        "Violin from a piano duet (the page: Howl's Moving Castle)",
        "duet",
        "violin",
        "violin",
        "512, 1024, 2048 / 10 / 100 / fcn, hcnn, musicnn / MTG-Jamendo / violin",
    ),
    Example(
        "vocals-slower",
        "Vocals at half the rate (the page: Smoke On The Water)",
        "song",
        "vocals",
        "vocals",
        "512, 1024, 2048 / 5 / 200 / fcn, hcnn / MTAT / all vocal tags",
        {"steps": 200, "lr": 5.0},
    ),
    Example(
        "one-fft",
        "One FFT size",
        "band",
        "flute",
        "flute",
        "1024 / 10 / 100",
        {"fft": (1024,)},
    ),
    Example(
        "two-ffts",
        "Two FFT sizes",
        "band",
        "flute",
        "flute",
        "1024, 2048 / 10 / 100",
        {"fft": (1024, 2048)},
    ),
)


def excerpt(recording: str, stem: str) -> audio.Audio:
    """The excerpt of a stem or mixture that the gallery uses."""
    return audio.read(EXAMPLES / recording / f"{stem}.flac", START, SECONDS)


def listenable(track: Tensor, rate: int, path: Path) -> str:
    """Write a track as Ogg Vorbis and return the link to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    peak = max(1.0, float(track.abs().max()))
    soundfile.write(path, (track / peak).T.numpy(), rate, format="OGG", subtype="VORBIS")
    return f"[listen](gallery/{path.name})"


def separation(example: Example, out: Path) -> list[str]:
    """The page's section on one separation."""
    mixture, truth = excerpt(example.recording, "mixture"), excerpt(example.recording, example.stem)
    before = si_sdr(mixture.samples, truth.samples)
    runs = {"paper": {**EMBEDDED, **example.settings}, "default": {}}
    rows = []
    for preset, settings in runs.items():
        result = tagbox.separate(mixture.samples, mixture.rate, [example.tag], preset=preset, **settings)
        name = f"{example.name}-{preset}"
        links = [
            listenable(track, result.rate, out / "gallery" / f"{name}-{kind}.ogg")
            for kind, track in ((example.tag, result.sources[example.tag]), ("residual", result.residual))
        ]
        save_separation(result, out / "gallery" / f"{name}.png", force=True)
        gains = [si_sdr(x, truth.samples) - before for x in (result.sources[example.tag], result.residual)]
        heard = result.manifest["probabilities"]
        tagger = "mtat/pons-musicnn"
        wanted = result.manifest["tags"][example.tag][tagger]
        tags = [max(heard[x][tagger][tag] for tag in wanted) for x in ("mixture", example.tag)]
        loss = result.history.losses
        rows.append(
            f"| `{preset}` | {links[0]} | {links[1]} | {gains[0]:+.1f} | {gains[1]:+.1f} | "
            f"{tags[0]:.2f} to {tags[1]:.2f} | {loss[0]:.3f} to {loss[-1]:.3f} | "
            f"[picture](gallery/{name}.png) |"
        )
    heard_whole = listenable(
        mixture.samples, mixture.rate, out / "gallery" / f"{example.recording}-mixture.ogg"
    )
    command = f"tagbox separate examples/{example.recording}/mixture.flac --tags {example.tag} -o out"
    span = f"--start {START:g} --duration {SECONDS:g}"
    return [
        f"## {example.title}",
        "",
        f"The page's settings (FFT sizes / rate / steps / taggers / data / tags): {example.original}.",
        "",
        f"Recording: `examples/{example.recording}`, {SECONDS:g} s from {START:g} s on ({heard_whole}).",
        "",
        "| preset | source | residual | gain of the source, dB | of the residual, dB | tag heard | loss | |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "```",
        " ".join(f"{command} {span} --preset paper {INSIDE} {example.options}".split()),
        f"{command} {span}",
        "```",
        "",
    ]


def style(out: Path) -> list[str]:
    """The page's section on style transfer."""
    mixture = excerpt("duet", "mixture")
    result = tagbox.transfer(mixture.samples, mixture.rate, ["guitar"])
    link = listenable(result.audio, result.rate, out / "gallery" / "transfer-guitar.ogg")
    heard = result.manifest["probabilities"]
    before, after = (heard[x]["mtat/pons-musicnn"]["guitar"] for x in ("mixture", "result"))
    return [
        '## "Style transfer" to guitar',
        "",
        f"The violin and piano duet, played by the embedded generator towards `guitar`: {link}. "
        f"The tag goes from {before:.2f} to {after:.2f}. Expect artefacts: the original's authors compare theirs "
        "to a recording made in a snowstorm.",
        "",
        "```",
        f"tagbox transfer examples/duet/mixture.flac --tags guitar -o guitar.wav --start {START:g} "
        f"--duration {SECONDS:g}",
        "```",
        "",
    ]


def main() -> None:
    """Make the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    page = [
        "# Gallery",
        "",
        "The examples of the original page by their own settings, on recordings that anyone may have",
        "(`examples/`). Jukebox and the taggers fcn and hcnn are not inside TagBox, so the embedded generator and",
        "Pons's two taggers take their places; what the paper's preset does with Jukebox can differ. Stems are",
        "known, so each result is measured: the gain is the SI-SDR of the file named less that of the untouched",
        "recording.",
        "",
        "Made by `python scripts/gallery.py`.",
        "",
    ]
    sections: list[Callable[[], list[str]]] = [
        *((lambda example=example: separation(example, args.out)) for example in SEPARATIONS),
        lambda: style(args.out),
    ]
    for section in sections:
        lines = section()
        print("\n".join(lines), flush=True)
        page += lines
    (args.out / "gallery.md").write_text("\n".join(page), encoding="utf-8")


if __name__ == "__main__":
    main()
