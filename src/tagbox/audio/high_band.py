r"""Back to the recording's own rate, with what the working rate cannot carry.

Components are made at 44.1 kHz and a generator plays at its own rate, so nothing is decided above half of it.
What a recording has beyond, :math:`h = x - \uparrow\downarrow x` (down to the working rate and up again), is
neither thrown away nor left to the residual in silence. It follows the rule: *what holds for the highest
octave that was reached holds for everything above*. In frame t source i gets :math:`g_i(t) h`, with

.. math::  g_i = \frac{\sum_f \mathrm{Re}\, S_i \bar X}{\sum_f |X|^2}

over that octave, which is the mean of the mask weighted by energy where there is a mask; between frames g is
interpolated. One hundredth of the sums is taken over the whole band, so that it decides where the octave is
empty. With the residual's share what is beyond adds up to itself again.
"""

import torch
from torch import Tensor

from tagbox.audio.resampling import pad_or_trim, resample
from tagbox.audio.stft import stft

ROLLOFF = 0.945
"""Of the resampler: the share of the lower rate's half that it carries in full."""
WHOLE_BAND = 0.01
SILENCE = 1e-12


def restore_high_band(
    estimates: Tensor, working: Tensor, channels: Tensor, work_rate: int, rate: int, n_fft: int
) -> Tensor:
    """Estimates at the recording's rate: (sources, channels, samples there).

    Args:
        estimates: (sources, channels, samples) at `work_rate`.
        working: what they were taken out of, (channels, samples) at `work_rate`.
        channels: the recording itself, (channels, samples) at `rate`.
        n_fft: of the frames in which the highest octave is looked at, samples at `work_rate`.
    """
    samples = channels.shape[-1]
    found = pad_or_trim(resample(estimates, work_rate, rate), samples)
    if rate == work_rate:
        return found
    beyond = channels - pad_or_trim(resample(working, work_rate, rate), samples)
    gains = top_octave_gains(estimates, working, work_rate, min(rate, work_rate), n_fft)
    places = torch.arange(samples, dtype=torch.float64) * (work_rate / rate / (n_fft // 2))
    return found + interpolate(gains, places)[:, None] * beyond


def top_octave_gains(estimates: Tensor, working: Tensor, rate: int, lower_rate: int, n_fft: int) -> Tensor:
    """Each estimate's share (sources, frames) of `working` in the highest octave that both rates carry."""
    highest = ROLLOFF * lower_rate / 2
    hz = torch.arange(n_fft // 2 + 1, device=working.device) * (rate / n_fft)
    weight = WHOLE_BAND + ((hz >= highest / 2) & (hz <= highest)).float()
    spectrum = stft(working, n_fft)
    energy = torch.einsum("cft,f->t", spectrum.abs().square(), weight)
    shared = [
        torch.einsum("cft,f->t", (stft(estimate, n_fft) * spectrum.conj()).real, weight)
        for estimate in estimates
    ]
    return (torch.stack(shared) / (energy + SILENCE)).clamp(0, 1)


def interpolate(values: Tensor, places: Tensor) -> Tensor:
    """`values` (..., frames) at `places` (n,), in frames, on straight lines: (..., n).

    Places are float64 on the CPU: an hour's are too many for float32, and not every device has more.
    """
    places = places.clamp(max=values.shape[-1] - 1)
    before = places.floor().long()
    share = (places - before).to(values.device, values.dtype)
    after = (before + 1).clamp(max=values.shape[-1] - 1).to(values.device)
    before = before.to(values.device)
    return values[..., before] * (1 - share) + values[..., after] * share
