"""Options that several commands share, and the settings that they add up to."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from tagbox.cli import completion
from tagbox.errors import TagBoxError
from tagbox.presets import PRESETS, find, override
from tagbox.settings import CHOICES, PUBLISHED_FIELDS, Settings
from tagbox.taggers.names import TaggerName

SETTINGS_PANEL = "Settings (each replaces the preset's)"
PUBLISHED_PANEL = "To reproduce the published code"

EXIT_CODES = {"interrupted": 130, "non-finite": 2}
"""Exit codes of runs after which nothing further is begun, by why they stopped."""


def _setting(
    field: str,
    help: str,
    option: str | None = None,
    autocompletion: Callable[[str], list[str]] | None = None,
    callback: Callable[[Any], Any] | None = None,
) -> Any:
    """Make the option of a field of `Settings`, in its panel of the help."""
    return typer.Option(
        option or f"--{field}",
        help=help,
        autocompletion=autocompletion,
        callback=callback,
        rich_help_panel=PUBLISHED_PANEL if field in PUBLISHED_FIELDS else SETTINGS_PANEL,
    )


def _preset_help(steer: str | None = None) -> str:
    """Say what every preset is for, or every one that steers `steer`."""
    presets = [each for each in PRESETS.values() if steer in (None, each.settings.steer)]
    return "; ".join(f"{each.name}: {each.help.split(';')[0]}" for each in presets)


def _check_output(value: str | None) -> str | None:
    """Refuse a folder that is given as --output, which is easily mistaken for --out."""
    if value not in (None, *CHOICES["output"]):
        raise TagBoxError(
            f"--output says which side of the mask is the source ({' or '.join(CHOICES['output'])}); "
            "the folder for results is --out, or -o"
        )
    return value


Input = Annotated[
    list[Path],
    typer.Argument(
        metavar="RECORDING",
        help="Recordings: wav, flac, ogg, mp3, aiff and others; - reads standard input.",
        show_default=False,
        # A file that cannot be read is told when its turn comes, and stops no other.
        readable=False,
    ),
]
Tags = Annotated[
    list[str],
    typer.Option(
        "--tags",
        "-t",
        help="What to extract; repeat for several sources. 'violin+cello' is one source that holds both. "
        "See: tagbox tags",
        autocompletion=completion.tags,
    ),
]
Preset = Annotated[
    str, typer.Option(help=f"{_preset_help()}. See: tagbox presets", autocompletion=completion.presets)
]
TransferPreset = Annotated[
    str, typer.Option(help=f"{_preset_help('latents')}.", autocompletion=completion.transfer_presets)
]
Device = Annotated[
    str, typer.Option(help="Where to compute: auto, cpu, cuda or mps.", autocompletion=completion.devices)
]
Start = Annotated[float, typer.Option(help="Start at this second of the recording.")]
Duration = Annotated[
    float | None, typer.Option(help="Length of the excerpt in seconds; to the end if left out.")
]
Bits = Annotated[
    str | None, typer.Option(help="Bit depth: 16, 24 or float. If left out, float for wav and 24 for flac.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Number of processes for several recordings; as many as pay on this machine if left out.",
        show_default=False,
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine",
        help="What works on several recordings: processes (of this machine), or ray (a cluster's machines).",
        autocompletion=completion.engines,
    ),
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="Of the Ray cluster's head; auto for one that runs on this machine, local for a new one.",
        show_default=False,
    ),
]
PartOption = Annotated[
    str | None,
    typer.Option(
        "--part",
        metavar="NUMBER/COUNT",
        help="Do only this part of the recordings, such as 3/20, the third of twenty: for job arrays.",
        show_default=False,
    ),
]
Plot = Annotated[
    bool, typer.Option("--plot", help="Also save a plot (PNG) of the spectrograms and the tags' curves.")
]

Without = Annotated[
    list[str] | None,
    _setting(
        "without",
        "What no source may hold, such as piano or reverb; repeat for several.",
        autocompletion=completion.tags,
    ),
]
Unheard = Annotated[
    str | None,
    _setting(
        "unheard",
        "What a source is where the networks do not hear it: kept (the most similar sound), or silent.",
    ),
]
Steer = Annotated[
    str | None,
    _setting(
        "steer",
        "Method: shares (of the share network), gates (of NMF components), shares+gates (both), or latents "
        "(of a generator).",
    ),
]
Components = Annotated[
    int | None, _setting("components", "Number of NMF components in the first factorisation.")
]
Factorisations = Annotated[
    int | None, _setting("factorisations", "Number of factorisations whose estimates are averaged.")
]
Begin = Annotated[
    str | None,
    _setting("begin", "Initial gates: even, or heard (inferred from the tagger's prediction per component)."),
]
GeneratorName = Annotated[
    str | None,
    _setting(
        "generator",
        "Generator to steer: embedded, jukebox or a .safetensors file.",
        autocompletion=completion.generators,
    ),
]
Level = Annotated[int | None, _setting("level", "Level of the generator; 0 is the finest.")]
Taggers = Annotated[
    list[str] | None,
    _setting(
        "taggers",
        "Tagger that guides the result, such as fcn or mtat/fcn; repeat for several. See: tagbox models",
        "--tagger",
        completion.taggers,
    ),
]
Data = Annotated[
    list[str] | None,
    _setting(
        "taggers",
        "Data that taggers named without it were trained on: mtat, jamendo, msd or rendered.",
        "--data",
        completion.data,
    ),
]
Objective = Annotated[
    str | None,
    _setting(
        "objective",
        f"Loss to minimise: {', '.join(completion.OBJECTIVES)}.",
        autocompletion=completion.objectives,
    ),
]
Fft = Annotated[list[int] | None, _setting("fft", "FFT size in samples; repeat for several.")]
Steps = Annotated[int | None, _setting("steps", "Maximum number of steps of the steering loop.")]
LearningRate = Annotated[
    float | None, _setting("lr", "Adam's learning rate: 0.1 to 1 suits gates, 0.05 to 20 latents.")
]
Patience = Annotated[
    int | None, _setting("patience", "Stop after this many steps without improvement; 0 never stops early.")
]
Seed = Annotated[int | None, _setting("seed", "Seed of everything random.")]
Precision = Annotated[
    str | None, _setting("precision", "Precision of the networks: float32, bfloat16, or auto for the faster.")
]
Segment = Annotated[
    float | None,
    _setting("segment", "Cut longer recordings into segments of this many seconds; 0 never cuts."),
]
Overlap = Annotated[float | None, _setting("overlap", "Overlap of neighbouring segments, in seconds.")]
MaskOutput = Annotated[
    str | None,
    _setting("output", "Side of the mask that is the source: masked or residual.", callback=_check_output),
]
Padding = Annotated[
    str | None, _setting("padding", "What fills up the last window of a tagger: repeat (the audio) or zeros.")
]
Combine = Annotated[str | None, _setting("combine", "FFT sizes in the result: their mean, or only the last.")]
Quantiser = Annotated[
    str | None, _setting("quantiser", "How latents are quantised: straight-through, none or published.")
]


def overrides_from(parameters: Mapping[str, Any], preset: str) -> dict[str, Any]:
    """Return the fields of `Settings` that a command line gives, checked before models are loaded.

    Args:
        parameters: of the command by name. Those named as a field are its value; "tagger" and "data" name
            the taggers.
        preset: whose settings they override.

    Raises:
        TagBoxError: there is no such preset, or a value makes no sense.
    """
    overrides = given_overrides(parameters, preset)
    override(find(preset).settings, **overrides)
    return overrides


def given_overrides(parameters: Mapping[str, Any], preset: str) -> dict[str, Any]:
    """Return the fields of `Settings` that a command line gives, unchecked: checking them loads PyTorch.

    The arguments are those of `overrides_from`.
    """
    base = find(preset).settings
    fields = {field.name for field in dataclasses.fields(Settings)}
    # What may be repeated is an empty sequence where it is not given.
    given = {name: value for name, value in parameters.items() if value not in (None, (), [])}
    overrides = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in given.items()
        if name in fields
    }
    if given.keys() & {"tagger", "data"}:
        overrides["taggers"] = _full_tagger_names(given.get("tagger"), given.get("data"), base)
    return overrides


def _full_tagger_names(
    names: Sequence[str] | None, data: Sequence[str] | None, base: Settings
) -> tuple[str, ...]:
    """Complete architectures to data/architecture, each once.

    Their data are `data`, else those of the preset's taggers as far as such taggers exist, else mtat. Without
    names, the architectures are the preset's.
    """
    from tagbox.weights import catalogue, hub

    known = {model.identifier for model in catalogue.taggers()}
    of_preset = [TaggerName.parse(name) for name in base.taggers]
    full: list[str] = []
    for name in names or [tagger.architecture for tagger in of_preset]:
        if "/" in name or hub.is_address(name):
            full.append(name)
        elif data:
            full += [f"{each}/{name}" for each in data]
        else:
            completed = [f"{tagger.data}/{name}" for tagger in of_preset]
            full += [each for each in completed if each in known] or [f"mtat/{name}"]
    return tuple(dict.fromkeys(full))


def check_models(settings: Settings) -> None:
    """Check that the models are on this machine, by the names of their files, before anything is loaded.

    Raises:
        TagBoxError: one is not; says which, and how to get it.
    """
    from tagbox.methods.registry import find_method
    from tagbox.plugins import discovery
    from tagbox.weights import catalogue, hub, store

    models = [store.describe("tagger", *_name_and_data(name)) for name in settings.taggers]
    if find_method(settings.steer).needs_generator:
        names = {model.name for model in catalogue.generators()}
        if settings.generator in names or hub.is_address(settings.generator):
            models.append(store.describe("generator", settings.generator))
    for model in models:
        if not store.is_here(model) or store.is_on_hub(model):
            store.locate_model(model)
        discovery.check_requirements(model)


def _name_and_data(identifier: str) -> tuple[str, str]:
    name = TaggerName.parse(identifier)
    return name.architecture, name.data


def describe_settings(preset: str, settings: Settings) -> str:
    """List all settings in a line."""
    values = (
        f"{name} {'+'.join(map(str, value)) if isinstance(value, tuple) else value}"
        for name, value in dataclasses.asdict(settings).items()
        if value != ()
    )
    return f"preset {preset}: {', '.join(values)}"


def exit_if_stopped(stopped: str) -> None:
    """Exit after Ctrl-C, and after a loss that is not a finite number: a setting has to change.

    Raises:
        typer.Exit: with the code of `EXIT_CODES`.
    """
    if stopped in EXIT_CODES:
        raise typer.Exit(EXIT_CODES[stopped])
