"""``tagbox separate``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tagbox import presets
from tagbox.atomic_files import refuse_to_overwrite
from tagbox.cli import cost_estimate
from tagbox.cli.error_messages import check_files, check_folder, check_words
from tagbox.cli.options import (
    ENDS,
    Bits,
    Data,
    Device,
    Duration,
    Fft,
    Force,
    GeneratorName,
    Input,
    Level,
    Objective,
    Overlap,
    Padding,
    Patience,
    Plot,
    Precision,
    Preset,
    Quantiser,
    Rate,
    Seed,
    Segment,
    Start,
    Steps,
    Taggers,
    Tags,
    check_models,
    described,
    leave_if_stopped,
)
from tagbox.cli.options import overrides_of as _overrides
from tagbox.cli.output import Json, Output, Quiet, Verbose
from tagbox.errors import TagBoxError

if TYPE_CHECKING:
    from tagbox.results import SavedSeparation

    pass

LONGEST_PLOT_SECONDS = 600


def separate(
    inputs: Input,
    tags: Tags,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)],
    preset: Preset = "default",
    steer: Annotated[str | None, typer.Option(help="What moves; a wrong name lists them.")] = None,
    components: Annotated[int | None, typer.Option(help="How many parts the gates choose among.")] = None,
    factorisations: Annotated[
        int | None, typer.Option(help="How often it is taken apart anew; the mean counts.")
    ] = None,
    begin: Annotated[str | None, typer.Option(help="Gates begin even, or as heard.")] = None,
    generator: GeneratorName = None,
    level: Level = None,
    quantiser: Quantiser = None,
    tagger: Taggers = None,
    data: Data = None,
    objective: Objective = None,
    output: Annotated[str | None, typer.Option(help="Which side of the mask is the source.")] = None,
    fft: Fft = None,
    combine: Annotated[str | None, typer.Option(help="FFT sizes in the result: mean or last.")] = None,
    steps: Steps = None,
    lr: Rate = None,
    patience: Patience = None,
    padding: Padding = None,
    seed: Seed = None,
    device: Device = "auto",
    precision: Precision = None,
    segment: Segment = None,
    overlap: Overlap = None,
    start: Start = 0.0,
    duration: Duration = None,
    format: Annotated[str, typer.Option(help="wav or flac.")] = "wav",
    bits: Bits = None,
    plot: Plot = False,
    force: Force = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Take what the tags name out of each recording.

    Writes OUT/<recording>/<tag>.wav for each tag, residual.wav (all of them add up to the recording) and
    run.json, which says how it was made. Ctrl-C stops early and keeps the best so far.

    Examples:

      tagbox separate duet.flac --tags violin -o out

      tagbox separate band.flac --tags drums --tags guitar -o out --plot

      tagbox separate song.mp3 --tags vocals -o out --preset paper --start 30 --duration 20
    """
    feel = Output(quiet, verbose, json)
    check_files(inputs)
    _distinct(inputs)
    check_folder(out)
    for path in inputs:
        refuse_to_overwrite(out / path.stem / "run.json", force)
    check_words(tags, presets.find(preset).settings)

    from tagbox.audio.files import FORMATS

    if format not in FORMATS:
        raise TagBoxError(f"no result is written as {format!r}; choose one of {', '.join(FORMATS)}")
    overrides = _overrides(
        preset,
        tagger,
        data,
        fft,
        steer=steer,
        components=components,
        factorisations=factorisations,
        begin=begin,
        generator=generator,
        level=level,
        quantiser=quantiser,
        objective=objective,
        output=output,
        combine=combine,
        steps=steps,
        lr=lr,
        patience=patience,
        padding=padding,
        seed=seed,
        precision=precision,
        segment=segment,
        overlap=overlap,
    )
    settings = presets.override(presets.find(preset).settings, **overrides)
    check_models(settings)
    feel.detail(described(preset, settings))
    if plot:
        for path in inputs:
            refuse_to_overwrite(out / path.stem / "plot.png", force)
            _short_enough_to_plot(path, start, duration)
    from tagbox.cli.progress import report

    done: list[dict[str, Any]] = []
    stopped = "steps"
    try:
        for path in inputs:
            folder = out / path.stem
            result = _separate_one(
                path,
                folder,
                tags,
                preset,
                device,
                start,
                duration,
                format,
                bits,
                force,
                feel,
                settings,
                overrides,
            )
            written = list(result.paths)
            if plot:
                from tagbox.plots import save_separation

                written.append(save_separation(result.read(), folder / "plot.png", force))
            report(feel, result.manifest, written)
            done.append({"written": [str(each) for each in written], **result.manifest})
            stopped = result.stopped
            if stopped in ENDS:
                break
    finally:
        # What was done before a later recording failed is done.
        if done:
            feel.document(lambda: done)
    leave_if_stopped(stopped)


def _separate_one(
    path: Path,
    folder: Path,
    tags: Sequence[str],
    preset: str,
    device: str,
    start: float,
    duration: float | None,
    format: str,
    bits: str | None,
    force: bool,
    feel: Output,
    settings: "presets.Settings",
    overrides: dict[str, Any],
) -> "SavedSeparation":
    """Separate one recording, and say what came of it."""
    from tagbox.api import separate_file
    from tagbox.audio.readers import FileReader
    from tagbox.cli.progress import StepReporter

    found = FileReader.of(path, start, duration)
    cost_estimate.announce(feel, settings, found.samples / found.rate, found.channels, len(tags), device)
    with StepReporter(path.name, feel, settings.steps) as reporter:
        result = separate_file(
            path,
            folder,
            tags,
            preset=preset,
            device=device,
            start=start,
            duration=duration,
            format=format,
            bits=bits,
            force=force,
            on_step=reporter.step,
            on_segment=reporter.segment,
            **overrides,
        )
    if result.note is not None:
        feel.note(result.note)
    return result


def _short_enough_to_plot(path: Path, start: float, duration: float | None) -> None:
    from tagbox.audio.readers import FileReader

    found = FileReader.of(path, start, duration)
    if found.samples > LONGEST_PLOT_SECONDS * found.rate:
        raise TagBoxError(
            f"a plot of more than {LONGEST_PLOT_SECONDS} s shows nothing; leave --plot out, or choose an "
            "excerpt with --start and --duration"
        )


def _distinct(inputs: list[Path]) -> None:
    stems = [path.stem for path in inputs]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise TagBoxError(
            f"several recordings are called {', '.join(twice)}, and their results would share a folder; "
            "separate them one at a time"
        )
