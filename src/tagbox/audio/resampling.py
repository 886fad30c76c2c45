"""Resample, mix down to mono, and pad or trim to a length; all differentiable."""

from fractions import Fraction
from functools import lru_cache

import torch
from julius.resample import ResampleFrac
from torch import Tensor
from torch.nn import functional

from tagbox.errors import TagBoxError

MAX_DENOMINATOR = 1000
"""Of a ratio of sample rates: larger ones would need gigabytes of filters, 44,101:16,000 for example."""


def resample(x: Tensor, old: int, new: int) -> Tensor:
    """Resample `x` (..., samples) from `old` to `new` Hz with a windowed sinc filter.

    The result has ceil(samples new / old) samples. A ratio of rates that has a large denominator is replaced
    by the nearest one with a denominator up to `MAX_DENOMINATOR`, which differs by less than one in a
    million.

    Raises:
        TagBoxError: a rate is below 1 Hz.
    """
    if old < 1 or new < 1:
        raise TagBoxError(f"sample rates are positive whole numbers in Hz, not {old} and {new}")
    if old == new:
        return x
    length = -(-x.shape[-1] * new // old)
    period = ratio(old, new)
    kernel = _resampler(period.numerator, period.denominator, str(x.device), x.dtype)
    longest = -(-x.shape[-1] * period.denominator // period.numerator)
    if float(torch.tensor(period.denominator * x.shape[-1] / period.numerator).ceil()) < longest:
        # julius counts in float32 and refuses the last sample where that rounds down. It extends its input by
        # the last value, so appending that value changes nothing else.
        more = period.numerator + x.shape[-1] // 2**20
        x = torch.cat([x, x[..., -1:].expand(*x.shape[:-1], more)], dim=-1)
    y: Tensor = kernel(x, output_length=min(length, longest))
    return functional.pad(y, (0, length - y.shape[-1])) if y.shape[-1] < length else y


def ratio(old: int, new: int) -> Fraction:
    """Return the ratio `old` / `new` that `resample` uses: numerator samples become denominator samples."""
    exact = Fraction(old, new)
    return exact if exact.denominator <= MAX_DENOMINATOR else exact.limit_denominator(MAX_DENOMINATOR)


@lru_cache(maxsize=32)
def _resampler(old: int, new: int, device: str, dtype: torch.dtype) -> ResampleFrac:
    # Computed in inference mode, a cached kernel could never take part in a gradient.
    with torch.inference_mode(False):
        return ResampleFrac(old, new).to(device=device, dtype=dtype)


def to_mono(x: Tensor) -> Tensor:
    """Average the channels: (..., channels, samples) to (..., samples)."""
    return x.mean(dim=-2)


def pad_or_trim(audio: Tensor, samples: int) -> Tensor:
    """Cut `audio` (..., samples) or append silence to exactly `samples`: resampling rounds lengths."""
    return functional.pad(audio, (0, max(0, samples - audio.shape[-1])))[..., :samples]
