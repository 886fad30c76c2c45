"""``tagbox transfer``."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from tagbox import presets
from tagbox.atomic_files import refuse_to_overwrite
from tagbox.cli import completion
from tagbox.cli.checks import check_folder, check_recordings, check_tags
from tagbox.cli.options import (
    Bits,
    Data,
    Device,
    Duration,
    Force,
    GeneratorName,
    LearningRate,
    Level,
    Objective,
    Padding,
    Patience,
    Precision,
    Quantiser,
    Seed,
    Start,
    Steps,
    Taggers,
    TransferPreset,
    Without,
    check_models,
    describe_settings,
    exit_if_stopped,
    given_overrides,
    overrides_from,
)
from tagbox.cli.output import Json, Output, Quiet, Verbose
from tagbox.cli.recordings import as_named, spooled
from tagbox.errors import TagBoxError

FORMATS = (".wav", ".flac")


def transfer(
    context: typer.Context,
    input: Annotated[
        Path,
        typer.Argument(
            metavar="RECORDING",
            help="A recording: wav, flac, ogg, mp3, aiff and others; - reads standard input.",
        ),
    ],
    tags: Annotated[
        list[str],
        typer.Option(
            "--tags",
            "-t",
            help="What the result should sound like; several tags are one target. See: tagbox tags",
            autocompletion=completion.tags,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="File to write: .wav or .flac.", show_default=False)
    ],
    preset: TransferPreset = "transfer",
    start: Start = 0.0,
    duration: Duration = None,
    bits: Bits = None,
    force: Force = False,
    device: Device = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: Json = False,
    # The settings; `overrides_from` takes them from the context by name.
    without: Without = None,
    generator: GeneratorName = None,
    level: Level = None,
    tagger: Taggers = None,
    data: Data = None,
    objective: Objective = None,
    steps: Steps = None,
    lr: LearningRate = None,
    patience: Patience = None,
    seed: Seed = None,
    precision: Precision = None,
    padding: Padding = None,
    quantiser: Quantiser = None,
) -> None:
    """Re-synthesise a recording with the generator, steered towards the tags (style transfer).

    Nothing of the recording itself is kept, as no mask is applied. Expect
    artefacts: the authors of the method compare its results to a recording made
    in a snowstorm.

    Example:

      tagbox transfer duet.flac --tags guitar -o guitar.wav
    """
    output = Output(quiet, verbose, json)
    check_recordings([input])
    check_folder(out.parent)
    if out.suffix.lower() not in FORMATS:
        raise TagBoxError(f"{out} cannot be written; give it the ending {' or '.join(FORMATS)}")
    refuse_to_overwrite(out, force)
    refuse_to_overwrite(out.with_suffix(".run.json"), force)
    given = given_overrides(context.params, preset)
    check_tags(tags, dataclasses.replace(presets.find(preset).settings, **given))
    overrides = overrides_from(context.params, preset)
    settings = presets.override(presets.find(preset).settings, **overrides)
    check_models(settings)
    output.print_detail(describe_settings(preset, settings))

    from tagbox import api, audio
    from tagbox.audio.metadata import read_metadata
    from tagbox.cli.progress import RunReporter
    from tagbox.cli.run_report import report_run
    from tagbox.cli.separate_recording import print_notes
    from tagbox.pipeline.streaming import is_long
    from tagbox.tags.query import UNION, as_queries

    with spooled(input) as file:
        try:
            recording = audio.read(file, start, duration)
        except TagBoxError as error:
            raise type(error)(as_named(error, file, input)) from error
        sha256 = audio.fingerprint(file)
        metadata = read_metadata(file).of_stem(UNION.join(as_queries(tags)))
        name = file.name
    long = is_long(settings, recording.samples.shape[-1], recording.rate)
    source = {
        "file": name,
        "sha256": sha256,
        "start": start,
        "duration": duration,
        "notes": [] if recording.note is None else [recording.note],
    }
    with RunReporter(name, output, settings, is_long=long) as reporter:
        result = api.transfer(
            recording.samples,
            recording.rate,
            tags,
            preset=preset,
            device=device,
            on_step=reporter.step,
            source=source,
            **overrides,
        )
    written = [result.save(out, bits=bits, force=force, metadata=metadata)]
    print_notes(input, result.manifest, None, output)
    report_run(output, result.manifest, written)
    output.print_json(lambda: {"written": [str(path) for path in written], **result.manifest})
    exit_if_stopped(result.stopped)
