"""Read recordings of any format that can be decoded, and write wav or flac files whole or not at all.

Audio is float32 of shape (channels, samples), full scale at -1 and 1. An n-bit integer k stands for
k / 2^(n-1) in both directions: a file that is read and written again with its own bit depth stays the same.
"""

import math
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
import torch
from torch import Tensor

from tagbox.atomic_files import failed_write, refuse_to_overwrite, write_atomically
from tagbox.audio import mpeg
from tagbox.audio.arrays import check_finite
from tagbox.audio.decoders import BLOCK_SAMPLES, decode_away, open_decoder
from tagbox.audio.decoding import Decoder
from tagbox.audio.layouts import set_wave_mask
from tagbox.audio.metadata import Metadata, write_metadata
from tagbox.audio.validation import require_regular_file
from tagbox.audio.wave_chunks import clear_peak_time, data_bytes
from tagbox.errors import (
    FailedWriteError,
    OutOfMemoryError,
    TagBoxError,
    UnreadableRecordingError,
    UnwritableOutputError,
)

Bits = Literal["16", "24", "float"]
SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}
"""libsndfile's name of each bit depth."""
SAMPLE_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}
"""Of a sample in a WAVE file."""
FORMATS = ("wav", "flac")
"""The formats in which audio is written."""

PROMISE_TOLERANCE_SECONDS = 0.1
"""Headers that are off by less are no reason for a note."""

MIN_RATE_HZ = 1000
"""Telephones have 8000; below this there is no pitch to speak of, and files that say so are mistaken."""

SETTLED_SECONDS = 2.0
"""A file that was changed longer ago has another time of change once it is changed again."""

LIBSNDFILE_SYSTEM_ERROR = 2
"""libsndfile's code for what the operating system refused."""


@dataclass(frozen=True, eq=False)
class Audio:
    """A recording or an excerpt of one.

    Attributes:
        samples: (channels, samples) float32.
        rate: Hz.
        mask: of the channels' speakers, as WAVE_FORMAT_EXTENSIBLE has it, where the file names them.
        note: what was wrong with the file, in a line, where all that can be decoded is not all it promises.
    """

    samples: Tensor
    rate: int
    mask: int | None = None
    note: str | None = None

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        return self.samples.shape[0]

    @property
    def duration(self) -> float:
        """Return the length in seconds."""
        return self.samples.shape[1] / self.rate


@dataclass(frozen=True)
class RecordingInfo:
    """What a file holds, as its decoder says.

    Attributes:
        rate: Hz.
        channels: how many, in the order of WAVE files.
        samples: that can be decoded.
        mask: of the channels' speakers, as WAVE_FORMAT_EXTENSIBLE has it, where the file names them.
        note: what was wrong with the file, in a line; None where it keeps its promise.
    """

    rate: int
    channels: int
    samples: int
    mask: int | None
    note: str | None


def inspect(path: str | Path) -> RecordingInfo:
    """Measure the recording at `path`: decode it once, in bounded memory, where its header may be wrong.

    Raises:
        UnreadableRecordingError: the file is missing, empty, of an unknown format, or nothing in it can be
            decoded.
    """
    path = require_regular_file(path)
    state = path.stat()
    if time.time() - max(state.st_mtime, state.st_ctime) < SETTLED_SECONDS:
        return _measure(path)
    return _measure_once(path, (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns))


@lru_cache(maxsize=1024)
def _measure_once(path: Path, state: tuple[int, ...]) -> RecordingInfo:
    """Measure a recording unless it was measured in this state: excerpts of one file are read many times."""
    return _measure(path)


def _measure(path: Path) -> RecordingInfo:
    with closing(open_decoder(path)) as decoder:
        if decoder.is_exact and decoder.promised is not None:
            samples, damage = decoder.promised, None
        else:
            samples = decode_away(decoder)
            damage = decoder.damage
        if decoder.rate < MIN_RATE_HZ:
            raise UnreadableRecordingError(
                f"{path} has a sample rate of {decoder.rate} Hz, which holds no music; give a recording of "
                f"{MIN_RATE_HZ} Hz or more, or correct the header"
            )
        if samples == 0:
            raise damaged_recording(path, damage) if damage else empty_recording(path)
        note = _broken_promise(path, decoder, samples, damage)
        return RecordingInfo(decoder.rate, decoder.channels, samples, decoder.mask, note)


