"""Convert and check recordings that are given as arrays: shape, finite values, audible content."""

import math
from os import PathLike
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from tagbox.errors import TagBoxError, UnreadableRecordingError

MIN_TAGGABLE_PEAK = 1e-4
"""-80 dB. A quieter recording is dither at best, and taggers give confident names to noise."""
MIN_TAGGABLE_SECONDS = 0.1
"""A shorter recording is a click; taggers would repeat it and find a tone that is not in it."""
DIGITAL_SILENCE_PEAK = 1e-12
"""Below this a level in dB says nothing."""


LOUD_PEAK = 100.0
"""40 dB above full scale: numbers of another scale, more likely than music."""


def as_channels(audio: ArrayLike | Tensor) -> Tensor:
    """Convert `audio`, (samples,) or (channels, samples), to a float32 tensor (channels, samples) on the CPU.

    Integers are scaled by their type's range, as those in files are: int16 by 1 / 32768. Any float type, byte
    order and stride is taken.

    Raises:
        UnreadableRecordingError: the audio is empty, not finite, no array of real numbers, or of another
            shape.
    """
    x = _as_tensor(audio)
    x = x[None] if x.dim() == 1 else x
    if x.dim() == 2 and x.numel() == 0:
        raise UnreadableRecordingError("the recording is empty; give one with at least one sample")
    if x.dim() != 2:
        raise UnreadableRecordingError(
            f"the audio has the shape {tuple(x.shape)}; give (samples,) or (channels, samples)"
        )
    if x.shape[0] > x.shape[1]:
        raise UnreadableRecordingError(
            f"the audio has the shape {tuple(x.shape)}, more channels than samples; if it is "
            "(samples, channels), give its transpose"
        )
    check_finite(x, "the recording")
    return x


def _as_tensor(audio: ArrayLike | Tensor) -> Tensor:
    """Convert what people call audio to a float32 tensor, integers scaled to [-1, 1)."""
    if audio is None or isinstance(audio, str | bytes | PathLike):
        given = "nothing" if audio is None else f"the name of a file, {audio!r},"
        raise UnreadableRecordingError(
            f"{given} was given where samples belong; read a file with tagbox.audio.read(path), or separate "
            "it with tagbox.separate_file"
        )
    if isinstance(audio, Tensor):
        x = audio.detach().to("cpu")
        if x.is_complex() or x.dtype == torch.bool:
            raise _not_real(str(x.dtype))
        if not x.is_floating_point():
            return _scale(x.double(), torch.iinfo(x.dtype))
        # A copy where nothing is converted: tensors made in inference mode take part in no gradient.
        return x.to(torch.float32, copy=x.is_inference())
    try:
        values = np.asarray(audio)
    except ValueError as error:
        raise UnreadableRecordingError(
            "the channels differ in length; give an array (channels, samples)"
        ) from error
    if values.dtype.kind not in "iuf":
        raise _not_real(str(values.dtype))
    if values.dtype.kind in "iu":
        return _scale(torch.from_numpy(values.astype(np.float64)), np.iinfo(values.dtype))
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32).copy())


def _scale(values: Tensor, range_: Any) -> Tensor:
    """Scale integers of a type's range to [-1, 1); unsigned ones lie around half of it."""
    half = (int(range_.max) - int(range_.min) + 1) / 2
    return ((values - (int(range_.min) + half)) / half).float()


def _not_real(dtype: str) -> UnreadableRecordingError:
    return UnreadableRecordingError(
        f"the audio is an array of {dtype}; give real numbers, float32 within [-1, 1] or integers"
    )


def check_rate(rate: float) -> int:
    """Return a sample rate as a whole number of Hz.

    Raises:
        TagBoxError: it is no whole number above 0.
    """
    try:
        whole = int(rate)
        valid = whole == rate and whole >= 1
    except (TypeError, ValueError, OverflowError):
        valid = False
    if not valid:
        raise TagBoxError(f"the rate is {rate!r} Hz; give the recording's own, for example 44100")
    return whole


def level_note(peak: float) -> str | None:
    """Say in a line that a recording's `peak` is of another scale than 1, or 0; None where neither holds."""
    if peak > LOUD_PEAK:
        return (
            f"the recording peaks at {peak:.6g}, and full scale is 1: if these are integers, give them in an "
            "integer type, and they are scaled"
        )
    if peak == 0:
        return SILENCE_NOTE
    return None


MAX_PEAK = 1e12
"""Far above every integer of 32 bits, and far below where sums of squares overflow in float32."""

SILENCE_NOTE = "the recording is silent, and so are its sources and its residual"


def check_finite(samples: Tensor, subject: str) -> None:
    """Check that no value of `samples` is NaN, infinite, or so large that its power would be.

    Args:
        samples: of any shape.
        subject: what has the values, for the message.

    Raises:
        UnreadableRecordingError: a value is not finite, or above `MAX_PEAK`.
    """
    finite = torch.isfinite(samples)
    if not bool(finite.all()):
        raise UnreadableRecordingError(
            f"{subject} has {int((~finite).sum())} values that are not finite (NaN or infinity); "
            "export the recording again"
        )
    loudest = float(samples.abs().max()) if samples.numel() else 0.0
    if loudest > MAX_PEAK:
        raise UnreadableRecordingError(
            f"{subject} has values up to {loudest:.2g}, and full scale is 1: they are no sound; export the "
            "recording again"
        )


def check_audible(samples: Tensor, rate: int, subject: str = "the recording") -> None:
    """Check that a recording has something to tag.

    Taggers answer silence, a click and a constant with confident tags, so those are refused instead.

    Args:
        samples: (channels, samples).
        rate: Hz.
        subject: what has the samples, for the message.

    Raises:
        UnreadableRecordingError: the recording is too short, too quiet, constant, or not finite.
    """
    length = samples.shape[-1]
    if length / rate < MIN_TAGGABLE_SECONDS:
        raise UnreadableRecordingError(
            f"{subject} lasts {length / rate:.3g} s ({length} sample{'s' * (length != 1)}), "
            f"too short to tag; give {MIN_TAGGABLE_SECONDS:g} s or more"
        )
    check_finite(samples, subject)
    # A constant is silence, however large.
    swing = samples - samples.mean(dim=-1, keepdim=True)
    # The mean of huge values may overflow.
    check_finite(swing, subject)
    peak = float(swing.abs().max())
    if peak < MIN_TAGGABLE_PEAK:
        audible = peak > DIGITAL_SILENCE_PEAK
        level = f"peaks at {20 * math.log10(peak):.0f} dB" if audible else "nothing but zeros or a constant"
        raise UnreadableRecordingError(
            f"{subject} is silent ({level}), so there is nothing to tag; give another excerpt or recording"
        )
