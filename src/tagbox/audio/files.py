"""Read and write recordings: whatever libsndfile reads, written whole or not at all.

Audio is float32 of shape (channels, samples), full scale at -1 and 1. An n-bit integer k stands for
k / 2^(n-1) in both directions: a file that is read and written again with its own bit depth stays the same.
"""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import soundfile
import torch
from torch import Tensor

from tagbox.atomic_files import refuse_to_overwrite, write_atomically
from tagbox.audio.validation import regular_file
from tagbox.errors import TagBoxError

Bits = Literal["16", "24", "float"]
SUBTYPES = {"16": "PCM_16", "24": "PCM_24", "float": "FLOAT"}
SUFFIXES = (".wav", ".flac")
FORMATS = ("wav", "flac")


@dataclass(frozen=True, eq=False)
class Audio:
    """A recording or an excerpt of one: `samples` (channels, samples) float32, `rate` in Hz."""

    samples: Tensor
    rate: int

    @property
    def channels(self) -> int:
        return self.samples.shape[0]

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.samples.shape[1] / self.rate


def read(path: str | Path, start: float = 0.0, duration: float | None = None) -> Audio:
    """Read a recording, or `duration` seconds of it from `start` on (s); only what is asked for is decoded.

    An excerpt that would reach past the end of the recording ends there. Silence is a recording too.

    Raises:
        TagBoxError: there is no such file, it is no recording that libsndfile reads, it is empty or has
            values that are not finite, or the excerpt lies outside it.
    """
    with opened(path) as file:
        rate, frames = file.samplerate, file.frames
        first, count = excerpt(path, file, start, duration)
        try:
            if first:
                file.seek(first)
            values = file.read(count, dtype="float32", always_2d=True)
        except MemoryError as error:
            raise TagBoxError(
                f"{path} is too long for the memory here ({frames / rate / 3600:.1f} hours by its header); "
                "give an excerpt: --start and --duration"
            ) from error
        except (soundfile.SoundFileError, OSError) as error:
            raise damaged(path, error) from error
    if len(values) == 0:
        raise no_audio(path)
    samples = torch.from_numpy(np.ascontiguousarray(values.T, dtype=np.float32))
    if not bool(torch.isfinite(samples).all()):
        bad = int((~torch.isfinite(samples)).sum())
        raise TagBoxError(
            f"{path} has {bad} values that are not finite (NaN or infinity); export the recording again"
        )
    return Audio(samples, rate)


def opened(path: str | Path) -> soundfile.SoundFile:
    """A recording opened to be read.

    Raises:
        TagBoxError: there is no such file, or it is no recording that libsndfile reads.
    """
    path = regular_file(path)
    try:
        return soundfile.SoundFile(str(path))
    except (soundfile.SoundFileError, OSError, TypeError, ValueError) as error:
        # TypeError, ValueError: what soundfile says of headerless (.raw) files.
        raise TagBoxError(
            f"{path} is no recording that can be read ({_reason(error)}); give wav, flac, ogg, mp3 or aiff"
        ) from error


def excerpt(
    path: str | Path, file: soundfile.SoundFile, start: float, duration: float | None
) -> tuple[int, int]:
    """The first sample and the number of samples of `duration` seconds from `start` on (s).

    Raises:
        TagBoxError: the excerpt makes no sense or lies outside the recording.
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
    wanted = frames if duration is None else max(1, round(duration * rate))
    return first, max(0, min(wanted, frames - first))


def damaged(path: str | Path, error: Exception) -> TagBoxError:
    """What to say of a file that cannot be decoded to its end."""
    return TagBoxError(
        f"{path} is damaged or breaks off ({_reason(error)}); get a whole copy of the recording"
    )


def no_audio(path: str | Path) -> TagBoxError:
    """What to say of a file without samples."""
    return TagBoxError(f"{path} holds no audio: it has a header and no samples; give another recording")


def _reason(error: Exception) -> str:
    """libsndfile's own words without what soundfile puts around them."""
    words = str(getattr(error, "error_string", None) or error)
    return words.removeprefix("Error : ").rstrip(".")


def write(path: str | Path, samples: Tensor, rate: int, bits: Bits = "16", force: bool = False) -> None:
    """Write `samples` (channels, samples) or (samples,) as wav or flac, by the suffix of `path`.

    Nothing is clipped in silence: integers hold -1 to 1, and louder audio is refused. The file appears whole
    or not at all.

    Raises:
        TagBoxError: `path` exists and `force` is not given, its suffix or `bits` is unknown or they do not go
            together, or the audio is empty, not finite, or too loud for integers.
    """
    path = Path(path)
    refuse_to_overwrite(path, force)
    if path.suffix.lower() not in SUFFIXES:
        raise TagBoxError(f"{path}: the format follows the name's ending; end it in {' or '.join(SUFFIXES)}")
    if bits not in get_args(Bits):
        raise TagBoxError(f"there is no bit depth {bits!r}; choose 16, 24 or float")
    if bits == "float" and path.suffix.lower() == ".flac":
        raise TagBoxError("FLAC holds integers only; choose 16 or 24 bits, or write wav for float")
    values = samples.detach().to("cpu", torch.float64)
    values = values[None] if values.dim() == 1 else values
    if values.dim() != 2 or values.numel() == 0:
        raise TagBoxError(f"audio to write has the shape (channels, samples), not {tuple(samples.shape)}")
    if not bool(torch.isfinite(values).all()):
        raise TagBoxError(f"{path} was not written: the audio has values that are not finite numbers")
    with write_atomically(path, force) as beside:
        try:
            soundfile.write(str(beside), quantised(values, bits, path).T, rate, subtype=SUBTYPES[bits])
        except (soundfile.SoundFileError, ValueError) as error:
            raise TagBoxError(
                f"{path} cannot hold {values.shape[0]} channels at {rate} Hz ({_reason(error)}); try wav"
            ) from error


def quantised(values: Tensor, bits: Bits, path: Path) -> np.ndarray:
    """The numbers that libsndfile stores as they are: float32, int16, or 24 bits at the top of an int32."""
    if bits == "float":
        return np.asarray(values.to(torch.float32))
    peak = float(values.abs().max())
    if peak > 1:
        raise TagBoxError(
            f"{path} was not written: the audio peaks at {20 * math.log10(peak):+.1f} dB, and {bits}-bit "
            "integers end at 0 dB; choose float (--bits float, wav) or make it quieter"
        )
    depth = int(bits)
    # One is a step above the largest positive integer; that step is rounding, not clipping.
    steps = torch.round(values * 2 ** (depth - 1)).clamp(max=2 ** (depth - 1) - 1)
    if depth == 16:
        return np.asarray(steps.to(torch.int16))
    return np.asarray(steps.to(torch.int32) * 2 ** (32 - depth))


def fingerprint(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def default_bits(format: str) -> str:
    """Return the bit depth for a format: float where the format can, so that nothing can clip."""
    return "float" if format == "wav" else "24"


def file_name(tag: str) -> str:
    """Turn a tag into a file name: "female vocals" becomes "female-vocals"."""
    kept = "".join(letter if letter.isalnum() or letter in "+-_" else "-" for letter in tag.lower())
    return kept.strip("-") or "source"


def peak(track: Tensor) -> float:
    """Return the largest absolute sample."""
    return float(torch.amax(track.abs())) if track.numel() else 0.0
