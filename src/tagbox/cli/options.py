"""Options that several commands share: their help, what the shell offers for them, what they come to."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from tagbox.cli import completion
from tagbox.presets import PRESETS, Settings, find, override

Input = Annotated[
    list[Path], typer.Argument(help="Recordings: wav, flac, ogg, mp3 or aiff.", show_default=False)
]
Tags = Annotated[
    list[str],
    typer.Option(
        "--tags",
        "-t",
        help="What to look for; 'violin+cello' is one source of two. See: tagbox tags",
        autocompletion=completion.tags,
    ),
]


def _told(steer: str | None = None) -> str:
    """Every preset and what it is for, in the help of --preset."""
    chosen = [each for each in PRESETS.values() if steer in (None, each.settings.steer)]
    return "; ".join(f"{each.name}: {each.help.split('; needs')[0]}" for each in chosen)


Preset = Annotated[
    str, typer.Option(help=f"{_told()}. See: tagbox presets", autocompletion=completion.presets)
]
TransferPreset = Annotated[
    str, typer.Option(help=f"{_told('latents')}.", autocompletion=completion.transfer_presets)
]
Steps = Annotated[int | None, typer.Option(help="Steps of the loop, at the most.")]
Rate = Annotated[
    float | None, typer.Option("--lr", help="Adam's rate; latents want 0.05 to 20, gates 0.1 to 1.")
]
Patience = Annotated[
    int | None, typer.Option(help="Stop after so many steps without progress; 0 never does.")
]
Fft = Annotated[list[int] | None, typer.Option("--fft", help="FFT size in samples; repeat for several.")]
Taggers = Annotated[
    list[str] | None,
    typer.Option(
        "--tagger",
        help="Who listens, as fcn or mtat/fcn; repeat for several. See: tagbox models",
        autocompletion=completion.taggers,
    ),
]
Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        help="What taggers named without data learnt: mtat, jamendo, msd, rendered.",
        autocompletion=completion.data,
    ),
]
GeneratorName = Annotated[
    str | None,
    typer.Option("--generator", help="embedded, jukebox or a file.", autocompletion=completion.generators),
]
Level = Annotated[int | None, typer.Option(help="Of the generator: 0 is the finest.")]
Quantiser = Annotated[str | None, typer.Option(help="straight-through, none or published.")]
Objective = Annotated[
    str | None,
    typer.Option(help="What falls; a wrong name lists them.", autocompletion=completion.objectives),
]
Padding = Annotated[str | None, typer.Option(help="Fill taggers' windows by repeat or zeros.")]
Seed = Annotated[int | None, typer.Option(help="Of everything random.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.", autocompletion=completion.devices)]
Precision = Annotated[str | None, typer.Option(help="Networks compute in float32, bfloat16 or auto.")]
Segment = Annotated[
    float | None, typer.Option(help="Longer recordings are cut into segments of so many seconds; 0 never.")
]
Overlap = Annotated[float | None, typer.Option(help="Of neighbouring segments, seconds.")]
Start = Annotated[float, typer.Option(help="Begin at this second of the recording.")]
Duration = Annotated[float | None, typer.Option(help="Take so many seconds; all when left out.")]
Bits = Annotated[str | None, typer.Option(help="16, 24 or float; wav is float and flac 24 unless given.")]
Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
Plot = Annotated[bool, typer.Option("--plot", help="Draw spectrograms and the tags' curves as a PNG.")]


ENDS = {"interrupted": 130, "non-finite": 2}
"""Exit codes of runs after which nothing further is begun, by why they stopped."""


def leave_if_stopped(stopped: str) -> None:
    """After Ctrl-C nothing further is begun; a loss that is no number is a setting to change."""
    if stopped in ENDS:
        raise typer.Exit(ENDS[stopped])


def check_models(settings: Settings) -> None:
    """Refuse models that are not at hand, by the names of files alone, before anything is loaded.

    Raises:
        TagBoxError: which, and how to get it.
    """
    from tagbox.methods import registry
    from tagbox.weights import catalogue, store

    wanted = [catalogue.by_identifier(name) for name in settings.taggers]
    if registry.find_method(settings.steer).needs_generator and settings.generator in ("embedded", "jukebox"):
        wanted.append(catalogue.by_identifier(settings.generator))
    for model in wanted:
        if store.state(model) not in ("inside", "cached"):
            store.locate(model.kind, model.name, model.data)


def described(preset: str, settings: Settings) -> str:
    """All settings in a line."""
    values = dataclasses.asdict(settings)
    told = (
        f"{name} {'+'.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in values.items()
    )
    return f"preset {preset}: {', '.join(told)}"


def overrides_of(
    preset: str,
    tagger: list[str] | None,
    data: list[str] | None,
    fft: list[int] | None,
    **settings: Any,
) -> dict[str, Any]:
    """The settings that were given, checked before models are loaded.

    Raises:
        TagBoxError: there is no such preset, or a value makes no sense.
    """
    base = find(preset).settings
    taggers = None
    if tagger or data:
        names = tagger or [name.partition("/")[2] for name in base.taggers]
        taggers = tuple(dict.fromkeys(full for name in names for full in _in_full(name, data, base)))
    overrides = {**settings, "taggers": taggers, "fft": tuple(fft) if fft else None}
    override(base, **overrides)
    return overrides


def _in_full(name: str, data: list[str] | None, base: Settings) -> list[str]:
    """Taggers as data/architecture: of `data`, else of the data of the preset's taggers, else of mtat."""
    from tagbox.weights.catalogue import MODELS

    if "/" in name:
        return [name]
    if data:
        return [f"{learnt}/{name}" for learnt in data]
    known = {model.identifier for model in MODELS}
    of_base = dict.fromkeys(f"{tagger.partition('/')[0]}/{name}" for tagger in base.taggers)
    return [full for full in of_base if full in known] or [f"mtat/{name}"]
