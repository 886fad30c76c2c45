"""Separate recordings one after the other: what is done is left alone, and one fault stops no other."""

import contextlib
import dataclasses
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tagbox.cli.finished_runs import (
    MANIFEST_NAME,
    PLOT_NAME,
    Request,
    is_finished,
    listed_files,
    read_manifest,
    refuse_or_replace,
    remove_stale,
)
from tagbox.cli.options import EXIT_CODES
from tagbox.cli.output import Output, print_error
from tagbox.cli.recordings import NamedRecording, as_named, spooled
from tagbox.errors import MachineError, TagBoxError

if TYPE_CHECKING:
    from tagbox.results import SavedSeparation

MAX_PLOT_SECONDS = 600
COPY_BYTES = 1 << 20


@dataclasses.dataclass
class BatchReport:
    """What became of the recordings so far.

    Attributes:
        documents: of each recording, for --json.
        faults: why recordings failed.
        done: how many are done, now or before.
        stopped: why the last run ended.
        unexpected: the first error that is a fault of TagBox.
    """

    documents: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    faults: list[TagBoxError] = dataclasses.field(default_factory=list)
    done: int = 0
    stopped: str = "steps"
    unexpected: Exception | None = None


def separate_batch(
    recordings: Sequence[NamedRecording],
    out: Path,
    request: Request,
    arguments: dict[str, Any],
    output: Output,
) -> None:
    """Separate `recordings` into folders below `out`.

    Args:
        recordings: to separate.
        out: the folder of all results.
        request: what is asked for.
        arguments: of `tagbox.separate_file`.
        output: where progress and results are printed.

    Raises:
        TagBoxError: the only recording failed.
        typer.Exit: some of several failed, Ctrl-C was pressed, or a loss was not a finite number.
    """
    report = BatchReport()
    worst_stop = "steps"
    try:
        for recording in recordings:
            _separate_one(recording, out / recording.folder, request, arguments, output, report)
            if len(recordings) > 1 and report.faults:
                fault = report.documents[-1].get("error")
                if fault is not None:
                    print_error(fault)
            if report.stopped in EXIT_CODES:
                worst_stop = report.stopped
            if report.stopped == "interrupted":
                break
    finally:
        if report.documents and not (len(recordings) == 1 and report.faults):
            output.print_json(lambda: report.documents)
    if report.unexpected is not None:
        # The other recordings are done; this has a traceback, because somebody has to mend it.
        raise report.unexpected
    if report.faults and len(recordings) == 1:
        raise report.faults[0]
    if report.stopped != "interrupted" and report.faults:
        print_error(f"{len(report.faults)} of {len(recordings)} recordings failed; {report.done} are done")
        raise typer.Exit(1 if all(isinstance(fault, MachineError) for fault in report.faults) else 2)
    if worst_stop in EXIT_CODES:
        raise typer.Exit(EXIT_CODES[worst_stop])


def separate_to_stdout(
    recording: NamedRecording, source: str, arguments: dict[str, Any], output: Output
) -> None:
    """Separate a recording, and write `source` as a wav file to standard output.

    Raises:
        TagBoxError: the recording cannot be separated.
        typer.Exit: Ctrl-C was pressed, or the loss was not a finite number.
    """
    from tagbox.audio.files import file_name
    from tagbox.temporary_files import temporary_folder

    with temporary_folder(Path(tempfile.gettempdir())) as folder:
        with spooled(recording.path) as path:
            try:
                result = _run(path, folder / "results", arguments, output)
            except TagBoxError as error:
                raise type(error)(as_named(error, path, recording.path)) from error
        print_notes(path, result.manifest, result.note, output)
        chosen = next(each for each in result.paths if each.stem == file_name(source))
        sys.stdout.flush()
        with chosen.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer, COPY_BYTES)
        sys.stdout.flush()
    if result.stopped in EXIT_CODES:
        raise typer.Exit(EXIT_CODES[result.stopped])


