"""Read recordings span by span, front to back: from a file, or from memory.

Files are decoded forwards only, and a compressed stream is never sought in: the decoders of mp3 and ogg do
not land on the sample that was asked for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import soundfile
import torch
from torch import Tensor

from tagbox.audio import files
from tagbox.audio.arrays import check_finite

SEEKABLE_FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "CAF", "AU")
"""Formats in which seeking to a sample lands on that sample."""

BLOCK_SAMPLES = 1 << 18
"""Decoded at once where a file is passed through from end to end."""

Spans = Sequence[tuple[int, int]]
"""Spans as (start, stop) in samples; along the sequence neither starts nor stops decrease."""


class Reader(Protocol):
    """A recording that is read span by span."""

    @property
    def rate(self) -> int:
        """Return the sample rate in Hz."""
        ...

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        ...

    @property
    def samples(self) -> int:
        """Return the length in samples."""
        ...

    def read_spans(self, spans: Spans) -> Iterator[Tensor]:
        """Yield each of `spans` as (channels, samples) float32; shorter where the recording ends too early.

        Raises:
            UnreadableRecordingError: the recording is damaged or has values that are not finite.
        """
        ...


@dataclass(frozen=True, eq=False)
class TensorReader:
    """A recording in memory: `values` (channels, samples) at `rate` Hz."""

    values: Tensor
    rate: int

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        return self.values.shape[0]

    @property
    def samples(self) -> int:
        """Return the length in samples."""
        return self.values.shape[1]

    def read_spans(self, spans: Spans) -> Iterator[Tensor]:
        """Yield each of `spans` as a view of the values, (channels, samples)."""
        for start, stop in spans:
            yield self.values[:, start:stop]


@dataclass(frozen=True)
class FileReader:
    """A recording in a file, or an excerpt of one.

    Attributes:
        path: of the file.
        rate: Hz.
        channels: how many.
        samples: length of the excerpt.
        offset: samples of the file before the excerpt.
    """

    path: Path
    rate: int
    channels: int
    samples: int
    offset: int = 0

    @classmethod
    def of(cls, path: str | Path, start: float = 0.0, duration: float | None = None) -> "FileReader":
        """Make a reader of `duration` seconds of `path` from `start` seconds on, by what its header says.

        Raises:
            UnreadableRecordingError: the file is missing, empty, or of an unknown format.
            TagBoxError: the excerpt lies outside the recording.
        """
        with files.open_recording(path) as file:
            offset, samples = files.excerpt_range(path, file, start, duration)
            if samples <= 0:
                raise files.empty_recording(path)
            return cls(Path(path), file.samplerate, file.channels, samples, offset)

    def read_spans(self, spans: Spans) -> Iterator[Tensor]:
        """Decode and yield each of `spans`, (channels, samples); what neighbours share is decoded once.

        Raises:
            UnreadableRecordingError: the recording is damaged or has values that are not finite.
        """
        buffer = torch.zeros(self.channels, 0)
        buffer_start = 0
        with files.open_recording(self.path) as file:
            _skip(self.path, file, self.offset)
            for start, stop in spans:
                decoded = buffer_start + buffer.shape[1]
                if start > decoded:
                    _skip(self.path, file, start - decoded)
                    buffer = buffer[:, :0]
                else:
                    buffer = buffer[:, start - buffer_start :]
                buffer_start = start
                missing = min(stop, self.samples) - start - buffer.shape[1]
                if missing > 0:
                    buffer = torch.cat([buffer, _decode(self.path, file, missing)], dim=1)
                yield buffer[:, : stop - start]


def _skip(path: Path, file: soundfile.SoundFile, samples: int) -> None:
    """Move `file` forwards by `samples`: decode them where seeking is not exact."""
    if file.format in SEEKABLE_FORMATS:
        file.seek(samples, soundfile.SEEK_CUR)
        return
    while samples > 0:
        decoded = _decode(path, file, min(samples, BLOCK_SAMPLES)).shape[1]
        if not decoded:
            return
        samples -= decoded


def _decode(path: Path, file: soundfile.SoundFile, samples: int) -> Tensor:
    """Decode the next `samples` samples, fewer at the end of the file, as (channels, samples)."""
    try:
        values = file.read(samples, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise files.damaged_recording(path, error) from error
    decoded = torch.from_numpy(np.ascontiguousarray(values.T))
    check_finite(decoded, str(path))
    return decoded
