"""Read and write recordings: whatever libsndfile reads, and wav or flac files that are written atomically.

Audio is float32 of shape (channels, samples), full scale at -1 and 1. An n-bit integer k stands for
k / 2^(n-1) in both directions: a file that is read and written again with its own bit depth stays the same.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import torch
from torch import Tensor

from tagbox.atomic_files import refuse_to_overwrite, write_atomically
from tagbox.audio.arrays import check_finite
from tagbox.audio.validation import require_regular_file
from tagbox.errors import TagBoxError, UnreadableRecordingError, UnwritableOutputError

Bits = Literal["16", "24", "float"]
SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}
"""libsndfile's name of each bit depth."""
FORMATS = ("wav", "flac")
"""The formats in which audio is written."""


@dataclass(frozen=True, eq=False)
class Audio:
    """A recording or an excerpt of one: `samples` (channels, samples) float32, `rate` in Hz."""

    samples: Tensor
    rate: int

    @property
    def channels(self) -> int:
        """Return the number of channels."""
        return self.samples.shape[0]

    @property
    def duration(self) -> float:
        """Return the length in seconds."""
        return self.samples.shape[1] / self.rate


def read(path: str | Path, start: float = 0.0, duration: float | None = None) -> Audio:
    """Read a recording, or an excerpt of it; only the excerpt is decoded.

    Args:
        path: any format that libsndfile reads; silence is a recording too.
        start: where the excerpt begins, s.
        duration: length of the excerpt, s, which the end of the recording may cut short; all unless given.

    Raises:
        UnreadableRecordingError: the file is missing, empty, damaged, of an unknown format, or has values
            that are not finite.
        TagBoxError: the excerpt lies outside the recording.
    """
    with open_recording(path) as file:
        rate, frames = file.samplerate, file.frames
        first, count = excerpt_range(path, file, start, duration)
        try:
            if first:
                file.seek(first)
            values = file.read(count, dtype="float32", always_2d=True)
        except MemoryError as error:
            raise UnreadableRecordingError(
                f"{path} is too long for the memory here ({frames / rate / 3600:.1f} hours by its header); "
                "give an excerpt: --start and --duration"
            ) from error
        except (soundfile.SoundFileError, OSError) as error:
            raise damaged_recording(path, error) from error
    if len(values) == 0:
        raise empty_recording(path)
    samples = torch.from_numpy(np.ascontiguousarray(values.T, dtype=np.float32))
    check_finite(samples, str(path))
    return Audio(samples, rate)


def open_recording(path: str | Path) -> soundfile.SoundFile:
    """Open a recording for reading.

    Raises:
        UnreadableRecordingError: the file is missing, or of a format that libsndfile does not read.
    """
    path = require_regular_file(path)
    try:
        return soundfile.SoundFile(str(path))
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        # soundfile raises TypeError or ValueError for headerless (.raw) files.
        raise UnreadableRecordingError(
            f"{path} is no recording that can be read ({_reason(error)}); give wav, flac, ogg, mp3 or aiff"
        ) from error


def excerpt_range(
    path: str | Path, file: soundfile.SoundFile, start: float, duration: float | None
) -> tuple[int, int]:
    """Convert an excerpt from seconds to its first sample and its number of samples.

    Args:
        path: of the recording, for messages.
        file: the open recording.
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
    rate, frames = file.samplerate, file.frames
    first = round(start * rate)
    if 0 < frames <= first:
        raise TagBoxError(
            f"{path} lasts {frames / rate:.2f} s, so no excerpt starts at {start:g} s; start earlier"
        )
    count = frames if duration is None else max(1, round(duration * rate))
    return first, max(0, min(count, frames - first))


def damaged_recording(path: str | Path, error: Exception) -> UnreadableRecordingError:
    """Return the error for a file that cannot be decoded to its end."""
    return UnreadableRecordingError(
        f"{path} is damaged or breaks off ({_reason(error)}); get a whole copy of the recording"
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


def write(path: str | Path, samples: Tensor, rate: int, bits: Bits = "16", force: bool = False) -> None:
    """Write `samples` as wav or flac, as the ending of `path` says; the file appears whole or not at all.

    Nothing is clipped silently: integers hold -1 to 1, and louder audio is refused.

    Args:
        path: where to write; ends in .wav or .flac.
        samples: (channels, samples) or (samples,).
        rate: Hz.
        bits: "16", "24" or "float" (wav only).
        force: replace a file that exists.

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
    with write_atomically(path, force) as temporary:
        try:
            soundfile.write(str(temporary), quantise(values, bits, path).T, rate, subtype=SUBTYPES[bits])
        except (soundfile.SoundFileError, ValueError) as error:
            raise UnwritableOutputError(
                f"{path} cannot hold {values.shape[0]} channels at {rate} Hz ({_reason(error)}); try wav"
            ) from error


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