def _broken_promise(path: Path, decoder: Decoder, samples: int, damage: str | None) -> str | None:
    """Say in a line how what was decoded differs from what the header promises."""
    seconds = samples / decoder.rate
    if damage is not None:
        return f"{path.name} cannot be decoded to its end ({damage}); {seconds:.2f} s of it are used"
    if decoder.promised is None:
        return f"{path.name} does not say how long it is; it lasts {seconds:.2f} s"
    # Containers round their durations, and encoders fill up their last frame.
    if abs(samples - decoder.promised) <= PROMISE_TOLERANCE_SECONDS * decoder.rate:
        return None
    promised = decoder.promised / decoder.rate
    return f"{path.name} says that it lasts {promised:.2f} s; the {seconds:.2f} s that it holds are used"


def read(path: str | Path, start: float = 0.0, duration: float | None = None) -> Audio:
    """Read a recording, or an excerpt of it.

    Args:
        path: any format that libsndfile reads, or ffmpeg where it is installed; silence is a recording too.
        start: where the excerpt begins, s.
        duration: length of the excerpt, s, which the end of the recording may cut short; all unless given.

    Raises:
        UnreadableRecordingError: the file is missing, empty, of an unknown format, has values that are not
            finite, or nothing in it can be decoded.
        TagBoxError: the excerpt lies outside the recording.
        OutOfMemoryError: it is too long for the memory of this machine.
    """
    info = inspect(path)
    first, count = excerpt_range(path, info, start, duration)
    try:
        values = np.empty((count, info.channels), np.float32)
        with closing(open_decoder(Path(path))) as decoder:
            decoder.skip(first)
            position = 0
            while position < count:
                block = decoder.read(min(BLOCK_SAMPLES, count - position))
                if not len(block):
                    break
                values[position : position + len(block)] = block
                position += len(block)
        samples = torch.from_numpy(np.ascontiguousarray(values[:position].T))
    except MemoryError as error:
        raise OutOfMemoryError(
            f"{path} is too long for the memory here ({info.samples / info.rate / 3600:.1f} hours); "
            "give an excerpt: --start and --duration"
        ) from error
    check_finite(samples, str(path))
    return Audio(samples, info.rate, info.mask, info.note)


def excerpt_range(
    path: str | Path, info: RecordingInfo, start: float, duration: float | None
) -> tuple[int, int]:
    """Convert an excerpt from seconds to its first sample and its number of samples.

    Args:
        path: of the recording, for messages.
        info: of the recording.
        start: where the excerpt begins, s.
        duration: length of the excerpt, s, which the end of the recording may cut short; all unless given.

    Raises:
        TagBoxError: `start` or `duration` is negative or not finite, or the excerpt lies outside the
            recording.
    """
    if not (math.isfinite(start) and start >= 0):
        raise TagBoxError(f"an excerpt cannot start at {start:g} s; give 0 or a later moment")
    if duration is not None and not (math.isfinite(duration) and duration > 0):
        raise TagBoxError(f"an excerpt cannot last {duration:g} s; give a duration above 0")
    first = round(start * info.rate)
    if first >= info.samples:
        raise TagBoxError(
            f"{path} lasts {info.samples / info.rate:.2f} s, so no excerpt starts at {start:g} s; "
            "start earlier"
        )
    count = info.samples if duration is None else max(1, round(duration * info.rate))
    return first, min(count, info.samples - first)


def damaged_recording(path: str | Path, damage: str) -> UnreadableRecordingError:
    """Return the error for a file of which nothing can be decoded."""
    reason = damage.removeprefix("Error : ").rstrip(".")
    return UnreadableRecordingError(
        f"{path} is damaged, and nothing in it can be decoded ({reason}); get a whole copy of the recording"
    )


def empty_recording(path: str | Path) -> UnreadableRecordingError:
    """Return the error for a file without samples."""
    return UnreadableRecordingError(
        f"{path} holds no audio: it has a header and no samples; give another recording"
    )


def _reason(error: Exception) -> str:
    """Return libsndfile's own message, without the text that soundfile adds to it."""
    message = str(getattr(error, "error_string", None) or error)
    return message.removeprefix("Error : ").rstrip(".")


