"""Where results go as they are finished: files that appear whole or not at all, or memory."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import soundfile
import torch
from torch import Tensor

from tagbox.atomic_files import refuse_to_overwrite, write_json
from tagbox.audio.files import SUBTYPES, Bits, default_bits, file_name, quantised
from tagbox.audio.readers import FileReader
from tagbox.errors import TagBoxError

BLOCK = 1 << 18
LARGEST_WAV = 2**32 - 2**16
FLAC_CHANNELS = 8


class Writer(Protocol):
    """Several signals of one rate and length that grow together."""

    def add(self, blocks: Tensor) -> None:
        """Append (tracks, channels, samples)."""
        ...


class TensorWriter:
    """Tracks in memory: `values` (tracks, channels, samples)."""

    def __init__(self, tracks: int, channels: int, samples: int) -> None:
        self.values = torch.empty(tracks, channels, samples)
        self._at = 0

    def add(self, blocks: Tensor) -> None:
        """Append (tracks, channels, samples)."""
        self.values[..., self._at : self._at + blocks.shape[-1]] = blocks
        self._at += blocks.shape[-1]


@dataclass
class StemWriter:
    """Tracks that are written beside the files which they become at the end.

    Attributes:
        folder: where the files will appear.
        names: of the tracks, without an ending.
        format: "wav" or "flac".
        bits: "16", "24" or "float".
        force: whether files that exist are replaced.
        peaks: of the tracks so far.
    """

    folder: Path
    names: Sequence[str]
    rate: int
    channels: int
    samples: int
    format: str
    bits: str
    force: bool
    beside: Path
    peaks: list[float] = field(default_factory=list)
    _open: list[soundfile.SoundFile] = field(default_factory=list)

    def begin(self) -> None:
        """Open the files that grow; float samples, since nobody knows yet how loud they will be."""
        large = 4 * self.channels * self.samples > LARGEST_WAV
        for name in self.names:
            path = self.beside / f"{name}.float.wav"
            self._open.append(
                soundfile.SoundFile(
                    path, "w", self.rate, self.channels, "FLOAT", format="RF64" if large else "WAV"
                )
            )
        self.peaks = [0.0] * len(self.names)

    def add(self, blocks: Tensor) -> None:
        """Append (tracks, channels, samples)."""
        for i, (file, block) in enumerate(zip(self._open, blocks, strict=True)):
            if block.shape[-1]:
                self.peaks[i] = max(self.peaks[i], float(block.abs().amax()))
            try:
                file.write(np.ascontiguousarray(block.T.numpy()))
            except (soundfile.SoundFileError, OSError) as error:
                raise TagBoxError(f"cannot write to {self.folder} ({error}); is the disk full?") from error

    def finish(self, manifest: Mapping[str, Any]) -> tuple[list[Path], str | None]:
        """Give the files their names and write run.json; say what had to be different from what was asked.

        Integers hold -1 to 1. Where a track is louder nothing is clipped: all are written as float wav.
        """
        self.close()
        format, bits, note = self.format, self.bits, None
        if bits != "float" and max(self.peaks) > 1:
            note = (
                f"a result peaks at {max(self.peaks):.2f}, which {format} at {bits} bits would clip: "
                "written as wav with float samples"
            )
            format, bits = "wav", "float"
        paths = [self.folder / f"{name}.{format}" for name in self.names]
        for path in [*paths, self.folder / "run.json"]:
            refuse_to_overwrite(path, self.force)
        ready = []
        for name in self.names:
            written = self.beside / f"{name}.float.wav"
            if bits != "float":
                whole = self.beside / f"{name}.{format}"
                _convert(written, whole, bits)
                written.unlink()
                written = whole
            ready.append(written)
        for written, path in zip(ready, paths, strict=True):
            written.replace(path)
        write_json(manifest, self.folder / "run.json", self.force)
        return paths, note

    def close(self) -> None:
        """Close what is open; closing twice does no harm."""
        for file in self._open:
            file.close()


@contextmanager
def open_stem_writer(
    folder: Path,
    tags: Sequence[str],
    rate: int,
    channels: int,
    samples: int,
    format: str,
    bits: str | None,
    force: bool,
) -> Iterator[StemWriter]:
    """Tracks for `tags` and the residual that become files in `folder`; without `finish` nothing stays.

    Raises:
        TagBoxError: the folder cannot be written.
    """
    made = next((parent for parent in [folder, *folder.parents][::-1] if not parent.exists()), None)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".tagbox-", dir=folder))
    except OSError as error:
        raise TagBoxError(
            f"cannot write to {folder} ({error.strerror}); choose a folder that you can write"
        ) from error
    names = [*(file_name(tag) for tag in tags), "residual"]
    depth = bits or default_bits(format)
    files = StemWriter(folder, names, rate, channels, samples, format, depth, force, beside)
    try:
        files.begin()
        yield files
    except BaseException:
        files.close()
        shutil.rmtree(beside, ignore_errors=True)
        if made is not None:
            _remove_empty(folder, made)
        raise
    shutil.rmtree(beside, ignore_errors=True)


def check_output(
    folder: Path, tags: Sequence[str], channels: int, format: str, bits: str | None, force: bool
) -> None:
    """Refuse before any work what would fail after all of it.

    Raises:
        TagBoxError: a file exists and `force` is not given, or the format cannot hold the result.
    """
    if bits not in (None, *SUBTYPES):
        raise TagBoxError(f"there is no bit depth {bits!r}; choose 16, 24 or float")
    if format == "flac" and bits == "float":
        raise TagBoxError("FLAC holds integers only; choose 16 or 24 bits, or write wav for float")
    if format == "flac" and channels > FLAC_CHANNELS:
        raise TagBoxError(f"FLAC holds {FLAC_CHANNELS} channels at most, and there are {channels}; write wav")
    names = [f"{file_name(tag)}.{format}" for tag in [*tags, "residual"]] + ["run.json"]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice and len(set(tags)) == len(tags):
        raise TagBoxError(f"two results would be called {twice[0]}; name tags that differ in their letters")
    for name in names:
        refuse_to_overwrite(folder / name, force)


def _convert(source: Path, target: Path, bits: str) -> None:
    """Write a float recording again as integers, a block at a time, rounded to the nearest."""
    reader = FileReader.of(source)
    blocks = [(at, min(reader.samples, at + BLOCK)) for at in range(0, reader.samples, BLOCK)]
    subtype = SUBTYPES[bits]
    with soundfile.SoundFile(target, "w", reader.rate, reader.channels, subtype) as file:
        for block in reader.read_spans(blocks):
            file.write(quantised(block.double(), cast(Bits, bits), target).T)


def _remove_empty(folder: Path, made: Path) -> None:
    """Take back folders that were made for nothing, from `folder` up to `made`."""
    while True:
        try:
            folder.rmdir()
        except OSError:
            return
        if folder == made:
            return
        folder = folder.parent
