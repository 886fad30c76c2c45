"""Separate a recording, or re-synthesise it towards a tag: the functions that programs call.

Each validates what it is given, prepares the models, runs the pipeline, and describes the result.
"""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike
from torch import Tensor

from tagbox import manifest, presets
from tagbox.audio import files
from tagbox.audio.arrays import as_channels, check_rate, level_note
from tagbox.audio.downmix import with_channels
from tagbox.audio.metadata import read_metadata
from tagbox.audio.readers import FileReader, Reader, TensorReader
from tagbox.audio.validation import fingerprint
from tagbox.audio.writers import OnAudio, OverheardWriter, TensorWriter, check_output, open_stem_writer
from tagbox.corrections import Correction, check, to_json
from tagbox.errors import TagBoxError, UnreadableRecordingError
from tagbox.free_text import Listeners, choose_listeners
from tagbox.kernels.threads import threads_that_pay
from tagbox.memory import explain_out_of_memory
from tagbox.methods.registry import find_method
from tagbox.methods.steering import OnStep
from tagbox.methods.task import Task
from tagbox.numerics import standard_numerics
from tagbox.pipeline.correcting import separate_corrected
from tagbox.pipeline.prepare import prepare_task
from tagbox.pipeline.streaming import OnSegment, StreamReport, is_long, output_format, separate_stream
from tagbox.pipeline.transfer import resynthesise_recording
from tagbox.results import SavedSeparation, Separation, Transfer
from tagbox.tagging import predict_recording
from tagbox.tags.query import UNION, as_queries, split_instrumental

MIN_SAMPLES = 2
"""Of a file that is separated."""


@explain_out_of_memory()
@standard_numerics()
def separate(
    audio: ArrayLike | Tensor,
    rate: int,
    tags: Sequence[str] | str,
    preset: str = "default",
    device: str = "auto",
    on_step: OnStep | None = None,
    source: Mapping[str, Any] | None = None,
    on_segment: OnSegment | None = None,
    **overrides: Any,
) -> Separation:
    """Separate what `tags` name from a recording.

    Args:
        audio: (samples,) or (channels, samples), within [-1, 1] or not.
        rate: sample rate, Hz.
        tags: one source each; "violin+cello" is one source of two tags. A single text is one tag. "karaoke",
            "instrumental", "accompaniment" and "backing track" mean the residual of vocals.
        preset: see `tagbox.presets.PRESETS`.
        device: "auto", "cpu", "cuda" or "mps".
        on_step: called after every step of the steering loop; a true answer stops it.
        source: what is known of the recording, for the manifest; its `notes` say what is wrong with it.
        on_segment: where the recording is longer than a segment, told how many are done, of how many.
        overrides: any field of `tagbox.presets.Settings`.

    Returns:
        sources by tag, and a residual, which together are the recording.

    Raises:
        TagBoxError: the recording, a tag or a setting cannot be used; says which and what to do.
        OutOfMemoryError: the computation takes more memory than there is.
    """
    begin = time.monotonic()
    settings = presets.override(presets.find(preset).settings, **overrides)
    with threads_that_pay(many=find_method(settings.steer).needs_generator):
        reader = TensorReader(as_channels(audio), check_rate(rate))
        queries, instrumental = split_instrumental(as_queries(tags))
        listeners = choose_listeners(queries, settings)
        task = prepare_task(queries, listeners.settings, device)
        loaded = time.monotonic()
        out = output_format(task, reader)
        writer = TensorWriter(task.sources + 1, out.channels, out.samples)
        report = separate_stream(reader, task, writer, on_step, on_segment)
        described = describe_separation(task, preset, reader, source or {}, report, begin, loaded)
        described |= {**describe_residual(instrumental), **describe_listeners(listeners)}
        sources = dict(zip(task.queries, writer.values[:-1], strict=True))
        return Separation(sources, writer.values[-1], out.rate, report.runs, described)


@explain_out_of_memory()
@standard_numerics()
def load_task(
    tags: Sequence[str] | str, preset: str = "default", device: str = "auto", **overrides: Any
) -> Task:
    """Load the models of a separation once, for many calls of `separate_file`.

    The arguments and errors are `separate`'s.
    """
    queries, _ = split_instrumental(as_queries(tags))
    settings = presets.override(presets.find(preset).settings, **overrides)
    return prepare_task(queries, choose_listeners(queries, settings).settings, device)


