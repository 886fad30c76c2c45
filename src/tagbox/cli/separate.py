"""``tagbox separate``."""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tagbox import presets
from tagbox.cli.batch import choose_engine, is_on_ray
from tagbox.cli.batch_records import records_path
from tagbox.cli.checks import check_folder, check_no_tag_among, check_recordings, check_tags
from tagbox.cli.console import is_terminal
from tagbox.cli.finished_runs import Request
from tagbox.cli.marks import AbsentOption, IsOption, NotOption, read_corrections
from tagbox.cli.options import (
    Address,
    Begin,
    Bits,
    Combine,
    Components,
    Data,
    Device,
    Duration,
    EngineOption,
    Factorisations,
    Fft,
    Force,
    GeneratorName,
    Input,
    Jobs,
    LearningRate,
    Level,
    MaskOutput,
    Objective,
    Overlap,
    Padding,
    PartOption,
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
    Unheard,
    Without,
    check_models,
    describe_settings,
    given_overrides,
    overrides_from,
)
from tagbox.cli.output import Json, Output, Quiet, Verbose
from tagbox.cli.recordings import find_recordings
from tagbox.errors import TagBoxError
from tagbox.methods.registry import find_method
from tagbox.parallel.parts import parse_part
from tagbox.parallel.storage import as_place
from tagbox.tags.query import split_instrumental


def separate(
    context: typer.Context,
    inputs: Input,
    tags: Tags,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)
    ] = None,
    to_stdout: Annotated[
        bool, typer.Option("--stdout", help="Write the one source as wav to standard output instead.")
    ] = False,
    preset: Preset = "default",
    start: Start = 0.0,
    duration: Duration = None,
    format: Annotated[str, typer.Option(help="File format: wav or flac.")] = "wav",
    bits: Bits = None,
    plot: Plot = False,
    is_: IsOption = None,
    not_: NotOption = None,
    absent: AbsentOption = None,
    force: Force = False,
    jobs: Jobs = None,
    engine: EngineOption = "processes",
    address: Address = None,
    part: PartOption = None,
    device: Device = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: Json = False,
    # The settings; `overrides_from` takes them from the context by name.
    without: Without = None,
    unheard: Unheard = None,
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

    RECORDING may be a folder (with all below it), a quoted wildcard, - for
    standard input, or an address such as s3://bucket/folder, and so may OUT.
    Results keep the folders' structure. A recording that fails
    does not stop the others, and one that is done already, by the same command,
    is left alone.

    --is, --not and --absent correct the result; tagbox refine goes on from a
    finished one.

    karaoke, instrumental, accompaniment and "backing track" mean the residual
    of vocals. Any text can be a tag where a model that understands text is on
    this machine: see docs/tags.md.

    Examples:

      tagbox separate duet.flac --tags violin -o out

      tagbox separate band.flac --tags drums --tags guitar -o out --plot

      tagbox separate song.flac --tags violin -o out --is violin:3.0-5.5 --not violin:8-9.2

      tagbox separate song.mp3 --tags "a muted trumpet" --without reverb -o out

      tagbox separate song.mp3 --tags vocals -o out --preset paper --start 30 --duration 20

      tagbox separate albums/ "more/*.mp3" --tags karaoke -o out --format flac --jobs 4

      ffmpeg -i film.mkv -f wav - | tagbox separate - --tags vocals --stdout > vocals.wav
    """
    printer = Output(quiet, verbose, json, to_stdout)
    _check_destination(out, to_stdout, printer, plot, format, tags, inputs)
    check_no_tag_among(inputs)
    place = None if out is None else as_place(out)
    recordings = find_recordings(inputs, place)
    if to_stdout and len(recordings) > 1:
        raise TagBoxError(f"--stdout writes one source of one recording, and {inputs[0]} is several; give -o")
    chosen_part = None if part is None else parse_part(part)
    on_ray = is_on_ray(engine, address)
    is_one = len(recordings) == 1 and chosen_part is None
    # Another machine prints nothing here.
    is_batch = on_ray or not is_one
    if chosen_part is not None:
        if out is None:
            raise TagBoxError("--part needs a folder for the results; give -o")
        recordings = chosen_part.of(recordings)
        printer.print_note(f"part {chosen_part}: {len(recordings)} recordings")
    if place is not None:
        check_folder(place)
    queries, instrumental = split_instrumental(tags)
    given = given_overrides(context.params, preset)
    listeners = check_tags(queries, dataclasses.replace(presets.find(preset).settings, **given))
    corrections = read_corrections(is_, not_, absent, queries)
    if corrections and not is_one:
        raise TagBoxError(
            "corrections are of one recording; give one, not several, with --is, --not or --absent"
        )
    if not is_batch:
        check_recordings([recordings[0].path])

    from tagbox.audio.files import FORMATS, check_bit_depth

    if format not in FORMATS:
        raise TagBoxError(f"results cannot be written as {format!r}; choose one of {', '.join(FORMATS)}")
    if bits is not None:
        check_bit_depth(format, bits)
    overrides = overrides_from(context.params, preset)
    settings = listeners.settings
    check_models(settings)
    if listeners.note is not None:
        printer.print_note(listeners.note)
    printer.print_detail(describe_settings(preset, settings))

    from tagbox.cli.separate_recording import SeparateRecordings, separate_all, separate_to_stdout

    arguments = {
        "tags": tags,
        "preset": preset,
        "device": device,
        "start": start,
        "duration": duration,
        "format": format,
        "bits": bits,
        "force": force,
        "corrections": corrections,
        **overrides,
    }
    if place is None:
        if on_ray:
            raise TagBoxError("--stdout is written by this machine; leave --engine out, or give -o")
        separate_to_stdout(recordings[0], instrumental or tags[0], arguments, printer)
        return
    request = Request(
        queries, preset, settings, start, duration, format, bits, plot, instrumental, corrections
    )
    single_threaded = not find_method(settings.steer).needs_generator
    paths = [each.path for each in recordings]
    chosen_engine = choose_engine(paths, jobs, single_threaded, device, on_ray, address, printer, place)
    records = records_path(place, chosen_part) if is_batch else None
    work = SeparateRecordings(place, request, arguments, printer, is_batch)
    separate_all(recordings, work, chosen_engine, records)


def _check_destination(
    out: Path | None,
    to_stdout: bool,
    printer: Output,
    plot: bool,
    format: str,
    tags: Sequence[str],
    inputs: Sequence[Path],
) -> None:
    """Check that either a folder or standard output is to take the results, and that it can.

    Raises:
        TagBoxError: neither or both are, or standard output cannot take them.
    """
    if not to_stdout:
        if out is None:
            raise TagBoxError(
                "--out is missing; for example: tagbox separate duet.flac --tags violin -o out "
                "(or --stdout, which writes one source to standard output)"
            )
        return
    if out is not None:
        raise TagBoxError("--out and --stdout contradict each other; give one of them")
    if printer.json or plot or format != "wav":
        raise TagBoxError(
            "--stdout writes one wav file and nothing else; leave --json, --plot and --format out"
        )
    if len(tags) != 1 or len(inputs) != 1 or inputs[0].is_dir():
        raise TagBoxError(
            "--stdout writes one source of one recording; give one of each, or a folder with -o"
        )
    if is_terminal(sys.stdout):
        raise TagBoxError(
            "--stdout would write a wav file to the terminal; add a pipe or a file, for example > violin.wav"
        )
