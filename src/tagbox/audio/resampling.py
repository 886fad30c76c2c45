"""Resample, mix down and fit lengths; differentiable where a gradient may pass."""

from fractions import Fraction
from functools import lru_cache

import torch
from julius.resample import ResampleFrac
from torch import Tensor
from torch.nn import functional

from tagbox.errors import TagBoxError

# julius keeps old x new numbers once the common factor is out: 44,101 to 16,000 Hz would take gigabytes.
LARGEST_DENOMINATOR = 1000


def resample(x: Tensor, old: int, new: int) -> Tensor:
    """Resample `x` (..., samples) from `old` to `new` Hz by windowed sinc, inside the graph.

    The result has ceil(samples new / old) samples. Rates without a common factor are brought to the nearest
    ratio of small numbers, off by less than one in a million.
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
        # julius counts in float32 and refuses the last sample where that rounds down; it extends what it
        # is given by the last value, so that more of that changes nothing.
        more = period.numerator + x.shape[-1] // 2**20
        x = torch.cat([x, x[..., -1:].expand(*x.shape[:-1], more)], dim=-1)
    y: Tensor = kernel(x, output_length=min(length, longest))
    return torch.nn.functional.pad(y, (0, length - y.shape[-1])) if y.shape[-1] < length else y


def ratio(old: int, new: int) -> Fraction:
    """What `resample` takes `old` / `new` Hz to be: so many samples become so many, over and over again."""
    exact = Fraction(old, new)
    return exact if exact.denominator <= LARGEST_DENOMINATOR else exact.limit_denominator(LARGEST_DENOMINATOR)


@lru_cache(maxsize=32)
def _resampler(old: int, new: int, device: str, dtype: torch.dtype) -> ResampleFrac:
    return ResampleFrac(old, new).to(device=device, dtype=dtype)


def to_mono(x: Tensor) -> Tensor:
    """The mean of the channels: (..., channels, samples) to (..., samples)."""
    return x.mean(dim=-2)


def pad_or_trim(audio: Tensor, samples: int) -> Tensor:
    """Cut `audio` (..., samples) or append silence to exactly `samples`: resampling rounds lengths."""
    return functional.pad(audio, (0, max(0, samples - audio.shape[-1])))[..., :samples]
