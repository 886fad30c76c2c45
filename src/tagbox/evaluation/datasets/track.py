"""Tracks with known sources; their audio files are decoded only when they are read."""

import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from tagbox import audio
from tagbox.audio.decoders import FFMPEG_COMMAND, open_decoder
from tagbox.audio.files import Audio, inspect
from tagbox.audio.resampling import pad_or_trim
from tagbox.audio.validation import ENDINGS, FFMPEG_ENDINGS, require_regular_file
from tagbox.errors import TagBoxError


class Signal(Protocol):
    """Audio that is decoded when it is read."""

    def read(self, start: float = 0.0, duration: float | None = None) -> Audio:
        """Read `duration` seconds from `start` on (s), or everything."""
        ...

    def measure_seconds(self) -> float:
        """Measure the length (s), which may take decoding it."""
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
        notes = dict.fromkeys(part.note for part in parts if part.note is not None)
        return Audio(stacked.sum(dim=0), first.rate, note="; ".join(notes) or None)

    def measure_seconds(self) -> float:
        """Measure the length of the longest file (s).

        Raises:
            UnreadableRecordingError: a file cannot be decoded.
        """
        return max(info.samples / info.rate for info in map(inspect, self.paths))


@dataclass(frozen=True)
class Track:
    """One recording and its sources.

    Attributes:
        name: unique within the split.
        split: the folder that the track lies in ("train", "test"), or "".
        rate: sample rate, Hz.
        mixture: the sum of all sources.
        sources: each source by the query that asks for it.
        left_out: stems that no query asks for, each with the reason.
    """

    name: str
    split: str
    rate: int
    mixture: Signal
    sources: Mapping[str, Signal]
    left_out: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """The length of the mixture (s): what can be decoded, whatever its header says."""
        return self.mixture.measure_seconds()


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


def read_rate(path: Path) -> int:
    """Read the sample rate (Hz) of an audio file; nothing is decoded.

    Raises:
        UnreadableRecordingError: the file is no recording.
    """
    with closing(open_decoder(require_regular_file(path))) as decoder:
        return decoder.rate


def find_audio_file(folder: Path, name: str) -> Path | None:
    """Return the file in `folder` that is called `name` and has the ending of an audio format, or None."""
    endings = (*ENDINGS, *FFMPEG_ENDINGS) if shutil.which(FFMPEG_COMMAND) else ENDINGS
    return next((path for ending in endings if (path := folder / f"{name}{ending}").is_file()), None)


def _read_or_empty(path: Path, start: float, duration: float | None) -> Audio:
    """Read an excerpt, without samples where it begins after the end of the file: stems may end early."""
    info = inspect(path)
    if info.samples <= round(start * info.rate):
        return Audio(torch.zeros(info.channels, 0), info.rate, info.mask, info.note)
    return audio.read(path, start, duration)