def write(
    path: str | Path,
    samples: Tensor,
    rate: int,
    bits: Bits = "16",
    force: bool = False,
    mask: int | None = None,
    metadata: Metadata | None = None,
) -> None:
    """Write `samples` as wav or flac, as the ending of `path` says; the file appears whole or not at all.

    Nothing is clipped silently: integers hold -1 to 1, and louder audio is refused.

    Args:
        path: where to write; ends in .wav or .flac.
        samples: (channels, samples) or (samples,).
        rate: Hz.
        bits: "16", "24" or "float" (wav only).
        force: replace a file that exists.
        mask: of the channels' speakers, which a wav file then names.
        metadata: title, artist and others, which the file then has.

    Raises:
        OutputExistsError: `path` exists and `force` is not given.
        UnwritableOutputError: the folder cannot be written, or the format cannot hold the audio: too loud for
            integers, too many channels, or an impossible sample rate.
        TagBoxError: the ending or `bits` is unknown, or the audio is empty or not finite.
    """
    path = Path(path)
    refuse_to_overwrite(path, force)
    format = path.suffix.lower().removeprefix(".")
    if format not in FORMATS:
        endings = " or ".join(f".{each}" for each in FORMATS)
        raise TagBoxError(f"{path}: the format follows the name's ending; end it in {endings}")
    check_bit_depth(format, bits)
    values = samples.detach().to("cpu", torch.float64)
    values = values[None] if values.dim() == 1 else values
    if values.dim() != 2 or values.numel() == 0:
        raise TagBoxError(f"audio to write has the shape (channels, samples), not {tuple(samples.shape)}")
    if not bool(torch.isfinite(values).all()):
        raise TagBoxError(f"{path} was not written: the audio has values that are not finite numbers")
    container = "FLAC" if format == "flac" else "WAVEX" if mask else "WAV"
    integers = np.ascontiguousarray(quantise(values, bits, path).T)
    with write_atomically(path, force) as temporary:
        with open_written(temporary, path, rate, values.shape[0], SUBTYPES[bits], container) as file:
            append_samples(file, integers, path)
        if mask and format == "wav":
            set_wave_mask(temporary, mask)
        if bits == "float":
            clear_peak_time(temporary)
        if metadata is not None:
            write_metadata(temporary, metadata)


@contextmanager
def open_written(
    temporary: Path, path: Path, rate: int, channels: int, subtype: str | None, format: str, **options: float
) -> Iterator[soundfile.SoundFile]:
    """Yield an audio file to be written, which is closed and checked if the block ends without an error.

    Args:
        temporary: where it is written.
        path: what is written, for messages.
        rate: Hz.
        channels: how many.
        subtype: libsndfile's name of the coding; the default of the format where it is None.
        format: libsndfile's name of it.
        options: others that `soundfile.SoundFile` takes.

    Raises:
        UnwritableOutputError: the format cannot hold audio of this kind.
        FailedWriteError: the disk is full, or fails.
    """
    try:
        file = soundfile.SoundFile(
            os.fsencode(temporary), "w", rate, channels, subtype, format=format, **options
        )
    except (soundfile.SoundFileError, ValueError) as error:
        if is_system_error(error):
            raise failed_audio_write(path, error) from error
        raise UnwritableOutputError(
            f"{path} cannot hold {channels} channels at {rate} Hz ({_reason(error)}); try wav"
        ) from error
    try:
        yield file
        close_written(file, path)
    finally:
        # What cannot be written any more belongs to a block that has failed already.
        with suppress(soundfile.SoundFileError):
            file.close()


def is_system_error(error: Exception) -> bool:
    """Return whether libsndfile failed because the operating system did."""
    return isinstance(error, soundfile.LibsndfileError) and error.code == LIBSNDFILE_SYSTEM_ERROR


def failed_audio_write(path: Path, error: Exception) -> UnwritableOutputError:
    """Return the error for a failed write of audio to `path`, a file or folder; libsndfile hides why."""
    if isinstance(error, OSError):
        return failed_write(path, error)
    return FailedWriteError(
        f"cannot write {path} ({_reason(error)}); the disk is full or fails: make room there"
    )


