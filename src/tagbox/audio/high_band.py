r"""Restore the band above the working rate: return estimates to the recording's own sample rate.

Components are made at 44.1 kHz and a generator has a rate of its own, so nothing is decided above half of the
working rate. The recording's high band, :math:`h = x - \uparrow\downarrow x` (resampled to the working rate
and back), is neither discarded nor left to the residual. It is shared among the sources as the highest octave
below it is: in frame t source i gets :math:`g_i(t) h`, with

.. math::  g_i = \frac{\sum_f \mathrm{Re}\, S_i \bar X}{\sum_f |X|^2}

over that octave, where :math:`S_i` and X are the STFTs of the estimate and the mixture. Where there is a
mask, g is its mean weighted by energy. Between frames g is interpolated linearly. The sums also run over the
whole band with a weight of `WHOLE_BAND_WEIGHT`, which decides where the octave is empty. The shares of the
sources and of the residual add up to one, so the high band adds up to itself.
"""

import torch
from torch import Tensor

from tagbox.audio.resampling import pad_or_trim, resample
from tagbox.audio.stft import stft

ROLLOFF = 0.945
"""The resampler passes this share of the lower rate's band unattenuated."""
WHOLE_BAND_WEIGHT = 0.01
MIN_ENERGY = 1e-12
"""Added to a frame's energy before dividing by it."""


def restore_high_band(
    estimates: Tensor, working: Tensor, channels: Tensor, work_rate: int, rate: int, n_fft: int
) -> Tensor:
    """Resample estimates to the recording's rate and add their shares of its high band.

    Args:
        estimates: (sources, channels, samples) at `work_rate`.
        working: the mixture that was separated, (channels, samples) at `work_rate`.
        channels: the recording itself, (channels, samples) at `rate`.
        work_rate: the working rate, Hz.
        rate: the recording's rate, Hz.
        n_fft: window of the STFT from which the shares are computed, samples at `work_rate`.

    Returns:
        (sources, channels, samples) at `rate`, of the recording's length.
    """
    samples = channels.shape[-1]
    low_band = pad_or_trim(resample(estimates, work_rate, rate), samples)
    if rate == work_rate:
        return low_band
    high_band = channels - pad_or_trim(resample(working, work_rate, rate), samples)
    gains = top_octave_gains(estimates, working, work_rate, min(rate, work_rate), n_fft)
    frames = torch.arange(samples, dtype=torch.float64) * (work_rate / rate / (n_fft // 2))
    return low_band + interpolate(gains, frames)[:, None] * high_band


def top_octave_gains(estimates: Tensor, working: Tensor, rate: int, lower_rate: int, n_fft: int) -> Tensor:
    """Compute each estimate's share of the mixture in the highest octave that both rates carry.

    Args:
        estimates: (sources, channels, samples) at `rate`.
        working: the mixture, (channels, samples) at `rate`.
        rate: Hz.
        lower_rate: the lower of the two rates, Hz.
        n_fft: window of the STFT, samples.

    Returns:
        gains (sources, frames) from 0 to 1.
    """
    highest = ROLLOFF * lower_rate / 2
    hz = torch.arange(n_fft // 2 + 1, device=working.device) * (rate / n_fft)
    weight = WHOLE_BAND_WEIGHT + ((hz >= highest / 2) & (hz <= highest)).float()
    spectrum = stft(working, n_fft)
    energy = torch.einsum("cft,f->t", spectrum.abs().square(), weight)
    shared = [
        torch.einsum("cft,f->t", (stft(estimate, n_fft) * spectrum.conj()).real, weight)
        for estimate in estimates
    ]
    return (torch.stack(shared) / (energy + MIN_ENERGY)).clamp(0, 1)


def interpolate(values: Tensor, positions: Tensor) -> Tensor:
    """Interpolate `values` (..., frames) linearly at `positions` (n,), counted in frames: (..., n).

    Positions are float64 on the CPU: float32 cannot count an hour's samples, and not every device has
        float64.
    """
    positions = positions.clamp(max=values.shape[-1] - 1)
    before = positions.floor().long()
    share = (positions - before).to(values.device, values.dtype)
    after = (before + 1).clamp(max=values.shape[-1] - 1).to(values.device)
    before = before.to(values.device)
    return values[..., before] * (1 - share) + values[..., after] * share
