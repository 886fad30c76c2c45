"""Read recordings span by span, front to back: from a file, or from memory.

Files are decoded forwards only, and a compressed stream is never sought in: the decoders of mp3 and ogg do
not land on the sample that was asked for.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tagbox.audio import files
from tagbox.audio.arrays import check_finite
from tagbox.audio.decoders import open_decoder

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

    @property
    def mask(self) -> int | None:
        """Return the mask of the channels' speakers, where it is known."""
        ...

    @property
    def note(self) -> str | None:
        """Return what was wrong with the recording, in a line, if anything."""
        ...

    def read_spans(self, spans: Spans) -> Iterator[Tensor]:
        """Yield each of `spans` as (channels, samples) float32; shorter where the recording ends too early.

        Raises:
            UnreadableRecordingError: the recording is damaged or has values that are not finite.
        """
        ...


@dataclass(frozen=True, eq=False)
class TensorReader:
    """A recording in memory: `values` (channels, samples) at `rate` Hz.

    `mask` and `note` are those of `FileReader`.
    """

    values: Tensor
    rate: int
    mask: int | None = None
    note: str | None = None

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
        mask: of the channels' speakers, where the file names them.
        note: what was wrong with the file, in a line, if anything.
    """

    path: Path
    rate: int
    channels: int
    samples: int
    offset: int = 0
    mask: int | None = None
    note: str | None = None

    @classmethod
    def of(cls, path: str | Path, start: float = 0.0, duration: float | None = None) -> "FileReader":
        """Make a reader of `duration` seconds of `path` from `start` seconds on.

        Raises:
            UnreadableRecordingError: the file is missing, empty, or of an unknown format.
            TagBoxError: the excerpt lies outside the recording.
        """
        info = files.inspect(path)
        offset, samples = files.excerpt_range(path, info, start, duration)
        return cls(Path(path), info.rate, info.channels, samples, offset, info.mask, info.note)

    def read_spans(self, spans: Spans) -> Iterator[Tensor]:
        """Decode and yield each of `spans`, (channels, samples); what neighbours share is decoded once.

        Raises:
            UnreadableRecordingError: the recording has values that are not finite.
        """
        buffer = torch.zeros(self.channels, 0)
        buffer_start = 0
        with closing(open_decoder(self.path)) as decoder:
            decoder.skip(self.offset)
            for start, stop in spans:
                decoded = buffer_start + buffer.shape[1]
                if start > decoded:
                    decoder.skip(start - decoded)
                    buffer = buffer[:, :0]
                else:
                    buffer = buffer[:, start - buffer_start :]
                buffer_start = start
                missing = min(stop, self.samples) - start - buffer.shape[1]
                if missing > 0:
                    block = torch.from_numpy(np.ascontiguousarray(decoder.read(missing).T))
                    check_finite(block, str(self.path))
                    buffer = torch.cat([buffer, block], dim=1)
                yield buffer[:, : stop - start]