@explain_out_of_memory()
@standard_numerics()
def separate_file(
    path: str | Path,
    folder: str | Path,
    tags: Sequence[str] | str,
    preset: str = "default",
    device: str = "auto",
    start: float = 0.0,
    duration: float | None = None,
    format: str = "wav",
    bits: str | None = None,
    force: bool = False,
    on_step: OnStep | None = None,
    on_segment: OnSegment | None = None,
    on_audio: OnAudio | None = None,
    corrections: Sequence[Correction] = (),
    task: Task | None = None,
    **overrides: Any,
) -> SavedSeparation:
    """Separate what `tags` name from a file of any length, from disk to disk.

    A file up to a segment long gives what `separate` gives; memory does not grow with a longer one.

    Args:
        path: a recording.
        folder: for a file for each source, the residual and run.json; made where it is missing.
        start: where to begin, s.
        duration: how much to separate, s; all unless given.
        format: "wav" or "flac".
        bits: "16", "24" or "float"; left out, wav is float and flac 24. Where integers would clip, all is
            written as float wav instead, and `SavedSeparation.note` says so.
        force: replace files that exist.
        on_segment: told how many segments are done, of how many.
        on_audio: told the samples of the sources and the residual as they are finished, front to back.
        corrections: made one after the other (see `tagbox.corrections`); run.json lists them.
        task: of the same tags, settings and device, as `load_task` returns it, whose models are then used.

    The other arguments and errors are `separate`'s. Nothing is written where anything goes wrong.

    Raises:
        TagBoxError: the recording cannot be read or the results cannot be written.
        MachineError: the disk is full, or there is too little memory.
    """
    begin = time.monotonic()
    path, folder = Path(path), Path(folder)
    queries, instrumental = split_instrumental(as_queries(tags))
    residual = instrumental or "residual"
    settings = presets.override(presets.find(preset).settings, **overrides)
    with threads_that_pay(many=find_method(settings.steer).needs_generator):
        if format not in files.FORMATS:
            raise TagBoxError(f"no result is written as {format!r}; choose one of {', '.join(files.FORMATS)}")
        header = FileReader.of(path, start, duration)
        if header.samples < MIN_SAMPLES:
            raise UnreadableRecordingError(
                f"{path} lasts {header.samples} sample{'s' * (header.samples != 1)}, too short to separate; "
                "give another recording, or a longer --duration"
            )
        check_output(folder, queries, header.channels, format, bits, force, residual)
        for correction in corrections:
            check(correction, queries, header.samples / header.rate)
        known = {
            "file": path.name,
            "found_at": path_from(folder, path),
            "sha256": fingerprint(path),
            "start": start,
            "duration": duration,
        }
        reader: Reader = header
        if not is_long(settings, header.samples, header.rate):
            (samples,) = header.read_spans([(0, header.samples)])
            reader = TensorReader(samples, header.rate, header.mask, header.note)
        metadata = read_metadata(path)
        listeners = choose_listeners(queries, settings)
        if task is None:
            task = prepare_task(queries, listeners.settings, device)
        elif (task.queries, task.settings) != (tuple(queries), listeners.settings):
            raise TagBoxError("the task is of other tags or settings; give those that it was loaded for")
        loaded = time.monotonic()
        out = output_format(task, reader)
        with open_stem_writer(
            folder,
            queries,
            out.rate,
            out.channels,
            out.samples,
            format,
            bits,
            force,
            out.mask,
            residual,
            metadata,
        ) as writer:
            told = writer if on_audio is None else OverheardWriter(writer, on_audio)
            if corrections:
                report = separate_corrected(reader, task, told, corrections, on_segment)
            else:
                report = separate_stream(reader, task, told, on_step, on_segment)
            described = describe_separation(task, preset, reader, known, report, begin, loaded)
            if corrections:
                described["corrections"] = to_json(corrections)
            described |= {"output": {"format": format, "bits": bits}, **describe_residual(instrumental)}
            described |= describe_listeners(listeners)
            paths, note = writer.finish(described)
            described["files"] = [path.name for path in paths]
        return SavedSeparation(tuple(paths), out.rate, report.runs, described, note)


