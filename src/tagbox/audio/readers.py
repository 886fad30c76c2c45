"""Read recordings span by span, front to back: from a file, or from memory.

Nothing is ever read backwards, and no position in a compressed stream is reached by seeking: decoders
of mp3 and ogg do not land on the sample that was asked for.
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
from tagbox.errors import TagBoxError

SEEKABLE_FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "CAF", "AU")
"""Formats in which seeking to a sample lands on that sample."""

Spans = Sequence[tuple[int, int]]
"""Spans as (from, to) in samples, each neither beginning nor ending before the one before."""


class Reader(Protocol):
    """A recording that is read span by span."""

    @property
    def rate(self) -> int:
        """Hz."""
        ...

    @property
    def channels(self) -> int: ...

    @property
    def samples(self) -> int: ...

    def read_spans(self, spans: Spans) -> Iterator[Tensor]:
        """Yield each of `spans` as (channels, samples) float32; shorter where the recording breaks off before.

        Raises:
            TagBoxError: the recording is damaged.
        """
        ...


@dataclass(frozen=True, eq=False)
class TensorReader:
    """A recording in memory: `values` (channels, samples) at `rate` Hz."""

    values: Tensor
    rate: int

    @property
    def channels(self) -> int:
        return self.values.shape[0]

    @property
    def samples(self) -> int:
        return self.values.shape[1]

    def read_spans(self, spans: Spans) -> Iterator[Tensor]:
        """Yield views of the values."""
        for first, last in spans:
            yield self.values[:, first:last]


@dataclass(frozen=True)
class FileReader:
    """A file, or `samples` samples of it from `offset` on."""

    path: Path
    rate: int
    channels: int
    samples: int
    offset: int = 0

    @classmethod
    def of(cls, path: str | Path, start: float = 0.0, duration: float | None = None) -> "FileReader":
        """Open `path`, or `duration` seconds of it from `start` on (s), by what its header says.

        Raises:
            TagBoxError: it cannot be read, or the excerpt lies outside it (see `tagbox.audio.read`).
        """
        with files.opened(path) as file:
            first, count = files.excerpt(path, file, start, duration)
            if count <= 0:
                raise files.no_audio(path)
            return cls(Path(path), file.samplerate, file.channels, count, first)

    def read_spans(self, spans: Spans) -> Iterator[Tensor]:
        """Decode each of `spans` as it is asked for; what two neighbours share is decoded once."""
        held = torch.zeros(self.channels, 0)
        at = 0
        with files.opened(self.path) as file:
            _skip(self.path, file, self.offset)
            for first, last in spans:
                known = at + held.shape[1]
                if first > known:
                    _skip(self.path, file, first - known)
                    held = held[:, :0]
                else:
                    held = held[:, first - at :]
                at = first
                missing = min(last, self.samples) - at - held.shape[1]
                if missing > 0:
                    held = torch.cat([held, _decode(self.path, file, missing)], dim=1)
                yield held[:, : last - first]


def _skip(path: Path, file: soundfile.SoundFile, samples: int) -> None:
    if file.format in SEEKABLE_FORMATS:
        file.seek(samples, soundfile.SEEK_CUR)
        return
    while samples > 0:
        some = _decode(path, file, min(samples, 1 << 18)).shape[1]
        if not some:
            return
        samples -= some


def _decode(path: Path, file: soundfile.SoundFile, samples: int) -> Tensor:
    """Decode the next `samples` samples, fewer at the end: (channels, samples)."""
    try:
        values = file.read(samples, dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, OSError) as error:
        raise files.damaged(path, error) from error
    decoded = torch.from_numpy(np.ascontiguousarray(values.T))
    if not bool(torch.isfinite(decoded).all()):
        bad = int((~torch.isfinite(decoded)).sum())
        raise TagBoxError(
            f"{path} has {bad} values that are not finite (NaN or infinity); export the recording again"
        )
    return decoded
