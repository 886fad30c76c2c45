"""Front ends of models whose own are programs in numpy: the same numbers, with a gradient to the audio.

They compute in float64, as numpy does. Bands at -100 dB beside bands at 0 dB differ by a tenth of a decibel
in float32. Where a device has no float64, they compute in float32.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from tagbox.taggers.frontends import power_spectrogram, to_decibels
from tagbox.taggers.mel_filters import Scale, mel_filters


class MelFrontEnd(Protocol):
    """A front end with mel filters; hashable, so that these are computed once."""

    def filters(self) -> Tensor:
        """Compute the filters, (bands, bins), in float64."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class ClapMel:
    """The log-mel spectrogram of CLAP (Wu et al. 2023; see `tagbox.taggers.clap`).

    The library's own front end cuts a piece out of a longer recording at random. Here recordings are cut into
    windows before, so that nothing is random.

    Attributes:
        bands: how many.
        rate: sample rate, Hz.
        fft: samples of the STFT's window.
        hop: hop length, samples.
        low: where the bands begin, Hz.
        high: where they end, Hz.
        scale: of mel: "slaney", or "htk" for models that fuse several pieces of a recording.
    """

    bands: int = 64
    rate: int = 48_000
    fft: int = 1024
    hop: int = 480
    low: float = 50.0
    high: float = 14_000.0
    scale: Scale = "slaney"

    def __call__(self, audio: Tensor) -> Tensor:
        """Transform (batch, samples) to (batch, 1, 1 + samples // hop, bands) in dB."""
        precise = precise_audio(audio)
        window = torch.hann_window(self.fft, dtype=precise.dtype, device=precise.device)
        bands = _filters(self, precise.device, precise.dtype) @ power_spectrogram(precise, window, self.hop)
        return to_decibels(bands).transpose(1, 2)[:, None].to(audio.dtype)

    def filters(self) -> Tensor:
        """Compute the filters, (bands, bins)."""
        return mel_filters(self.bands, self.rate, self.fft, self.low, self.high, self.scale)


def precise_audio(audio: Tensor) -> Tensor:
    """Return `audio` in float64, where its device has that."""
    return audio if audio.device.type == "mps" else audio.double()


def pad_frames(spectrogram: Tensor, frames: int) -> Tensor:
    """Append zeros to a spectrogram (batch, frames, bands) up to `frames`, or leave out what is beyond."""
    return functional.pad(spectrogram, (0, 0, 0, max(0, frames - spectrogram.shape[1])))[:, :frames]


@lru_cache(maxsize=32)
def _filters(frontend: MelFrontEnd, device: torch.device, dtype: torch.dtype) -> Tensor:
    # Computed in inference mode, a cached tensor could never take part in a gradient.
    with torch.inference_mode(False):
        return frontend.filters().to(device, dtype)