@explain_out_of_memory()
@standard_numerics()
def transfer(
    audio: ArrayLike | Tensor,
    rate: int,
    tags: Sequence[str] | str,
    preset: str = "transfer",
    device: str = "auto",
    on_step: OnStep | None = None,
    source: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Transfer:
    """Re-synthesise a recording with the generator, steered towards `tags`, without a mask (style transfer).

    The arguments are `separate`'s; several tags are one target here.

    Returns:
        audio of the recording's length, rate and channels.

    Raises:
        TagBoxError: the recording, a tag or a setting cannot be used; says which and what to do.
        OutOfMemoryError: the computation takes more memory than there is.
    """
    begin = time.monotonic()
    settings = presets.override(presets.find(preset).settings, **overrides)
    if not find_method(settings.steer).needs_generator:
        raise TagBoxError(
            f"style transfer steers a generator's latents, and {preset} steers {settings.steer}"
        )
    with threads_that_pay(many=find_method(settings.steer).needs_generator):
        channels, rate = as_channels(audio), check_rate(rate)
        queries = as_queries(tags)
        settings = choose_listeners(queries, settings).settings
        task = prepare_task([UNION.join(queries)] if queries else queries, settings, device)
        loaded = time.monotonic()
        generated, runs = resynthesise_recording(channels, rate, task, on_step)
        steered = time.monotonic()
        result = with_channels(generated, channels.shape[0])
        probabilities = {
            name: predict_recording(task.taggers, track, rate, settings.padding)
            for name, track in (("mixture", channels), ("result", result))
        }
        seconds = {"loading": loaded - begin, "steering": steered - loaded, "all": time.monotonic() - begin}
        known = _describe_input(
            TensorReader(channels, rate), source or {}, [level_note(float(channels.abs().max()))]
        )
        described = manifest.describe(task, preset, known, runs, probabilities, seconds)
        history, stopped = runs[0].history, runs[-1].history.stopped
        return Transfer(result, rate, history, described, stopped)


def path_from(folder: Path, path: Path) -> str:
    """Return where a recording lies, seen from the folder of its results, so that `refine` finds it."""
    try:
        return os.path.relpath(path.resolve(), folder.resolve())
    except ValueError:
        # On Windows, another drive.
        return str(path.resolve())


def describe_separation(
    task: Task,
    preset: str,
    reader: Reader,
    source: Mapping[str, Any],
    report: StreamReport,
    begin: float,
    loaded: float,
) -> dict[str, Any]:
    """Describe a separation for run.json.

    Args:
        task: the sources, settings and models.
        preset: on which the settings are based.
        reader: of the recording.
        source: what else is known of the recording.
        report: of the separation.
        begin: when it began, on `time.monotonic`.
        loaded: when the models were loaded, likewise.
    """
    known = _describe_input(reader, source, [report.level_note])
    seconds = {
        "loading": loaded - begin,
        **report.seconds,
        "all": time.monotonic() - begin,
        "audio": known["samples"] / known["rate"],
    }
    described = manifest.describe(task, preset, known, report.runs, report.probabilities, seconds)
    described["presence"] = report.presence
    return described if report.notes is None else {**described, "streamed": report.notes}


def describe_residual(instrumental: str | None) -> dict[str, Any]:
    """Say in the manifest that the residual is what was asked for."""
    if instrumental is None:
        return {}
    return {"residual": {"name": instrumental, "note": f"{instrumental} is the residual of vocals"}}


def describe_listeners(listeners: Listeners) -> dict[str, Any]:
    """Say in the manifest which words are heard as text, and by which tagger."""
    return {} if listeners.note is None else {"notes": [listeners.note]}


def _describe_input(
    reader: Reader, source: Mapping[str, Any], more_notes: Sequence[str | None] = ()
) -> dict[str, Any]:
    known: dict[str, Any] = {"rate": reader.rate, "channels": reader.channels, "samples": reader.samples}
    known |= {name: value for name, value in source.items() if name != "notes"}
    if reader.mask is not None:
        known["channel_mask"] = reader.mask
    notes = [note for note in (reader.note, *source.get("notes", ()), *more_notes) if note is not None]
    if isinstance(reader, TensorReader):
        known["samples_sha256"] = manifest.audio_hash(reader.values)
    if notes:
        known["notes"] = notes
    return known