def _separate_one(
    recording: NamedRecording,
    folder: Path,
    request: Request,
    arguments: dict[str, Any],
    output: Output,
    report: BatchReport,
) -> None:
    """Separate a recording, or find that it is done; a fault is added to the report."""
    spool = recording.path
    try:
        with contextlib.ExitStack() as stack:
            spool = stack.enter_context(spooled(recording.path))
            document = _separate_unless_done(recording, spool, folder, request, arguments, output, report)
        report.documents.append(document)
        report.done += 1
    except TagBoxError as error:
        _add_fault(error, spool, recording, report)
    except Exception as error:
        from tagbox.cli.error_messages import describe_error, is_reported

        if is_reported(error):
            _add_fault(MachineError(describe_error(error)), spool, recording, report)
        else:
            report.unexpected = report.unexpected or error
            fault = f"{recording.path}: a fault of TagBox ({type(error).__name__}: {error})"
            _add_fault(TagBoxError(fault), spool, recording, report)


def _add_fault(error: TagBoxError, spool: Path, recording: NamedRecording, report: BatchReport) -> None:
    message = as_named(error, spool, recording.path)
    report.faults.append(type(error)(message))
    report.documents.append({"file": str(recording.path), "error": message})


def _separate_unless_done(
    recording: NamedRecording,
    path: Path,
    folder: Path,
    request: Request,
    arguments: dict[str, Any],
    output: Output,
    report: BatchReport,
) -> dict[str, Any]:
    """Return the document of a recording for --json."""
    from tagbox.audio.validation import fingerprint, require_regular_file
    from tagbox.cli.run_report import report_run

    require_regular_file(path)
    earlier = read_manifest(folder)
    force = bool(arguments["force"])
    if not force and (folder / "run.json").exists():
        sha256 = fingerprint(path)
        if earlier is not None and is_finished(earlier, folder, sha256, request):
            output.print_result(f"done already: {recording.path} (in {folder}; --force does it again)")
            written = [folder / name for name in listed_files(earlier)]
            return {"written": [str(each) for each in written], "done_already": True, **earlier}
        force = refuse_or_replace(earlier, folder, sha256, request)
    if request.plot:
        _check_plot_length(path, request.start, request.duration)
    result = _run(path, folder, {**arguments, "force": force}, output)
    written = list(result.paths)
    for stale in remove_stale(earlier, folder, written):
        output.print_note(f"removed {stale}, of an earlier run")
    if request.plot:
        from tagbox.atomic_files import write_json
        from tagbox.plots import save_separation

        written.append(save_separation(result.read(), folder / PLOT_NAME, force))
        # Listed, so that a later run knows whose it is.
        result = dataclasses.replace(result, manifest={**result.manifest, "plot": PLOT_NAME})
        write_json(result.manifest, folder / MANIFEST_NAME, force=True)
    print_notes(path, result.manifest, result.note, output)
    report_run(output, result.manifest, written)
    report.stopped = result.stopped
    return {"written": [str(each) for each in written], **result.manifest}


def _run(path: Path, folder: Path, arguments: dict[str, Any], output: Output) -> "SavedSeparation":
    from tagbox import presets
    from tagbox.api import separate_file
    from tagbox.audio.readers import FileReader
    from tagbox.cli.progress import RunReporter
    from tagbox.pipeline.streaming import is_long
    from tagbox.settings import Settings

    fields = {field.name for field in dataclasses.fields(Settings)}
    overrides = {name: value for name, value in arguments.items() if name in fields}
    settings = presets.override(presets.find(arguments["preset"]).settings, **overrides)
    header = FileReader.of(path, arguments["start"], arguments["duration"])
    long = is_long(settings, header.samples, header.rate)
    with RunReporter(path.name, output, settings, len(arguments["tags"]), long) as reporter:
        return separate_file(path, folder, on_step=reporter.step, on_segment=reporter.segment, **arguments)


def print_notes(path: Path, manifest: Mapping[str, Any], note: str | None, output: Output) -> None:
    """Print what is worth knowing of a recording's file and of its results, with the recording's name."""
    if "residual" in manifest:
        output.print_result(manifest["residual"]["note"])
    for each in [*manifest["input"].get("notes", ()), note]:
        if each is not None:
            output.print_note(each if path.name in each else f"{path.name}: {each}")


def _check_plot_length(path: Path, start: float, duration: float | None) -> None:
    from tagbox.audio.readers import FileReader

    header = FileReader.of(path, start, duration)
    if header.samples > MAX_PLOT_SECONDS * header.rate:
        raise TagBoxError(
            f"a plot of more than {MAX_PLOT_SECONDS} s would show nothing; leave --plot out, or choose an "
            "excerpt with --start and --duration"
        )
