"""Process a request of the page: separate or transfer a recording into a folder of files."""

import dataclasses
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

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
    """One track of a result, with what the page shows of it.

    Attributes:
        name: "mixture", a query, "residual" or "result".
        path: of the audio file.
        picture: its spectrogram, a PNG.
        probabilities: of the tags that the first tagger predicts.
    """

    name: str
    path: Path
    picture: Path
    probabilities: Mapping[str, float]


@dataclass(frozen=True)
class JobResult:
    """What a job wrote into `folder`.

    Attributes:
        folder: of the tracks, run.json and all.zip.
        tracks: the mixture first.
        manifest: the content of run.json.
        stopped: why the last loop ended (see `tagbox.methods.steering.Stopped`).
        note: where the files are not of the format that was asked for, why.
    """

    folder: Path
    tracks: tuple[ResultTrack, ...]
    manifest: Mapping[str, Any]
    stopped: str
    note: str | None = None


Process = Callable[[JobRequest, Path, OnStep, OnSegment], JobResult]
"""Do what is requested, write the files into a folder, and report steps and segments."""


def process_separation(
    request: JobRequest, folder: Path, on_step: OnStep, on_segment: OnSegment
) -> JobResult:
    """Separate the queries of a request from its recording, into `folder`.

    Raises:
        TagBoxError: as `tagbox.api.separate_file`.
    """
    format, bits = FORMATS[request.format]
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
        **request.overrides,
    )
    names = [MIXTURE, *request.queries, "residual"]
    paths = [_write_mixture(request, folder), *result.paths]
    manifest = _without_folders(result.manifest)
    write_json(manifest, folder / "run.json", force=True)
    return _collect(dict(zip(names, paths, strict=True)), folder, manifest, result.stopped, result.note)


def process_transfer(request: JobRequest, folder: Path, on_step: OnStep, on_segment: OnSegment) -> JobResult:
    """Re-synthesise the recording of a request, steered towards its queries, into `folder`.

    Raises:
        TagBoxError: as `tagbox.api.transfer`.
    """
    format, bits = FORMATS[request.format]
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
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{file_name('+'.join(request.queries))}.{format}"
    metadata = read_metadata(request.path).of_stem("+".join(request.queries))
    audio.write(path, result.audio, result.rate, cast(Bits, bits), metadata=metadata)
    manifest = _without_folders(result.manifest)
    write_json(manifest, folder / "run.json", force=True)
    tracks = {MIXTURE: _write_mixture(request, folder), "result": path}
    return _collect(tracks, folder, manifest, result.history.stopped, note)


def to_json(manifest: Mapping[str, Any]) -> str:
    """Return the manifest as text, as in run.json."""
    return json.dumps(manifest, indent=2, ensure_ascii=False)


def setting_values(settings: Settings) -> dict[str, Any]:
    """Return the values of all settings by field name."""
    return dataclasses.asdict(settings)


def _write_mixture(request: JobRequest, folder: Path) -> Path:
    """Write the requested excerpt of the recording, in a format that every browser plays."""
    format, bits = FORMATS[request.format]
    recording = audio.read(request.path, request.start, request.duration)
    if bits != "float" and peak(recording.samples) > 1:
        format, bits = "wav", "float"
    path = folder / f"{MIXTURE}.{format}"
    audio.write(path, recording.samples, recording.rate, cast(Bits, bits))
    return path


def _without_folders(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the manifest with the generator's file name in place of its path on the server."""
    settings = dict(manifest["settings"])
    if not hub.is_address(settings["generator"]):
        settings["generator"] = Path(settings["generator"]).name
    return {**manifest, "settings": settings}


def _collect(
    paths: Mapping[str, Path], folder: Path, manifest: Mapping[str, Any], stopped: str, note: str | None
) -> JobResult:
    """Draw the spectrograms of all tracks and put everything into one archive."""
    pictures = spectrograms.save_spectrograms(paths, folder)
    probabilities = manifest["probabilities"]
    tracks = tuple(
        ResultTrack(name, path, pictures[name], _of_first_tagger(probabilities[name]))
        for name, path in paths.items()
    )
    with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in [*paths.values(), folder / "run.json"]:
            archive.write(path, path.name)
    return JobResult(folder, tracks, manifest, stopped, note)


def _of_first_tagger(probabilities: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    return next(iter(probabilities.values()), {})
