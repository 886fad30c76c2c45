"""The tracks of a song: read span by span while they grow, and from finished files afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from torch import Tensor

Role = Literal["recording", "source", "residual", "result"]
"""The recording itself; an estimate; what no estimate has; a recording that was re-synthesised."""

SAMPLE_BYTES = 4


class Track(Protocol):
    """One signal of a song. `ready` grows up to `samples`; what lies before it does not change any more."""

    @property
    def name(self) -> str:
        """Return "mixture", a query, "residual" or "result"."""
        ...

    @property
    def role(self) -> Role:
        """Return what it is to the recording."""
        ...

    @property
    def rate(self) -> int:
        """Return the sample rate, Hz."""
        ...

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        ...

    @property
    def samples(self) -> int:
        """Return the length, samples."""
        ...

    @property
    def ready(self) -> int:
        """Return how many samples can be read."""
        ...

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the samples of a span, (samples, channels), as far as they are ready."""
        ...


OnTracks = Callable[[Sequence[Track]], None]
"""Told what there is to hear, whenever tracks are added or replaced."""


@dataclass(frozen=True)
class FileTrack:
    """A finished track in a wav or flac file that TagBox wrote, whose decoders seek to the sample."""

    name: str
    role: Role
    path: Path
    rate: int
    channels: int
    samples: int

    @classmethod
    def of(cls, name: str, role: Role, path: Path) -> "FileTrack":
        """Return the track in the file at `path`."""
        info = soundfile.info(str(path))
        return cls(name, role, path, info.samplerate, info.channels, info.frames)

    @property
    def ready(self) -> int:
        """Return how many samples can be read: all."""
        return self.samples

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the samples of a span, (samples, channels)."""
        start, stop = _within(start, stop, self.samples)
        with soundfile.SoundFile(str(self.path)) as file:
            file.seek(start)
            values: NDArray[np.float32] = file.read(stop - start, dtype="float32", always_2d=True)
        return values


@dataclass
class GrowingTrack:
    """A track that is still computed, as raw float samples in a temporary file."""

    name: str
    role: Role
    path: Path
    rate: int
    channels: int
    samples: int
    ready: int = 0

    def add(self, block: Tensor) -> None:
        """Append `block` (channels, samples)."""
        values = np.ascontiguousarray(block.detach().to("cpu", torch.float32).numpy().T)
        with self.path.open("ab") as file:
            file.write(values.tobytes())
        self.ready += len(values)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the samples of a span, (samples, channels), as far as they are ready."""
        start, stop = _within(start, stop, self.ready)
        count, offset = (stop - start) * self.channels, start * self.channels * SAMPLE_BYTES
        if not count:
            return np.zeros((0, self.channels), np.float32)
        return np.fromfile(self.path, np.float32, count, offset=offset).reshape(-1, self.channels)


@dataclass(frozen=True, eq=False)
class MemoryTrack:
    """A track in memory, which is heard before it is in a file.

    Attributes:
        values: (channels, samples).
    """

    name: str
    role: Role
    values: Tensor
    rate: int

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        return self.values.shape[0]

    @property
    def samples(self) -> int:
        """Return the length, samples."""
        return self.values.shape[1]

    @property
    def ready(self) -> int:
        """Return how many samples can be read: all."""
        return self.samples

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Return the samples of a span, (samples, channels)."""
        start, stop = _within(start, stop, self.samples)
        return np.ascontiguousarray(self.values[:, start:stop].numpy().T)


def grow(tracks: Sequence[GrowingTrack], block: Tensor) -> None:
    """Append `block` (tracks, channels, samples) to the tracks."""
    for track, own in zip(tracks, block, strict=True):
        track.add(own)


def _within(start: int, stop: int, length: int) -> tuple[int, int]:
    start = max(0, min(start, length))
    return start, max(start, min(stop, length))
