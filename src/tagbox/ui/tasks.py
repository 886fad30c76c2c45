"""What the two tabs do with a recording, and what they hand back: files in a folder."""

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
from tagbox.errors import TagBoxError
from tagbox.methods.steering import OnStep
from tagbox.pipeline.streaming import OnSegment
from tagbox.presets import Settings
from tagbox.ui import spectrograms, suggestions
from tagbox.ui.limits import MOST_WORDS

FORMATS = {
    "FLAC, 24 bits": ("flac", "24"),
    "WAV, 16 bits": ("wav", "16"),
    "WAV, float": ("wav", "float"),
}
MIXTURE = "mixture"


@dataclass(frozen=True)
class Request:
    """A run as it is asked for: `overrides` are fields of `Settings`, and `format` a key of `FORMATS`."""

    path: Path
    words: tuple[str, ...]
    preset: str
    overrides: Mapping[str, Any] = field(default_factory=dict)
    device: str = "auto"
    start: float = 0.0
    duration: float | None = None
    format: str = "FLAC, 24 bits"

    def settings(self) -> Settings:
        """All settings, checked with the words before anything heavy begins.

        Raises:
            TagBoxError: a setting makes no sense, or a word is missing, unknown or one too many.
        """
        settings = presets.override(presets.find(self.preset).settings, **self.overrides)
        if not self.words:
            raise TagBoxError("no word is chosen; tap one that is heard, or type one")
        if len(self.words) > MOST_WORDS:
            raise TagBoxError(f"{len(self.words)} words are chosen; this page takes {MOST_WORDS} at the most")
        for word in self.words:
            suggestions.outputs(word, settings.taggers, settings.vocabulary)
        return settings


@dataclass(frozen=True)
class Track:
    """A recording to be heard: its name, its file, its picture, and what is heard in it."""

    name: str
    path: Path
    picture: Path
    heard: Mapping[str, float]


@dataclass(frozen=True)
class Outcome:
    """What a run left in `folder`; `stopped` is why its loop ended."""

    folder: Path
    tracks: tuple[Track, ...]
    manifest: Mapping[str, Any]
    stopped: str
    note: str | None = None


Task = Callable[[Request, Path, OnStep, OnSegment], Outcome]


def separate(request: Request, folder: Path, on_step: OnStep, on_segment: OnSegment) -> Outcome:
    """Take the words out of the recording, into `folder`.

    Raises:
        TagBoxError: as `tagbox.api.separate_file`.
    """
    format, bits = FORMATS[request.format]
    result = api.separate_file(
        request.path,
        folder,
        request.words,
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
    names = [MIXTURE, *request.words, "residual"]
    paths = [_mixture(request, folder), *result.paths]
    manifest = _without_paths(result.manifest)
    write_json(manifest, folder / "run.json", force=True)
    return _outcome(dict(zip(names, paths, strict=True)), folder, manifest, result.stopped, result.note)


def transfer(request: Request, folder: Path, on_step: OnStep, on_segment: OnSegment) -> Outcome:
    """Let the generator play the recording towards the words, into `folder`.

    Raises:
        TagBoxError: as `tagbox.api.transfer`.
    """
    format, bits = FORMATS[request.format]
    recording = audio.read(request.path, request.start, request.duration)
    about = {
        "file": request.path.name,
        "sha256": audio.fingerprint(request.path),
        "start": request.start,
        "duration": request.duration,
    }
    result = api.transfer(
        recording.samples,
        recording.rate,
        request.words,
        preset=request.preset,
        device=request.device,
        on_step=on_step,
        source=about,
        **request.overrides,
    )
    note = None
    if bits != "float" and peak(result.audio) > 1:
        format, bits, note = "wav", "float", "louder than integers hold: written as wav with float samples"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{file_name('+'.join(request.words))}.{format}"
    audio.write(path, result.audio, result.rate, cast(Bits, bits))
    manifest = _without_paths(result.manifest)
    write_json(manifest, folder / "run.json", force=True)
    tracks = {MIXTURE: _mixture(request, folder), "result": path}
    return _outcome(tracks, folder, manifest, result.history.stopped, note)


def _mixture(request: Request, folder: Path) -> Path:
    """The recording, or the excerpt of it that was asked for, in a format that every browser plays."""
    format, bits = FORMATS[request.format]
    recording = audio.read(request.path, request.start, request.duration)
    if bits != "float" and peak(recording.samples) > 1:
        format, bits = "wav", "float"
    path = folder / f"{MIXTURE}.{format}"
    audio.write(path, recording.samples, recording.rate, cast(Bits, bits))
    return path


def _without_paths(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with a generator's file by its name alone: where it lies is nobody's business."""
    settings = dict(manifest["settings"])
    settings["generator"] = Path(settings["generator"]).name
    return {**manifest, "settings": settings}


def _outcome(
    paths: Mapping[str, Path], folder: Path, manifest: Mapping[str, Any], stopped: str, note: str | None
) -> Outcome:
    pictures = spectrograms.save(paths, folder)
    heard = manifest["probabilities"]
    tracks = tuple(Track(name, path, pictures[name], _first(heard[name])) for name, path in paths.items())
    with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_STORED) as archive:
        for path in [*paths.values(), folder / "run.json"]:
            archive.write(path, path.name)
    return Outcome(folder, tracks, manifest, stopped, note)


def _first(heard: Mapping[str, Mapping[str, float]]) -> Mapping[str, float]:
    """What the first of the taggers heard."""
    return next(iter(heard.values()), {})


def as_text(manifest: Mapping[str, Any]) -> str:
    """The manifest as run.json says it."""
    return json.dumps(manifest, indent=2, ensure_ascii=False)


def fields_of(settings: Settings) -> dict[str, Any]:
    """The settings by name."""
    return dataclasses.asdict(settings)
