"""Write results as they are finished: into memory, or into files that appear whole or not at all."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import soundfile
import torch
from torch import Tensor

from tagbox.atomic_files import as_json, failed_write, make_folder, move_together, refuse_to_overwrite
from tagbox.audio.decoders import BLOCK_SAMPLES
from tagbox.audio.files import (
    SUBTYPES,
    Bits,
    append_samples,
    check_bit_depth,
    close_written,
    default_bits,
    failed_audio_write,
    file_name,
    open_written,
    peak,
    quantise,
)
from tagbox.audio.layouts import set_wave_mask
from tagbox.audio.metadata import Metadata, write_metadata
from tagbox.audio.readers import FileReader
from tagbox.audio.wave_chunks import clear_peak_time
from tagbox.errors import TagBoxError, UnwritableOutputError
from tagbox.temporary_files import temporary_folder

MAX_WAV_BYTES = 2**32 - 2**16
"""A wav file's header counts its bytes with 32 bits; larger files are RF64."""
MAX_FLAC_CHANNELS = 8


OnAudio = Callable[[Tensor], None]
"""Told what is finished, front to back: (tracks, channels, samples), the residual last."""


class Writer(Protocol):
    """Tracks of one sample rate and length that are written block by block."""

    def add(self, block: Tensor) -> None:
        """Append `block` (tracks, channels, samples)."""
        ...


class TensorWriter:
    """Tracks in memory: `values` (tracks, channels, samples)."""

    def __init__(self, tracks: int, channels: int, samples: int) -> None:
        self.values = torch.empty(tracks, channels, samples)
        self._written = 0

    def add(self, block: Tensor) -> None:
        """Append `block` (tracks, channels, samples)."""
        self.values[..., self._written : self._written + block.shape[-1]] = block
        self._written += block.shape[-1]


@dataclass(frozen=True)
class OverheardWriter:
    """Passes each block on to another writer, and then tells it."""

    writer: Writer
    on_audio: OnAudio

    def add(self, block: Tensor) -> None:
        """Append `block` (tracks, channels, samples)."""
        self.writer.add(block)
        self.on_audio(block)


