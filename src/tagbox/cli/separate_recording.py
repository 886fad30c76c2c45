"""Separate one recording of a command line, or find that it is done: what an engine does for each."""

import dataclasses
import os
import pickle
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from tagbox.cli.batch import Outcome, finish_batch, run_batch
from tagbox.cli.batch_records import recording_to
from tagbox.cli.finished_runs import (
    MANIFEST_NAME,
    PLOT_NAME,
    Request,
    is_finished,
    listed_files,
    noted_sha256,
    read_manifest,
    refuse_or_replace,
    remove_stale,
)
from tagbox.cli.options import EXIT_CODES
from tagbox.cli.output import Output, print_error
from tagbox.cli.recordings import NamedRecording, as_named, is_pipe, spooled
from tagbox.cli.run_report import peak_memory, report_run
from tagbox.errors import MachineError, TagBoxError
from tagbox.parallel.engine import Engine, Progress, Report, Work
from tagbox.parallel.storage import Address, Place, results_folder

if TYPE_CHECKING:
    from tagbox.methods.task import Task
    from tagbox.results import SavedSeparation

MAX_PLOT_SECONDS = 600
COPY_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class SeparateRecordings:
    """Separates recordings into folders below one folder; an `engine.Prepare`.

    Attributes:
        out: the folder of all results, or its address on storage.
        request: what is asked for.
        arguments: of `tagbox.separate_file`.
        output: of the command.
        is_batch: whether what is printed is collected, because other recordings are worked on as well.
    """

    out: Place
    request: Request
    arguments: Mapping[str, Any]
    output: Output
    is_batch: bool

    def __call__(self, threads: int | None) -> Work:
        """Make the work, which loads PyTorch and the models with the first recording that is not done."""
        return partial(_separate, self, _Models(self.arguments, threads))


class _Models:
    """The models, loaded once."""

    def __init__(self, arguments: Mapping[str, Any], threads: int | None) -> None:
        self._arguments, self._threads = arguments, threads
        self._task: Task | None = None

    def load(self) -> "Task":
        """Return the task with its models.

        Raises:
            TagBoxError: a model or a tag cannot be used.
        """
        if self._task is None:
            from tagbox.api import load_task

            if self._threads is not None:
                import torch

                torch.set_num_threads(self._threads)
            names = ("tags", "preset", "device", *settings_of(self._arguments))
            self._task = load_task(**{name: self._arguments[name] for name in names})
        return self._task


def settings_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments that are fields of `Settings`."""
    from tagbox.settings import Settings

    fields = {field.name for field in dataclasses.fields(Settings)}
    return {name: value for name, value in arguments.items() if name in fields}


def separate_all(
    recordings: Sequence[NamedRecording],
    work: SeparateRecordings,
    engine: Engine,
    records: Place | None = None,
) -> None:
    """Separate `recordings`; of a batch, tell the file of records what became of each.

    Raises:
        TagBoxError: the only recording failed.
        typer.Exit: some of several failed, Ctrl-C was pressed, or a loss was not a finite number.
    """
    names = [str(each.path) for each in recordings]
    with recording_to(records, print_error) as tell:

        def record(index: int, outcome: Outcome) -> None:
            if not outcome.of_earlier_run:
                tell(describe_outcome(recordings[index], outcome))

        report = run_batch(names, recordings, work, engine, work.output, record, is_batch=work.is_batch)
    finish_batch(report, work.output, records)


def describe_outcome(recording: NamedRecording, outcome: Outcome) -> dict[str, Any]:
    """Return what batch.jsonl says of a recording that was worked on."""
    document = outcome.document
    record: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "recording": str(recording.path),
        "folder": str(recording.folder),
        "status": "failed" if outcome.fault is not None else "done",
    }
    if outcome.fault is not None:
        record["error"] = str(outcome.fault)
    if outcome.stopped in EXIT_CODES:
        record["status"] = outcome.stopped
    if isinstance(outcome.value, Mapping):
        record |= outcome.value
    if "seconds" in document:
        record["audio_seconds"] = round(document["seconds"]["audio"], 3)
    return record


def separate_to_stdout(
    recording: NamedRecording, source: str, arguments: Mapping[str, Any], output: Output
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


def print_notes(path: Path, manifest: Mapping[str, Any], note: str | None, output: Output) -> None:
    """Print what is worth knowing of a recording's file and of its results, with the recording's name."""
    if "residual" in manifest:
        output.print_result(manifest["residual"]["note"])
    for each in [*manifest["input"].get("notes", ()), note]:
        if each is not None:
            output.print_note(each if path.name in each else f"{path.name}: {each}")


def _separate(
    options: SeparateRecordings, models: _Models, recording: NamedRecording, report: Report
) -> Outcome:
    """Separate a recording, or find that it is done; a fault is told by the outcome."""
    output = options.output.collecting() if options.is_batch else options.output
    spool: Place = recording.path
    place = options.out / recording.folder
    began = time.monotonic()
    fault, unexpected = None, None
    try:
        source = _source(recording.path, place)
        done = _find_done_on_storage(options, recording, source, place, output)
        if done is not None:
            outcome = done
        else:
            with spooled(recording.path) as spool:
                outcome = _separate_unless_done(
                    options, models, recording, source, spool, place, output, report
                )
    except TagBoxError as error:
        fault = type(error)(as_named(error, spool, recording.path))
    except Exception as error:
        from tagbox.cli.error_messages import describe_error, is_reported

        if is_reported(error):
            fault = MachineError(as_named(MachineError(describe_error(error)), spool, recording.path))
        else:
            unexpected = _portable(error)
            message = f"{recording.path}: a fault of TagBox ({type(error).__name__}: {error})"
            fault = TagBoxError(message)
    if fault is not None:
        document = {"file": str(recording.path), "error": str(fault)}
        outcome = Outcome(document, fault=fault, unexpected=unexpected)
    took = {
        "seconds": round(time.monotonic() - began, 3),
        "host": socket.gethostname(),
        "process": os.getpid(),
        "peak_memory": int(peak_memory()),
    }
    return dataclasses.replace(outcome, lines=output.collected, value=took)


def _portable(error: Exception) -> Exception:
    """Return `error`, or where another process cannot be sent it, one that says the same."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _find_done_on_storage(
    options: SeparateRecordings,
    recording: NamedRecording,
    source: Mapping[str, str],
    place: Place,
    output: Output,
) -> Outcome | None:
    """Return that the recording at an address is done, where that is known without fetching it."""
    if not isinstance(recording.path, Address) or options.arguments["force"]:
        return None
    earlier = read_manifest(place)
    sha256 = noted_sha256(earlier, source)
    if earlier is None or sha256 is None or not is_finished(earlier, place, sha256, options.request):
        return None
    return _done_already(recording, earlier, place, output)