def append_samples(file: soundfile.SoundFile, samples: np.ndarray[Any, Any], path: Path) -> None:
    """Append `samples` (samples, channels) to an audio file.

    Args:
        file: open for writing.
        samples: of a type that libsndfile takes.
        path: what is written, for messages.

    Raises:
        FailedWriteError: the disk is full, or fails.
    """
    try:
        file.write(samples)
    except (soundfile.SoundFileError, OSError, AssertionError) as error:
        # soundfile asserts that all samples were taken.
        raise failed_audio_write(path, error) from error


def close_written(file: soundfile.SoundFile, path: Path) -> None:
    """Close a file that was written; check that it is on the disk, and as long as its header says.

    libsndfile reads a WAVE file whose header was never completed as if it were whole; other programs, and
    libsndfile itself once another chunk follows, find nothing in it. Of an MP3 file it believes the number of
    frames that its own tag promises, whether or not they are there.

    Args:
        file: of a name, not a file object.
        path: what is written, for messages.

    Raises:
        FailedWriteError: the disk is full, or fails.
    """
    written, name = file.frames, Path(os.fsdecode(file.name))
    width, is_mp3 = SAMPLE_BYTES.get(file.subtype, 0) * file.channels, file.format == "MP3"
    try:
        file.close()
        # libsndfile hides what the system says to its last writes, those of the header among them.
        with name.open("r+b") as written_file:
            os.fsync(written_file.fileno())
        found, promised = soundfile.info(os.fsencode(name)).frames, data_bytes(name)
        stream = mpeg.read_stream(name) if is_mp3 else None
    except (soundfile.SoundFileError, OSError) as error:
        raise failed_audio_write(path, error) from error
    has_samples = promised is None or promised == written * width
    has_frames = not is_mp3 or (stream is not None and stream.is_intact)
    if found != written or not has_samples or not has_frames:
        raise FailedWriteError(f"cannot write {path}: the disk fails; choose a folder on another one")


def quantise(values: Tensor, bits: Bits, path: Path) -> np.ndarray:
    """Round samples to numbers that libsndfile stores unchanged.

    Args:
        values: (channels, samples) float64.
        bits: "16", "24" or "float".
        path: what is written, for messages.

    Returns:
        int16, int32 with the 24 bits at the top, or float32.

    Raises:
        UnwritableOutputError: the samples are too loud for integers.
    """
    if bits == "float":
        return np.asarray(values.to(torch.float32))
    loudest = float(values.abs().max())
    if loudest > 1:
        raise UnwritableOutputError(
            f"{path} was not written: the audio peaks at {20 * math.log10(loudest):+.1f} dB, and {bits}-bit "
            "integers end at 0 dB; choose float (--bits float, wav) or make it quieter"
        )
    depth = int(bits)
    # One is a step above the largest positive integer; that step is rounding, not clipping.
    steps = torch.round(values * 2 ** (depth - 1)).clamp(max=2 ** (depth - 1) - 1)
    if depth == 16:
        return np.asarray(steps.to(torch.int16))
    return np.asarray(steps.to(torch.int32) * 2 ** (32 - depth))


def check_bit_depth(format: str, bits: str) -> None:
    """Check that `bits` is a bit depth that `format` ("wav" or "flac") can hold.

    Raises:
        TagBoxError: the bit depth is unknown.
        UnwritableOutputError: the format cannot hold it.
    """
    if bits not in SUBTYPES:
        raise TagBoxError(f"there is no bit depth {bits!r}; choose 16, 24 or float")
    if bits == "float" and format == "flac":
        raise UnwritableOutputError("FLAC holds integers only; choose 16 or 24 bits, or write wav for float")


def default_bits(format: str) -> str:
    """Return the default bit depth of a format: float where the format allows it, since float cannot clip."""
    return "float" if format == "wav" else "24"


def file_name(tag: str) -> str:
    """Turn a tag into a file name: "female vocals" becomes "female-vocals"."""
    kept = "".join(letter if letter.isalnum() or letter in "+-_" else "-" for letter in tag.lower())
    return kept.strip("-") or "source"


def peak(track: Tensor) -> float:
    """Return the largest absolute sample; 0 where there is none."""
    return float(torch.amax(track.abs())) if track.numel() else 0.0
