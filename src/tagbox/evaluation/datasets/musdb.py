"""MUSDB18: `[train|test/]ARTIST - TITLE.stem.mp4`, read by stempeg; its HQ version: folders of wav files."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import torch

from tagbox.audio.files import Audio
from tagbox.errors import TagBoxError, UnreadableRecordingError
from tagbox.evaluation.datasets.stem_words import query_for_stem
from tagbox.evaluation.datasets.stems import find_stem_tracks, find_track_folders
from tagbox.evaluation.datasets.track import Layout, Track

STEM_FILE_ENDING = ".stem.mp4"
STREAM_INDICES = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}
"""The stream of each stem in a stem file; the mixture is stream 0."""


@dataclass(frozen=True)
class StemFileStream:
    """One of the streams in a stem file."""

    path: Path
    index: int

    def read(self, start: float = 0.0, duration: float | None = None) -> Audio:
        """Read `duration` seconds from `start` on (s), or everything.

        Raises:
            TagBoxError: the file cannot be decoded, or stempeg or ffmpeg is missing.
        """
        stempeg = _import_stempeg()
        try:
            values, rate = stempeg.read_stems(
                str(self.path), start=start or None, duration=duration, stem_id=self.index
            )
        except _decoding_errors() as error:
            raise UnreadableRecordingError(
                f"{self.path} cannot be decoded; get a whole copy of it"
            ) from error
        samples = torch.from_numpy(values).to(torch.float32).reshape(-1, values.shape[-1]).T.contiguous()
        if samples.numel() == 0:
            raise UnreadableRecordingError(f"{self.path} holds no audio from {start:g} s on; start earlier")
        return Audio(samples, int(rate))

    def measure_seconds(self) -> float:
        """Return the length that the stem file gives the stream (s).

        Raises:
            UnreadableRecordingError: the file cannot be read.
        """
        try:
            return float(_import_stempeg().Info(str(self.path)).duration(self.index))
        except _decoding_errors() as error:
            raise UnreadableRecordingError(f"{self.path} cannot be read; get a whole copy of it") from error


def is_musdb(root: Path) -> bool:
    """Return whether `root` has stem files, or folders of wav files as MUSDB18-HQ has them."""
    if next(_stem_files(root), None) is not None:
        return True
    first = next(find_track_folders(root), None)
    return first is not None and all((first[1] / f"{name}.wav").is_file() for name in STREAM_INDICES)


def find_musdb_tracks(root: Path) -> tuple[list[Track], list[str]]:
    """Return all tracks, and a line for each that had to be skipped."""
    files = list(_stem_files(root))
    if not files:
        return find_stem_tracks(root)
    tracks = []
    skipped = []
    for split, path in files:
        try:
            tracks.append(_read_track(path, split))
        except TagBoxError as error:
            skipped.append(f"{path.name}: {error}")
    return tracks, skipped


def _stem_files(root: Path) -> Iterator[tuple[str, Path]]:
    for split, folder in (("", root), ("train", root / "train"), ("test", root / "test")):
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.name.endswith(STEM_FILE_ENDING):
                    yield split, path


def _read_track(path: Path, split: str) -> Track:
    try:
        info = _import_stempeg().Info(str(path))
        rate = int(info.rate(0))
    except _decoding_errors() as error:
        raise UnreadableRecordingError(f"{path} cannot be read; get a whole copy of it") from error
    queries = {name: query_for_stem(name) for name in STREAM_INDICES}
    sources = {
        query: StemFileStream(path, STREAM_INDICES[name])
        for name, query in queries.items()
        if query is not None
    }
    left_out = tuple(
        f"{name}: no tagger has a word for it" for name, query in queries.items() if query is None
    )
    name = path.name.removesuffix(STEM_FILE_ENDING)
    return Track(name, split, rate, StemFileStream(path, 0), sources, left_out)


def _decoding_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that stempeg and its ffmpeg raise for files that they cannot decode."""
    import ffmpeg

    return (ffmpeg.Error, OSError, RuntimeError, ValueError, KeyError, IndexError)


@lru_cache(maxsize=1)
def _import_stempeg() -> ModuleType:
    try:
        import stempeg
    except ImportError as error:
        raise TagBoxError(
            "MUSDB18's .stem.mp4 files are read by stempeg; install it with: pip install 'tagbox[eval]'"
        ) from error
    except RuntimeError as error:
        raise TagBoxError(f"stempeg cannot be used ({error}); put ffmpeg on the PATH") from error
    module: ModuleType = stempeg
    return module


LAYOUT = Layout("musdb", "MUSDB18 (.stem.mp4) and MUSDB18-HQ (wav folders)", is_musdb, find_musdb_tracks)
