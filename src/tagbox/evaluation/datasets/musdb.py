"""MUSDB18: `[train|test/]ARTIST - TITLE.stem.mp4`, read by stempeg; its HQ version: folders of wav files."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType

import torch

from tagbox.audio.files import Audio
from tagbox.errors import TagBoxError
from tagbox.evaluation.datasets import stems
from tagbox.evaluation.datasets.registry import Layout, Track
from tagbox.evaluation.datasets.stem_words import word_for

ENDING = ".stem.mp4"
STREAMS = {"drums": 1, "bass": 2, "other": 3, "vocals": 4}
"""The mixture is stream 0."""
HQ = ("drums", "bass", "other", "vocals")


@dataclass(frozen=True)
class Stream:
    """One of the streams in a stem file."""

    path: Path
    index: int

    def read(self, start: float = 0.0, duration: float | None = None) -> Audio:
        """`duration` seconds from `start` on (s).

        Raises:
            TagBoxError: the file cannot be decoded, or stempeg or ffmpeg is missing.
        """
        stempeg = _stempeg()
        try:
            values, rate = stempeg.read_stems(
                str(self.path), start=start or None, duration=duration, stem_id=self.index
            )
        except _failures() as error:
            raise TagBoxError(f"{self.path} cannot be decoded; get a whole copy of it") from error
        samples = torch.from_numpy(values).to(torch.float32).reshape(-1, values.shape[-1]).T.contiguous()
        if samples.numel() == 0:
            raise TagBoxError(f"{self.path} holds no audio from {start:g} s on; start earlier")
        return Audio(samples, int(rate))


def recognises(root: Path) -> bool:
    """Whether there are stem files, or wav folders as MUSDB18-HQ has them."""
    if next(_stem_files(root), None) is not None:
        return True
    first = next(stems.track_folders(root), None)
    return first is not None and all((first[1] / f"{name}.wav").is_file() for name in HQ)


def find(root: Path) -> tuple[list[Track], list[str]]:
    """All tracks, and what was skipped."""
    files = list(_stem_files(root))
    if not files:
        return stems.find(root)
    tracks = []
    skipped = []
    for split, path in files:
        try:
            tracks.append(_track(path, split))
        except TagBoxError as error:
            skipped.append(f"{path.name}: {error}")
    return tracks, skipped


def _stem_files(root: Path) -> Iterator[tuple[str, Path]]:
    for split, folder in (("", root), ("train", root / "train"), ("test", root / "test")):
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.name.endswith(ENDING):
                    yield split, path


def _track(path: Path, split: str) -> Track:
    try:
        info = _stempeg().Info(str(path))
        rate, seconds = int(info.rate(0)), float(info.duration(0))
    except _failures() as error:
        raise TagBoxError(f"{path} cannot be read; get a whole copy of it") from error
    sources = {
        word: Stream(path, index) for name, index in STREAMS.items() if (word := word_for(name)) is not None
    }
    left = tuple(f"{name}: no tagger has a word for it" for name in STREAMS if word_for(name) is None)
    return Track(path.name.removesuffix(ENDING), split, rate, seconds, Stream(path, 0), sources, left)


def _failures() -> tuple[type[Exception], ...]:
    """What stempeg and its ffmpeg raise of files that they cannot read."""
    import ffmpeg

    return (ffmpeg.Error, OSError, RuntimeError, ValueError, KeyError, IndexError)


@lru_cache(maxsize=1)
def _stempeg() -> ModuleType:
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


LAYOUT = Layout("musdb", "MUSDB18 (.stem.mp4) and MUSDB18-HQ (wav folders)", recognises, find)
