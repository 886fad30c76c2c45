"""Convert and check recordings that are given as arrays: shape, finite values, audible content."""

import math

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


def as_channels(audio: ArrayLike | Tensor) -> Tensor:
    """Convert `audio`, (samples,) or (channels, samples), to a float32 tensor (channels, samples) on the CPU.

    Raises:
        UnreadableRecordingError: the audio is empty, not finite, or of another shape.
    """
    x = torch.as_tensor(audio).detach().to("cpu", torch.float32)
    x = x[None] if x.dim() == 1 else x
    if x.dim() == 2 and x.numel() == 0:
        raise UnreadableRecordingError("the recording is empty; give one with at least one sample")
    if x.dim() != 2 or x.shape[0] > x.shape[1]:
        raise UnreadableRecordingError(
            f"the audio has the shape {tuple(x.shape)}; give (samples,) or (channels, samples)"
        )
    check_finite(x, "the recording")
    return x


def check_recording(audio: ArrayLike | Tensor, rate: int) -> Tensor:
    """Check a recording that is to be separated; return it as `as_channels` does.

    Raises:
        UnreadableRecordingError: the audio is empty, silent, not finite, or of another shape.
        TagBoxError: `rate` is below 1 Hz.
    """
    if rate < 1:
        raise TagBoxError(f"the rate is {rate} Hz; give the recording's own, for example 44100")
    channels = as_channels(audio)
    if not bool(channels.any()):
        raise UnreadableRecordingError("the recording is silent; there is nothing in it to separate")
    return channels


def check_finite(samples: Tensor, subject: str) -> None:
    """Check that no value of `samples` is NaN or infinite.

    Args:
        samples: of any shape.
        subject: what has the values, for the message.

    Raises:
        UnreadableRecordingError: a value is not finite.
    """
    finite = torch.isfinite(samples)
    if not bool(finite.all()):
        raise UnreadableRecordingError(
            f"{subject} has {int((~finite).sum())} values that are not finite (NaN or infinity); "
            "export the recording again"
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