def _done_already(
    recording: NamedRecording, earlier: Mapping[str, Any], place: Place, output: Output
) -> Outcome:
    output.print_result(f"done already: {recording.path} (in {place}; --force does it again)")
    written = [str(place / name) for name in listed_files(earlier)]
    return Outcome({"written": written, "done_already": True, **earlier}, of_earlier_run=True)


def _separate_unless_done(
    options: SeparateRecordings,
    models: _Models,
    recording: NamedRecording,
    source: Mapping[str, str],
    path: Path,
    place: Place,
    output: Output,
    report: Report,
) -> Outcome:
    from tagbox.audio.validation import fingerprint, require_regular_file

    request, arguments = options.request, options.arguments
    require_regular_file(path)
    earlier = read_manifest(place)
    force = bool(arguments["force"])
    if not force and (place / MANIFEST_NAME).exists():
        sha256 = fingerprint(path)
        if earlier is not None and is_finished(earlier, place, sha256, request):
            return _done_already(recording, earlier, place, output)
        force = refuse_or_replace(earlier, place, sha256, request)
    if request.plot:
        _check_plot_length(path, request.start, request.duration)
    more = {"force": force, "task": models.load()} if options.is_batch else {"force": force}
    with results_folder(place, MANIFEST_NAME) as folder:
        result = _run(path, folder, {**arguments, **more}, output, report if options.is_batch else None)
        written = list(result.paths)
        for stale in remove_stale(earlier, place, written):
            output.print_note(f"removed {stale}, of an earlier run")
        plots = {}
        if request.plot:
            from tagbox.plots import save_separation

            written.append(save_separation(result.read(), folder / PLOT_NAME, force))
            # Listed, so that a later run knows whose it is.
            plots = {"plot": PLOT_NAME}
        if plots or source:
            from tagbox.atomic_files import write_json

            known = {**result.manifest["input"], **source}
            result = dataclasses.replace(result, manifest={**result.manifest, "input": known, **plots})
            write_json(result.manifest, folder / MANIFEST_NAME, force=True)
    places = [place / each.name for each in written]
    print_notes(path, result.manifest, result.note, output)
    report_run(output, result.manifest, places)
    document = {"written": [str(each) for each in places], **result.manifest}
    return Outcome(document, stopped=result.stopped)


def _source(recording: Place, place: Place) -> dict[str, str]:
    """Return what run.json is to say of where the recording is, where that or the results are on storage."""
    if isinstance(recording, Address):
        return {"found_at": str(recording), "version": recording.version()}
    if isinstance(place, Address) and not is_pipe(recording):
        return {"found_at": str(recording.absolute())}
    return {}


def _run(
    path: Path, folder: Path, arguments: Mapping[str, Any], output: Output, report: Report | None = None
) -> "SavedSeparation":
    """Separate a file, showing progress on the terminal, or through `report` where one is given."""
    from tagbox import presets
    from tagbox.api import separate_file
    from tagbox.audio.readers import FileReader
    from tagbox.cli.progress import RunReporter
    from tagbox.pipeline.streaming import is_long

    settings = presets.override(presets.find(arguments["preset"]).settings, **settings_of(arguments))
    header = FileReader.of(path, arguments["start"], arguments["duration"])
    long = is_long(settings, header.samples, header.rate)
    forward = None if report is None else lambda text, share: report(Progress(text, share))
    with RunReporter(path.name, output, settings, len(arguments["tags"]), long, forward) as reporter:
        return separate_file(path, folder, on_step=reporter.step, on_segment=reporter.segment, **arguments)


def _check_plot_length(path: Path, start: float, duration: float | None) -> None:
    from tagbox.audio.readers import FileReader

    header = FileReader.of(path, start, duration)
    if header.samples > MAX_PLOT_SECONDS * header.rate:
        raise TagBoxError(
            f"a plot of more than {MAX_PLOT_SECONDS} s would show nothing; leave --plot out, or choose an "
            "excerpt with --start and --duration"
        )
