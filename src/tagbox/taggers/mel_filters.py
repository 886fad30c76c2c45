"""Mel filters in the usual conventions: three scales, triangles over hertz or mel, of height or area one.

HTK's scale is ``2595 log10(1 + f / 700)``, Kaldi's ``1127 ln(1 + f / 700)``, which differs by rounding only.
Slaney's is linear up to 1 kHz and logarithmic above (Auditory Toolbox, 1998).
"""

import math
from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

Scale = Literal["htk", "slaney", "kaldi"]

# Slaney's scale: 3 mel in 200 Hz up to 1 kHz, above it 27 mel for each factor of 6.4.
HZ_PER_MEL = 200 / 3
BEND_HZ = 1000.0
BEND_MEL = BEND_HZ / HZ_PER_MEL
MEL_PER_LOG_HZ = 27 / math.log(6.4)


def mel_filters(
    bands: int,
    rate: int,
    fft: int,
    low: float,
    high: float,
    scale: Scale,
    dtype: torch.dtype = torch.float64,
) -> Tensor:
    """Compute triangles between points equally spaced on a mel scale, (bands, bins).

    On Kaldi's scale triangles are straight over mel, as Kaldi has them; on the others over hertz. On Slaney's
    they have an area of 1 Hz, on the others a height of 1.

    Args:
        bands: how many.
        rate: sample rate, Hz.
        fft: samples of the STFT's window.
        low: where the first triangle begins, Hz.
        high: where the last one ends, Hz.
        scale: "htk", "slaney" or "kaldi".
        dtype: in which they are computed.
    """
    to_mel, to_hz = _SCALES[scale]
    first, last = to_mel(torch.tensor([low, high], dtype=torch.float64, device="cpu")).tolist()
    corners = first + torch.arange(bands + 2, dtype=dtype, device="cpu") * ((last - first) / (bands + 1))
    bins = torch.arange(fft // 2 + 1, dtype=dtype, device="cpu") * (rate / fft)
    if scale == "kaldi":
        return triangles(corners, to_mel(bins))
    corners = to_hz(corners)
    filters = triangles(corners, bins)
    return filters * (2 / (corners[2:, None] - corners[:-2, None])) if scale == "slaney" else filters


def triangles(corners: Tensor, bins: Tensor) -> Tensor:
    """Evaluate at `bins` triangles of height 1 between every three successive `corners`."""
    low, centre, high = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    return torch.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)).clamp(min=0)


def _htk_mel(hz: Tensor) -> Tensor:
    return 2595 * torch.log10(1 + hz / 700)


def htk_hz(mel: Tensor) -> Tensor:
    """Convert mel of HTK's scale to Hz."""
    return 700 * (10 ** (mel / 2595) - 1)


def _kaldi_mel(hz: Tensor) -> Tensor:
    return 1127 * torch.log(1 + hz / 700)


def _kaldi_hz(mel: Tensor) -> Tensor:
    return 700 * torch.expm1(mel / 1127)


def _slaney_mel(hz: Tensor) -> Tensor:
    bent = BEND_MEL + MEL_PER_LOG_HZ * torch.log(hz.clamp(min=BEND_HZ) / BEND_HZ)
    return torch.where(hz < BEND_HZ, hz / HZ_PER_MEL, bent)


def _slaney_hz(mel: Tensor) -> Tensor:
    bent = BEND_HZ * torch.exp((mel - BEND_MEL) / MEL_PER_LOG_HZ)
    return torch.where(mel < BEND_MEL, mel * HZ_PER_MEL, bent)


_SCALES: dict[Scale, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "htk": (_htk_mel, htk_hz),
    "slaney": (_slaney_mel, _slaney_hz),
    "kaldi": (_kaldi_mel, _kaldi_hz),
}
