"""Tracks with known sources; their audio files are decoded only when they are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import soundfile
import torch

from tagbox import audio
from tagbox.audio.files import Audio
from tagbox.audio.resampling import pad_or_trim
from tagbox.audio.validation import ENDINGS
from tagbox.errors import TagBoxError, UnreadableRecordingError


class Signal(Protocol):
    """Audio that is decoded when it is read."""

    def read(self, start: float = 0.0, duration: float | None = None) -> Audio:
        """Read `duration` seconds from `start` on (s), or everything."""
        ...


@dataclass(frozen=True)
class SummedFiles:
    """The sum of audio files: one source may have been recorded as several stems."""

    paths: tuple[Path, ...]

    def read(self, start: float = 0.0, duration: float | None = None) -> Audio:
        """Read `duration` seconds of the sum from `start` on (s), or everything.

        The result is as long as the longest file, and has no samples where all files end before `start`.

        Raises:
            TagBoxError: a file cannot be read, or the files differ in sample rate or channels.
        """
        parts = [_read_or_empty(path, start, duration) for path in self.paths]
        first = parts[0]
        for path, part in zip(self.paths, parts, strict=True):
            if (part.rate, part.channels) != (first.rate, first.channels):
                raise TagBoxError(
                    f"{path} has {part.channels} channels at {part.rate} Hz and {self.paths[0]} has "
                    f"{first.channels} at {first.rate}; stems of one track must agree"
                )
        samples = max(part.samples.shape[-1] for part in parts)
        stacked = torch.stack([pad_or_trim(part.samples, samples) for part in parts])
        return Audio(stacked.sum(dim=0), first.rate)


@dataclass(frozen=True)
class Track:
    """One recording and its sources.

    Attributes:
        name: unique within the split.
        split: the folder that the track lies in ("train", "test"), or "".
        rate: sample rate, Hz.
        seconds: length.
        mixture: the sum of all sources.
        sources: each source by the query that asks for it.
        left_out: stems that no query asks for, each with the reason.
    """

    name: str
    split: str
    rate: int
    seconds: float
    mixture: Signal
    sources: Mapping[str, Signal]
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """The tracks of a data set in the order of split and name, and what had to be skipped."""

    name: str
    layout: str
    tracks: tuple[Track, ...]
    skipped: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk.

    Attributes:
        name: as users write it.
        help: the layout in one line.
        matches: whether a folder has this layout.
        find_tracks: a folder to its tracks, and a line for each that had to be skipped.
    """

    name: str
    help: str
    matches: Callable[[Path], bool]
    find_tracks: Callable[[Path], tuple[list[Track], list[str]]]


def read_rate_and_seconds(path: Path) -> tuple[int, float]:
    """Read the sample rate (Hz) and the length (s) of an audio file from its header.

    Raises:
        UnreadableRecordingError: the file is no recording, or is damaged.
    """
    info = _read_header(path)
    return info.samplerate, info.frames / info.samplerate


def find_audio_file(folder: Path, name: str) -> Path | None:
    """Return the file in `folder` that is called `name` and has the ending of an audio format, or None."""
    return next((path for ending in ENDINGS if (path := folder / f"{name}{ending}").is_file()), None)


def _read_or_empty(path: Path, start: float, duration: float | None) -> Audio:
    """Read an excerpt, without samples where it begins after the end of the file: stems may end early."""
    info = _read_header(path)
    if 0 < info.frames <= round(start * info.samplerate):
        return Audio(torch.zeros(info.channels, 0), info.samplerate)
    return audio.read(path, start, duration)


def _read_header(path: Path) -> Any:
    try:
        return soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError) as error:
        raise UnreadableRecordingError(
            f"{path} is no recording that can be read; get a whole copy of it"
        ) from error
