"""Process a request of the page: separate or transfer a recording into a folder of files."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from torch import Tensor

from tagbox import api, audio, presets
from tagbox.atomic_files import write_json
from tagbox.audio.files import Bits, file_name, peak
from tagbox.audio.metadata import read_metadata
from tagbox.errors import TagBoxError
from tagbox.methods.steering import OnStep
from tagbox.pipeline.streaming import OnSegment
from tagbox.presets import Settings
from tagbox.ui import spectrograms, suggestions
from tagbox.ui.limits import MAX_QUERIES
from tagbox.ui.tracks import FileTrack, GrowingTrack, OnTracks, Role, grow
from tagbox.weights import hub

FORMATS = {
    "FLAC, 24 bits": ("flac", "24"),
    "WAV, 16 bits": ("wav", "16"),
    "WAV, float": ("wav", "float"),
}
MIXTURE = "mixture"


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
        for query in self.queries:
            suggestions.target_indices(query, settings.taggers, settings.vocabulary)
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
    """

    folder: Path
    tracks: Mapping[str, ResultTrack]
    manifest: Mapping[str, Any]
    stopped: str
    note: str | None = None


Process = Callable[[JobRequest, Path, OnTracks, OnStep, OnSegment], JobResult]
"""Do what is requested, write the files into a folder, and report tracks, steps and segments."""


def process_separation(
    request: JobRequest, folder: Path, on_tracks: OnTracks, on_step: OnStep, on_segment: OnSegment
) -> JobResult:
    """Separate the queries of a request from its recording, into `folder`.

    Raises:
        TagBoxError: as `tagbox.api.separate_file`.
    """
    format, bits = FORMATS[request.format]
    mixture = FileTrack.of(MIXTURE, "recording", _write_mixture(request, folder))
    roles: dict[str, Role] = {**dict.fromkeys(request.queries, "source"), "residual": "residual"}
    with TemporaryDirectory(dir=folder, prefix=".") as temporary:
        growing: list[GrowingTrack] = []

        def add(block: Tensor) -> None:
            if not growing:
                growing.extend(_growing_tracks(roles, block, mixture, Path(temporary)))
                on_tracks([mixture, *growing])
            grow(growing, block)

        on_tracks([mixture])
        result = api.separate_file(
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
            # The parts of a reconstruction have a sample rate of their own, and are heard at the end.
            on_audio=None if request.settings().mixture == "reconstruction" else add,
            **request.overrides,
        )
        finished = [
            FileTrack.of(name, role, path)
            for (name, role), path in zip(roles.items(), result.paths, strict=True)
        ]
        on_tracks([mixture, *finished])
    manifest = _without_folders(result.manifest)
    write_json(manifest, folder / "run.json", force=True)
    return _collect([mixture, *finished], folder, manifest, result.stopped, result.note)


def process_transfer(
    request: JobRequest, folder: Path, on_tracks: OnTracks, on_step: OnStep, on_segment: OnSegment
) -> JobResult:
    """Re-synthesise the recording of a request, steered towards its queries, into `folder`.

    Raises:
        TagBoxError: as `tagbox.api.transfer`.
    """
    format, bits = FORMATS[request.format]
    mixture = FileTrack.of(MIXTURE, "recording", _write_mixture(request, folder))
    on_tracks([mixture])
    recording = audio.read(request.path, request.start, request.duration)
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
        format, bits = "wav", "float"
        note = "Its peak is above full scale, where integers would clip: written as WAV with float samples."
    path = folder / f"{file_name('+'.join(request.queries))}.{format}"
    metadata = read_metadata(request.path).of_stem("+".join(request.queries))
    audio.write(path, result.audio, result.rate, cast(Bits, bits), metadata=metadata)
    manifest = _without_folders(result.manifest)
    write_json(manifest, folder / "run.json", force=True)
    tracks = [mixture, FileTrack.of("result", "result", path)]
    on_tracks(tracks)
    return _collect(tracks, folder, manifest, result.history.stopped, note)


def to_json(manifest: Mapping[str, Any]) -> str:
    """Return the manifest as text, as in run.json."""
    return json.dumps(manifest, indent=2, ensure_ascii=False)


def setting_values(settings: Settings) -> dict[str, Any]:
    """Return the values of all settings by field name."""
    return dataclasses.asdict(settings)


def _growing_tracks(
    roles: Mapping[str, Role], block: Tensor, mixture: FileTrack, folder: Path
) -> list[GrowingTrack]:
    """Return empty tracks of the mixture's length for what `block` (tracks, channels, samples) begins."""
    return [
        GrowingTrack(name, role, folder / str(i), mixture.rate, block.shape[1], mixture.samples)
        for i, (name, role) in enumerate(roles.items())
    ]


def _write_mixture(request: JobRequest, folder: Path) -> Path:
    """Write the requested excerpt of the recording, in the format and with the metadata of its stems."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    format, bits = FORMATS[request.format]
    recording = audio.read(request.path, request.start, request.duration)
    if bits != "float" and peak(recording.samples) > 1:
        format, bits = "wav", "float"
    path = folder / f"{MIXTURE}.{format}"
    metadata = read_metadata(request.path).of_stem(MIXTURE)
    audio.write(path, recording.samples, recording.rate, cast(Bits, bits), metadata=metadata)
    return path


def _without_folders(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest with the generator's file name in place of its path on the server."""
    settings = dict(manifest["settings"])
    if not hub.is_address(settings["generator"]):
        settings["generator"] = Path(settings["generator"]).name
    return {**manifest, "settings": settings}


def _collect(
    tracks: Sequence[FileTrack], folder: Path, manifest: Mapping[str, Any], stopped: str, note: str | None
) -> JobResult:
    """Draw the spectrograms of all tracks."""
    pictures = spectrograms.save_spectrograms({track.name: track.path for track in tracks}, folder)
    probabilities = manifest["probabilities"]
    shown = {
        track.name: ResultTrack(pictures[track.name], _of_first_tagger(probabilities[track.name]))
        for track in tracks
    }
    return JobResult(folder, shown, manifest, stopped, note)


def _of_first_tagger(probabilities: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    return next(iter(probabilities.values()), {})
