"""Write results as they are finished: into memory, or into files that appear whole or not at all."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import soundfile
import torch
from torch import Tensor

from tagbox.atomic_files import refuse_to_overwrite, write_json
from tagbox.audio.decoders import BLOCK_SAMPLES
from tagbox.audio.files import SUBTYPES, Bits, check_bit_depth, default_bits, file_name, peak, quantise
from tagbox.audio.layouts import set_wave_mask
from tagbox.audio.readers import FileReader
from tagbox.errors import TagBoxError, UnwritableOutputError

MAX_WAV_BYTES = 2**32 - 2**16
"""A wav file's header counts its bytes with 32 bits; larger files are RF64."""
MAX_FLAC_CHANNELS = 8


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

        Raises:
            UnwritableOutputError: the files cannot be opened.
        """
        self._folder, self._temporary, self._names = folder, temporary, tuple(names)
        self._format, self._bits, self._force, self._mask = format, bits, force, mask
        self._peaks = [0.0] * len(names)
        container = "RF64" if 4 * channels * samples > MAX_WAV_BYTES else "WAVEX" if mask else "WAV"
        try:
            self._files = [
                soundfile.SoundFile(self._float_path(name), "w", rate, channels, "FLOAT", format=container)
                for name in names
            ]
        except (soundfile.SoundFileError, OSError) as error:
            raise self._unwritable(error) from error

    def add(self, block: Tensor) -> None:
        """Append `block` (tracks, channels, samples).

        Raises:
            UnwritableOutputError: the disk is full.
        """
        for i, (file, track) in enumerate(zip(self._files, block, strict=True)):
            self._peaks[i] = max(self._peaks[i], peak(track))
            try:
                file.write(np.ascontiguousarray(track.T.numpy()))
            except (soundfile.SoundFileError, OSError) as error:
                raise self._unwritable(error) from error

    def finish(self, manifest: Mapping[str, Any]) -> tuple[list[Path], str | None]:
        """Convert the tracks to the format that was asked for, and write run.json beside them.

        Integers hold -1 to 1. Where a track is louder, nothing is clipped: all are written as float wav.

        Returns:
            the files, and a note where their format is not the one that was asked for.

        Raises:
            OutputExistsError: a file exists and `force` was not given.
        """
        self.close()
        format, bits, note = self._format, self._bits, None
        if bits != "float" and max(self._peaks) > 1:
            note = (
                f"a result peaks at {max(self._peaks):.2f}, which {format} at {bits} bits would clip: "
                "written as wav with float samples"
            )
            format, bits = "wav", "float"
        paths = [self._folder / f"{name}.{format}" for name in self._names]
        for path in [*paths, self._folder / "run.json"]:
            refuse_to_overwrite(path, self._force)
        try:
            finished = [self._convert(name, format, bits) for name in self._names]
        except (soundfile.SoundFileError, OSError) as error:
            raise self._unwritable(error) from error
        for temporary, path in zip(finished, paths, strict=True):
            temporary.replace(path)
        write_json(manifest, self._folder / "run.json", self._force)
        return paths, note

    def close(self) -> None:
        """Close the temporary files; closing twice does no harm."""
        for file in self._files:
            file.close()

    def _float_path(self, name: str) -> Path:
        return self._temporary / f"{name}.float.wav"

    def _convert(self, name: str, format: str, bits: str) -> Path:
        """Convert a track's temporary file; return the temporary file of that format."""
        source = self._float_path(name)
        target = source if bits == "float" else self._temporary / f"{name}.{format}"
        if target != source:
            _convert_to_integers(source, target, cast(Bits, bits), self._mask)
            source.unlink()
        if self._mask and format == "wav":
            set_wave_mask(target, self._mask)
        return target

    def _unwritable(self, error: Exception) -> UnwritableOutputError:
        return UnwritableOutputError(f"cannot write to {self._folder} ({error}); is the disk full?")


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

    Raises:
        UnwritableOutputError: the folder cannot be written.
    """
    missing = [parent for parent in [folder, *folder.parents] if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".tagbox-", dir=folder))
    except OSError as error:
        raise UnwritableOutputError(
            f"cannot write to {folder} ({error.strerror}); choose a folder that you can write"
        ) from error
    names = [*(file_name(tag) for tag in tags), "residual"]
    depth = bits or default_bits(format)
    try:
        writer = StemWriter(folder, temporary, names, rate, channels, samples, format, depth, force, mask)
        with closing(writer):
            yield writer
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        _remove_empty(missing)
        raise
    shutil.rmtree(temporary, ignore_errors=True)


def check_output(
    folder: Path, tags: Sequence[str], channels: int, format: str, bits: str | None, force: bool
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
    names = [f"{file_name(tag)}.{format}" for tag in [*tags, "residual"]] + ["run.json"]
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
    with soundfile.SoundFile(
        target, "w", reader.rate, reader.channels, SUBTYPES[bits], format=container
    ) as file:
        for block in reader.read_spans(blocks):
            file.write(quantise(block.double(), bits, target).T)


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove `folders`, innermost first, up to the first that is not empty."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
