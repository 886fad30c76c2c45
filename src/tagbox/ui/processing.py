"""Process a request of the page: separate or transfer a recording into a folder of files."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from torch import Tensor

from tagbox import api, audio, presets
from tagbox.atomic_files import write_json
from tagbox.audio.files import Bits, file_name, peak
from tagbox.audio.metadata import Metadata, read_metadata
from tagbox.audio.writers import OnAudio
from tagbox.errors import TagBoxError
from tagbox.free_text import choose_listeners
from tagbox.methods.steering import OnStep
from tagbox.pipeline.deciding import can_correct
from tagbox.pipeline.streaming import OnSegment
from tagbox.presets import Settings
from tagbox.projects import Project, open_project
from tagbox.ui import suggestions
from tagbox.ui.limits import MAX_QUERIES
from tagbox.ui.result_files import (
    FORMATS,
    TOO_LOUD,
    draw_tracks,
    roles_of,
    write_mixture,
    write_separation,
)
from tagbox.ui.tracks import FileTrack, GrowingTrack, OnTracks, grow
from tagbox.weights import hub


@dataclass(frozen=True)
class JobRequest:
    """What somebody asked the page for.

    Attributes:
        path: of the recording.
        queries: one a source, or one target of a style transfer.
        preset: name of the preset.
        overrides: fields of `Settings` that differ from the preset's.
        device: as `tagbox.api.separate` takes it.
        start: of the excerpt, seconds.
        duration: of the excerpt, seconds; None takes all.
        format: a key of `FORMATS`.
    """

    path: Path
    queries: tuple[str, ...]
    preset: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    start: float = 0.0
    duration: float | None = None
    format: str = "FLAC, 24 bits"

    def read(self) -> audio.Audio:
        """Read the requested excerpt of the recording.

        Raises:
            TagBoxError: it cannot be read.
        """
        return audio.read(self.path, self.start, self.duration)

    def settings(self) -> Settings:
        """Return all settings, after cheap checks of them and of the queries.

        Raises:
            TagBoxError: a setting makes no sense, or a query is missing, unknown or one too many.
        """
        settings = presets.override(presets.find(self.preset).settings, **self.overrides)
        if not self.queries:
            raise TagBoxError("no word is chosen; click a suggestion, or type a word")
        if len(self.queries) > MAX_QUERIES:
            raise TagBoxError(
                f"{len(self.queries)} words are chosen; this page takes {MAX_QUERIES} at the most"
            )
        settings = choose_listeners(self.queries, settings).settings
        suggestions.target_indices(self.queries, settings)
        return settings


@dataclass(frozen=True)
class ResultTrack:
    """What the page shows of a track beside its sound.

    Attributes:
        picture: its spectrogram, a PNG.
        probabilities: of the tags that the first tagger predicts.
    """

    picture: Path
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class JobResult:
    """What a job wrote into `folder`.

    Attributes:
        folder: of the tracks, their pictures and run.json.
        tracks: by name, the mixture first.
        manifest: the content of run.json.
        stopped: why the last loop ended (see `tagbox.methods.steering.Stopped`).
        note: where the files are not of the format that was asked for, why.
        metadata: of the recording.
        project: what corrects the separation, where it can be corrected.
    """

    folder: Path
    tracks: Mapping[str, ResultTrack]
    manifest: Mapping[str, Any]
    stopped: str
    note: str | None = None
    metadata: Metadata = field(default_factory=lambda: Metadata({}))
    project: Project | None = None


Process = Callable[[JobRequest, Path, OnTracks, OnStep, OnSegment], JobResult]
"""Do what is requested, write the files into a folder, and report tracks, steps and segments."""


def process_separation(
    request: JobRequest, folder: Path, on_tracks: OnTracks, on_step: OnStep, on_segment: OnSegment
) -> JobResult:
    """Separate the queries of a request from its recording, into `folder`.

    Raises:
        TagBoxError: as `tagbox.api.separate_file`.
    """
    settings = request.settings()
    metadata = read_metadata(request.path)
    mixture = write_mixture(request.read(), metadata, folder, request.format)
    on_tracks([mixture])
    with TemporaryDirectory(dir=folder, prefix=".") as temporary:
        growing: list[GrowingTrack] = []

        def add(block: Tensor) -> None:
            if not growing:
                growing.extend(_growing_tracks(request.queries, block, mixture, Path(temporary)))
                on_tracks([mixture, *growing])
            grow(growing, block)

        if can_correct(settings):
            result, tracks = _separate_to_correct(request, folder, metadata, on_segment, add)
        else:
            # The parts of a reconstruction have a sample rate of their own, and are heard at the end.
            on_audio = None if settings.mixture == "reconstruction" else add
            result, tracks = _separate_file(request, folder, on_step, on_segment, on_audio)
        on_tracks([mixture, *tracks])
    return draw_result(result, [mixture, *tracks])


def process_transfer(
    request: JobRequest, folder: Path, on_tracks: OnTracks, on_step: OnStep, on_segment: OnSegment
) -> JobResult:
    """Re-synthesise the recording of a request, steered towards its queries, into `folder`.

    Raises:
        TagBoxError: as `tagbox.api.transfer`.
    """
    format, bits = FORMATS[request.format]
    metadata = read_metadata(request.path)
    recording = request.read()
    mixture = write_mixture(recording, metadata, folder, request.format)
    on_tracks([mixture])
    source = {
        "file": request.path.name,
        "sha256": audio.fingerprint(request.path),
        "start": request.start,
        "duration": request.duration,
        "notes": [] if recording.note is None else [recording.note],
    }
    result = api.transfer(
        recording.samples,
        recording.rate,
        request.queries,
        preset=request.preset,
        device=request.device,
        on_step=on_step,
        source=source,
        **request.overrides,
    )
    note = None
    if bits != "float" and peak(result.audio) > 1:
        format, bits, note = "wav", "float", TOO_LOUD
    target = "+".join(request.queries)
    path = folder / f"{file_name(target)}.{format}"
    audio.write(path, result.audio, result.rate, cast(Bits, bits), metadata=metadata.of_stem(target))
    manifest = without_folders(result.manifest)
    write_json(manifest, folder / "run.json", force=True)
    tracks = [mixture, FileTrack.of("result", "result", path)]
    on_tracks(tracks)
    return draw_result(JobResult(folder, {}, manifest, result.history.stopped, note), tracks)


def draw_result(result: JobResult, tracks: Sequence[FileTrack]) -> JobResult:
    """Return a result with the spectrograms of all its tracks, and the tags that are predicted for them."""
    pictures = draw_tracks(tracks, result.folder)
    predictions = result.manifest["probabilities"]
    shown = {
        track.name: ResultTrack(pictures[track.name], _of_first_tagger(predictions.get(track.name, {})))
        for track in tracks
    }
    return replace(result, tracks=shown)


def without_folders(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest with the generator's file name in place of its path on the server."""
    settings = dict(manifest["settings"])
    if not hub.is_address(settings["generator"]):
        settings["generator"] = Path(settings["generator"]).name
    return {**manifest, "settings": settings}


