"""``tagbox separate``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tagbox import presets
from tagbox.atomic_files import refuse_to_overwrite
from tagbox.cli.checks import check_folder, check_recordings, check_tags
from tagbox.cli.options import (
    EXIT_CODES,
    Begin,
    Bits,
    Combine,
    Components,
    Data,
    Device,
    Duration,
    Factorisations,
    Fft,
    Force,
    GeneratorName,
    Input,
    LearningRate,
    Level,
    MaskOutput,
    Objective,
    Overlap,
    Padding,
    Patience,
    Plot,
    Precision,
    Preset,
    Quantiser,
    Seed,
    Segment,
    Start,
    Steer,
    Steps,
    Taggers,
    Tags,
    check_models,
    describe_settings,
    exit_if_stopped,
    overrides_from,
)
from tagbox.cli.output import Json, Output, Quiet, Verbose
from tagbox.errors import TagBoxError

if TYPE_CHECKING:
    from tagbox.results import SavedSeparation
    from tagbox.settings import Settings

MAX_PLOT_SECONDS = 600


def separate(
    context: typer.Context,
    inputs: Input,
    tags: Tags,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)],
    preset: Preset = "default",
    start: Start = 0.0,
    duration: Duration = None,
    format: Annotated[str, typer.Option(help="File format: wav or flac.")] = "wav",
    bits: Bits = None,
    plot: Plot = False,
    force: Force = False,
    device: Device = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: Json = False,
    # The settings; `overrides_from` takes them from the context by name.
    steer: Steer = None,
    components: Components = None,
    factorisations: Factorisations = None,
    begin: Begin = None,
    generator: GeneratorName = None,
    level: Level = None,
    tagger: Taggers = None,
    data: Data = None,
    objective: Objective = None,
    fft: Fft = None,
    steps: Steps = None,
    lr: LearningRate = None,
    patience: Patience = None,
    seed: Seed = None,
    precision: Precision = None,
    segment: Segment = None,
    overlap: Overlap = None,
    output: MaskOutput = None,
    padding: Padding = None,
    combine: Combine = None,
    quantiser: Quantiser = None,
) -> None:
    """Extract what the tags name from each recording.

    Writes OUT/<recording>/<tag>.wav for each tag, residual.wav (what is left;
    all files add up to the recording) and run.json, which records how they were
    made. Ctrl-C stops early and keeps the best result so far.

    Examples:

      tagbox separate duet.flac --tags violin -o out

      tagbox separate band.flac --tags drums --tags guitar -o out --plot

      tagbox separate song.mp3 --tags vocals -o out --preset paper --start 30 --duration 20
    """
    printer = Output(quiet, verbose, json)
    check_recordings(inputs)
    _check_names(inputs)
    check_folder(out)
    for path in inputs:
        refuse_to_overwrite(out / path.stem / "run.json", force)
    check_tags(tags, presets.find(preset).settings)

    from tagbox.audio.files import FORMATS

    if format not in FORMATS:
        raise TagBoxError(f"results cannot be written as {format!r}; choose one of {', '.join(FORMATS)}")
    overrides = overrides_from(context.params, preset)
    settings = presets.override(presets.find(preset).settings, **overrides)
    check_models(settings)
    if plot:
        for path in inputs:
            refuse_to_overwrite(out / path.stem / "plot.png", force)
            _check_plot_length(path, start, duration)
    printer.print_detail(describe_settings(preset, settings))
    arguments = {
        "tags": tags,
        "preset": preset,
        "device": device,
        "start": start,
        "duration": duration,
        "format": format,
        "bits": bits,
        "force": force,
        **overrides,
    }
    _separate_all(inputs, out, arguments, settings, plot, printer)


def _separate_all(
    inputs: Sequence[Path],
    out: Path,
    arguments: dict[str, Any],
    settings: "Settings",
    plot: bool,
    output: Output,
) -> None:
    """Separate the recordings one after the other; `arguments` are those of `tagbox.separate_file`."""
    from tagbox.cli.run_report import report_run

    documents: list[dict[str, Any]] = []
    stopped = "steps"
    try:
        for path in inputs:
            result = _separate_one(path, out / path.stem, arguments, settings, output)
            written = list(result.paths)
            if plot:
                from tagbox.plots import save_separation

                written.append(
                    save_separation(result.read(), out / path.stem / "plot.png", arguments["force"])
                )
            report_run(output, result.manifest, written)
            documents.append({"written": [str(each) for each in written], **result.manifest})
            stopped = result.stopped
            if stopped in EXIT_CODES:
                break
    finally:
        # Recordings that were separated before a later one failed belong into the document.
        if documents:
            output.print_json(lambda: documents)
    exit_if_stopped(stopped)


def _separate_one(
    path: Path, folder: Path, arguments: dict[str, Any], settings: "Settings", output: Output
) -> "SavedSeparation":
    from tagbox.api import separate_file
    from tagbox.audio.readers import FileReader
    from tagbox.cli.progress import RunReporter
    from tagbox.pipeline.streaming import is_long

    header = FileReader.of(path, arguments["start"], arguments["duration"])
    long = is_long(settings, header.samples, header.rate)
    with RunReporter(path.name, output, settings, len(arguments["tags"]), long) as reporter:
        result = separate_file(path, folder, on_step=reporter.step, on_segment=reporter.segment, **arguments)
    if result.note is not None:
        output.print_note(result.note)
    return result


def _check_plot_length(path: Path, start: float, duration: float | None) -> None:
    from tagbox.audio.readers import FileReader

    header = FileReader.of(path, start, duration)
    if header.samples > MAX_PLOT_SECONDS * header.rate:
        raise TagBoxError(
            f"a plot of more than {MAX_PLOT_SECONDS} s would show nothing; leave --plot out, or choose an "
            "excerpt with --start and --duration"
        )


def _check_names(inputs: list[Path]) -> None:
    stems = [path.stem for path in inputs]
    shared = sorted({stem for stem in stems if stems.count(stem) > 1})
    if shared:
        raise TagBoxError(
            f"several recordings are called {', '.join(shared)}, and their results would share a folder; "
            "separate them one at a time"
        )