class StemWriter:
    """Tracks in temporary files, which take their final names in `finish`.

    The temporary files are float wav, because the peak is unknown until the last block.
    """

    def __init__(
        self,
        folder: Path,
        temporary: Path,
        names: Sequence[str],
        rate: int,
        channels: int,
        samples: int,
        format: str,
        bits: str,
        force: bool,
        mask: int | None = None,
        metadata: Sequence[Metadata] | None = None,
    ) -> None:
        """Open a temporary file for each track.

        Args:
            folder: where the results will appear.
            temporary: an empty folder on the same disk.
            names: of the tracks, without an ending.
            rate: Hz.
            channels: of each track.
            samples: of each track.
            format: "wav" or "flac".
            bits: "16", "24" or "float".
            force: replace files that exist.
            mask: of the channels' speakers, which wav files then name.
            metadata: of each track, if any.

        Raises:
            UnwritableOutputError: the files cannot be opened.
        """
        self._folder, self._temporary, self._names = folder, temporary, tuple(names)
        self._format, self._bits, self._force, self._mask = format, bits, force, mask
        self._metadata: Sequence[Metadata | None] = metadata or [None] * len(names)
        self._peaks = [0.0] * len(names)
        container = "RF64" if 4 * channels * samples > MAX_WAV_BYTES else "WAVEX" if mask else "WAV"
        try:
            self._files = [
                soundfile.SoundFile(
                    os.fsencode(self._float_path(name)), "w", rate, channels, "FLOAT", format=container
                )
                for name in names
            ]
        except (soundfile.SoundFileError, OSError) as error:
            raise failed_audio_write(folder, error) from error

    def add(self, block: Tensor) -> None:
        """Append `block` (tracks, channels, samples).

        Raises:
            FailedWriteError: the disk is full, or fails.
        """
        for i, (file, track) in enumerate(zip(self._files, block, strict=True)):
            self._peaks[i] = max(self._peaks[i], peak(track))
            append_samples(file, np.ascontiguousarray(track.T.numpy()), self._folder)

    def finish(self, manifest: Mapping[str, Any]) -> tuple[list[Path], str | None]:
        """Convert the tracks to the format that was asked for, and write run.json beside them.

        Integers hold -1 to 1. Where a track is louder, nothing is clipped: all are written as float wav.

        Returns:
            the files, and a note where their format is not the one that was asked for.

        Raises:
            OutputExistsError: a file exists and `force` was not given.
            FailedWriteError: the disk is full, or fails; no file has then changed.
        """
        for file in self._files:
            close_written(file, self._folder)
        format, bits, note = self._format, self._bits, None
        if bits != "float" and max(self._peaks) > 1:
            note = (
                f"a result peaks at {max(self._peaks):.2f}, which {format} at {bits} bits would clip: "
                "written as wav with float samples"
            )
            format, bits = "wav", "float"
        paths = [self._folder / f"{name}.{format}" for name in self._names]
        described = self._folder / "run.json"
        for path in [*paths, described]:
            refuse_to_overwrite(path, self._force)
        try:
            finished = [
                self._convert(name, format, bits, metadata)
                for name, metadata in zip(self._names, self._metadata, strict=True)
            ]
            text = self._temporary / described.name
            text.write_text(as_json({**manifest, "files": [path.name for path in paths]}), encoding="utf-8")
            move_together({**dict(zip(finished, paths, strict=True)), text: described}, described)
        except OSError as error:
            raise failed_write(self._folder, error) from error
        return paths, note

    def close(self) -> None:
        """Close the temporary files; closing twice does no harm."""
        for file in self._files:
            # What cannot be written any more belongs to a run that has failed already.
            with suppress(soundfile.SoundFileError):
                file.close()

    def _float_path(self, name: str) -> Path:
        return self._temporary / f"{name}.float.wav"

    def _convert(self, name: str, format: str, bits: str, metadata: Metadata | None) -> Path:
        """Convert a track's temporary file; return the temporary file of that format."""
        source = self._float_path(name)
        target = source if bits == "float" else self._temporary / f"{name}.{format}"
        if target != source:
            _convert_to_integers(source, target, cast(Bits, bits), self._mask)
            source.unlink()
        if self._mask and format == "wav":
            set_wave_mask(target, self._mask)
        if target == source:
            clear_peak_time(target)
        if metadata is not None:
            write_metadata(target, metadata)
        return target


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
    mask: int | None = None,
    residual: str = "residual",
    metadata: Metadata | None = None,
) -> Iterator[StemWriter]:
    """Yield a writer of a track for each of `tags` and of the residual; without `finish` no file stays.

    Args:
        folder: for the results; made where it is missing.
        tags: one a source.
        rate: Hz.
        channels: of each track.
        samples: of each track.
        format: "wav" or "flac".
        bits: "16", "24" or "float"; the default of the format unless given.
        force: replace files that exist.
        mask: of the channels' speakers, which wav files then name.
        residual: name of the last track.
        metadata: of the recording; each track's title names it, too.

    Raises:
        UnwritableOutputError: the folder cannot be written.
    """
    missing = [parent for parent in [folder, *folder.parents] if not parent.exists()]
    names = [*(file_name(tag) for tag in tags), file_name(residual)]
    depth = bits or default_bits(format)
    described = None if metadata is None else [metadata.of_stem(name) for name in [*tags, residual]]
    make_folder(folder)
    try:
        with (
            temporary_folder(folder) as temporary,
            closing(
                StemWriter(
                    folder, temporary, names, rate, channels, samples, format, depth, force, mask, described
                )
            ) as writer,
        ):
            yield writer
    except BaseException as error:
        _remove_empty(missing)
        if isinstance(error, OSError):
            raise failed_write(folder, error) from error
        raise


def check_output(
    folder: Path,
    tags: Sequence[str],
    channels: int,
    format: str,
    bits: str | None,
    force: bool,
    residual: str = "residual",
) -> None:
    """Check before the computation that its results can be written.

    Raises:
        OutputExistsError: a file exists and `force` is not given.
        UnwritableOutputError: the format cannot hold the bit depth or the channels.
        TagBoxError: the bit depth is unknown, or two tags would have the same file name.
    """
    if bits is not None:
        check_bit_depth(format, bits)
    if format == "flac" and channels > MAX_FLAC_CHANNELS:
        raise UnwritableOutputError(
            f"FLAC holds {MAX_FLAC_CHANNELS} channels at most, and there are {channels}; write wav"
        )
    names = [f"{file_name(tag)}.{format}" for tag in [*tags, residual]] + ["run.json"]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice and len(set(tags)) == len(tags):
        raise TagBoxError(f"two results would be called {twice[0]}; name tags that differ in their letters")
    for name in names:
        refuse_to_overwrite(folder / name, force)


def _convert_to_integers(source: Path, target: Path, bits: Bits, mask: int | None) -> None:
    """Convert a float recording to integers, rounded to the nearest, block by block."""
    reader = FileReader.of(source)
    blocks = [
        (start, min(reader.samples, start + BLOCK_SAMPLES))
        for start in range(0, reader.samples, BLOCK_SAMPLES)
    ]
    container = "FLAC" if target.suffix == ".flac" else "WAVEX" if mask else "WAV"
    place = target.parent.parent
    with open_written(target, place, reader.rate, reader.channels, SUBTYPES[bits], container) as file:
        for block in reader.read_spans(blocks):
            append_samples(file, quantise(block.double(), bits, target).T, place)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove `folders`, innermost first, up to the first that is not empty."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