def to_json(manifest: Mapping[str, Any]) -> str:
    """Return the manifest as text, as in run.json."""
    return json.dumps(manifest, indent=2, ensure_ascii=False)


def setting_values(settings: Settings) -> dict[str, Any]:
    """Return the values of all settings by field name."""
    return dataclasses.asdict(settings)


def _separate_file(
    request: JobRequest, folder: Path, on_step: OnStep, on_segment: OnSegment, on_audio: OnAudio | None
) -> tuple[JobResult, list[FileTrack]]:
    """Separate from file to file; return the result and its tracks."""
    format, bits = FORMATS[request.format]
    saved = api.separate_file(
        request.path,
        folder,
        request.queries,
        preset=request.preset,
        device=request.device,
        start=request.start,
        duration=request.duration,
        format=format,
        bits=bits,
        on_step=on_step,
        on_segment=on_segment,
        on_audio=on_audio,
        **request.overrides,
    )
    manifest = without_folders(saved.manifest)
    write_json(manifest, folder / "run.json", force=True)
    roles = roles_of(request.queries).items()
    tracks = [FileTrack.of(name, role, path) for (name, role), path in zip(roles, saved.paths, strict=True)]
    return JobResult(folder, {}, manifest, saved.stopped, saved.note), tracks


def _separate_to_correct(
    request: JobRequest, folder: Path, metadata: Metadata, on_segment: OnSegment, on_audio: OnAudio
) -> tuple[JobResult, list[FileTrack]]:
    """Separate with a project, which corrects the result later on; return the result and its tracks."""
    project = open_project(
        request.path,
        preset=request.preset,
        device=request.device,
        start=request.start,
        duration=request.duration,
        **request.overrides,
    )
    separation = project.separate(request.queries, on_segment=on_segment, on_audio=on_audio)
    manifest = without_folders(separation.manifest)
    tracks, note = write_separation(separation, manifest, metadata, folder, request.format)
    result = JobResult(folder, {}, manifest, separation.stopped, note, metadata, project)
    return result, tracks


def _growing_tracks(
    queries: Sequence[str], block: Tensor, mixture: FileTrack, folder: Path
) -> list[GrowingTrack]:
    """Return empty tracks of the mixture's length for what `block` (tracks, channels, samples) begins."""
    return [
        GrowingTrack(name, role, folder / str(i), mixture.rate, block.shape[1], mixture.samples)
        for i, (name, role) in enumerate(roles_of(queries).items())
    ]


def _of_first_tagger(probabilities: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    return next(iter(probabilities.values()), {})
