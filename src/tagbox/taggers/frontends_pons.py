r"""What Pons's networks see: a mel spectrogram whose loudness is compressed as :math:`\log_{10}(1 + 10^4 x)`.

The mel scale and the height of the filters are those of Slaney's Auditory Toolbox (1998), which librosa made
the custom: linear up to 1 kHz, logarithmic above, every filter of the same area.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

# Slaney's scale: 3 mel in 200 Hz up to 1 kHz, above it 27 mel for each factor of 6.4.
HZ_PER_MEL = 200 / 3
BEND_HZ = 1000.0
BEND_MEL = BEND_HZ / HZ_PER_MEL
MEL_PER_LOG = 27 / math.log(6.4)


@dataclass(frozen=True)
class PonsMel:
    """Compressed mel spectrogram: triangles of equal area whose corners lie evenly on Slaney's mel scale.

    Only frames that lie wholly inside the audio are computed, 187 from 48128 samples. The published program
    makes the spectrogram of a whole recording, centred and mirrored at its two ends, and cuts windows from it
    after that: but for the recording's very first and last frame, its windows and these are the same.
    Mirroring every window instead puts a kink at its edges that musicnn hears: on real recordings it moved
    single logits by more than 1.

    The published program rounds the mel spectrogram to 16-bit floats before the logarithm. Rounding has no
    gradient and is left out here; docs/pons.md tells what it changes.

    Attributes:
        bands: how many.
        rate: Hz.
        fft: samples of the STFT's window.
        hop: samples between frames.
    """

    bands: int = 96
    rate: int = 16000
    fft: int = 512
    hop: int = 256

    def __call__(self, audio: Tensor) -> Tensor:
        """(batch, samples) to (batch, bands, 1 + (samples - fft) // hop)."""
        window, filters = _constants(self, audio.device)
        spectrum = torch.stft(audio, self.fft, self.hop, window=window, center=False, return_complex=True)
        power = torch.view_as_real(spectrum).square().sum(dim=-1)
        return torch.log10(10000 * (filters @ power) + 1)

    def matrix(self) -> Tensor:
        """The filters, (bands, bins)."""
        return slaney_filters(self.bands, self.rate, self.fft)


def slaney_filters(bands: int, rate: int, fft: int) -> Tensor:
    """Triangles of area 1 Hz on Slaney's mel scale from 0 Hz to half the rate, (bands, bins)."""
    top = BEND_MEL + MEL_PER_LOG * math.log(rate / 2 / BEND_HZ)
    mel = torch.linspace(0, top, bands + 2, dtype=torch.float64, device="cpu")
    points = torch.where(
        mel < BEND_MEL, mel * HZ_PER_MEL, BEND_HZ * torch.exp((mel - BEND_MEL) / MEL_PER_LOG)
    )
    bins = torch.linspace(0, rate / 2, fft // 2 + 1, dtype=torch.float64, device="cpu")
    low, centre, high = points[:-2, None], points[1:-1, None], points[2:, None]
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    height = 2 / (high - low)
    return (height * torch.minimum(rising, falling).clamp(min=0)).float()


@lru_cache(maxsize=32)
def _constants(frontend: PonsMel, device: torch.device) -> tuple[Tensor, Tensor]:
    """Window and filters on `device`."""
    # Made under inference_mode, a kept tensor could never again take part in a gradient.
    with torch.inference_mode(False):
        return torch.hann_window(frontend.fft, device=device), frontend.matrix().to(device)
