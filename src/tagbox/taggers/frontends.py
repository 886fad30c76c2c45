r"""What the published networks see: spectrograms in dB, from audio at 16 kHz.

All start from the power of an STFT with a periodic Hann window of 512 samples, hop 256, centred and reflected
at the ends. Bands of it are summed by a matrix, and the result is

.. math::  10 \log_{10} \max(B |X|^2, 10^{-10})

whose gradient is zero, not infinite, in silence. A front end is a frozen dataclass: two that are equal are
the same, so what one tagger has computed another can use.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from tagbox.errors import TagBoxError

FLOOR = 1e-10
SILENCE = 10 * math.log10(FLOOR)
"""dB, in every band."""
# Published windows and mel matrices come from float32 arithmetic of several library versions.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Waveform:
    """No front end: the network hears the samples themselves."""

    def __call__(self, audio: Tensor) -> Tensor:
        """(batch, samples) as it is."""
        return audio


@dataclass(frozen=True)
class LogMel:
    """Log-mel spectrogram: triangles between points equally spaced on the HTK mel scale, not normalised.

    Attributes:
        bands: how many.
        rate: Hz.
        fft: samples of the STFT's window.
        hop: samples between frames.
    """

    bands: int
    rate: int = 16000
    fft: int = 512
    hop: int = 256

    def __call__(self, audio: Tensor) -> Tensor:
        """(batch, samples) to (batch, bands, frames) in dB."""
        return self.bands_of(power(audio, _hann(self.fft, audio.device), self.hop))

    def bands_of(self, power: Tensor) -> Tensor:
        """Power of an STFT (batch, bins, frames) to (batch, bands, frames) in dB."""
        return decibels(self.summed(power))

    def summed(self, power: Tensor) -> Tensor:
        """Power of an STFT (..., bins, frames) to power in bands (..., bands, frames)."""
        return _filters(self, power.device) @ power

    def matrix(self) -> Tensor:
        """The filters, (bands, bins)."""
        return mel_filters(self.bands, self.rate, self.fft)

    def stored_shapes(self) -> dict[str, tuple[int, ...]]:
        """What published checkpoints store of this front end."""
        return {
            "spec.spectrogram.window": (self.fft,),
            "spec.mel_scale.fb": (self.fft // 2 + 1, self.bands),
        }

    def restored(self, state: Mapping[str, Tensor]) -> "LogMel":
        """This front end, if it is the one that the checkpoint was trained with.

        Raises:
            TagBoxError: the checkpoint's window or mel matrix is another.
        """
        _same("spec.spectrogram.window", state, torch.hann_window(self.fft, device="cpu"))
        _same("spec.mel_scale.fb", state, self.matrix().T)
        return self


@dataclass(frozen=True)
class HarmonicSpectrogram:
    """Bands around notes and around their harmonics.

    From Won et al., "Data-driven harmonic filters for audio representation learning", ICASSP 2020. Around
    each centre f stands a triangle whose base is as wide as an auditory filter, ``(0.1079 f + 24.7) / q`` Hz;
    q was learned. Centres are `per_semitone` a semitone from C1 (32.7 Hz) up to the note nearest to where the
    highest harmonic meets half the rate, and multiples of them.

    Attributes:
        q: the learned sharpness of all filters.
        harmonics: how many, the fundamental included.
        per_semitone: centres in a semitone.
        rate: Hz.
        fft: samples of the STFT's window.
        hop: samples between frames.
    """

    q: float = 1.0
    harmonics: int = 6
    per_semitone: int = 2
    rate: int = 16000
    fft: int = 512
    hop: int = 256

    def __call__(self, audio: Tensor) -> Tensor:
        """(batch, samples) to (batch, harmonics, bands, frames) in dB."""
        return self.bands_of(power(audio, _hann(self.fft, audio.device), self.hop))

    def bands_of(self, power: Tensor) -> Tensor:
        """Power of an STFT (batch, bins, frames) to (batch, harmonics, bands, frames) in dB."""
        bands = _filters(self, power.device) @ power
        return decibels(bands).reshape(len(power), self.harmonics, -1, power.shape[-1])

    def centres(self) -> Tensor:
        """Centre frequencies in Hz, (harmonics, bands)."""
        lowest = 24  # C1 as a MIDI note, on which A4 = 69 is 440 Hz
        highest = round(69 + 12 * math.log2(self.rate / 2 / self.harmonics / 440))
        bands = (highest - lowest) * self.per_semitone
        notes = lowest + torch.arange(bands, dtype=torch.float64, device="cpu") / self.per_semitone
        multiples = torch.arange(1, self.harmonics + 1, dtype=torch.float64, device="cpu")
        return torch.outer(multiples, 440 * 2 ** ((notes - 69) / 12)).float()

    def matrix(self) -> Tensor:
        """The filters, (harmonics x bands, bins).

        Low triangles are narrower than a bin. Where one just misses a bin, rounding decides between nothing
        and 1e-7, which are 30 dB apart: the networks learned with float32 and this order of operations.
        """
        centre = self.centres().reshape(-1, 1)
        width = (0.1079 * centre + 24.7) / torch.tensor(self.q, device="cpu")
        bins = torch.linspace(0, self.rate // 2, self.fft // 2 + 1, device="cpu")
        rising = bins * (2 / width) + 1 - 2 * centre / width
        falling = bins * (-2 / width) + 1 + 2 * centre / width
        return torch.minimum(rising, falling).clamp(min=0)

    def stored_shapes(self) -> dict[str, tuple[int, ...]]:
        """What published checkpoints store of this front end."""
        return {"hstft.bw_Q": (1,), "hstft.spec.window": (self.fft,)}

    def restored(self, state: Mapping[str, Tensor]) -> "HarmonicSpectrogram":
        """This front end with the sharpness that the checkpoint learned.

        Raises:
            TagBoxError: the checkpoint's window is another, or its sharpness is not above zero.
        """
        _same("hstft.spec.window", state, torch.hann_window(self.fft, device="cpu"))
        q = float(state["hstft.bw_Q"])
        if not (math.isfinite(q) and q > 0):
            raise TagBoxError(
                f"this checkpoint's hstft.bw_Q is {q:g}, where a width is above zero; get it anew"
            )
        return replace(self, q=q)


def power(audio: Tensor, window: Tensor, hop: int) -> Tensor:
    """Power of the STFT with `window`: (batch, samples) to (batch, bins, frames)."""
    fft = len(window)
    spectrum = torch.stft(
        audio, fft, hop, window=window, center=True, pad_mode="reflect", return_complex=True
    )
    return torch.view_as_real(spectrum).square().sum(dim=-1)


def decibels(power: Tensor) -> Tensor:
    """10 log10, from -100 dB up."""
    return 10 * torch.log10(power.clamp(min=FLOOR))


def mel_filters(bands: int, rate: int, fft: int) -> Tensor:
    """Triangles of height 1 on the HTK mel scale from 0 Hz to half the rate, (bands, bins).

    A frequency f in Hz is ``2595 log10(1 + f / 700)`` mel (O'Shaughnessy 1987, the HTK book).
    """
    top = 2595 * math.log10(1 + rate / 2 / 700)
    points = 700 * (10 ** (torch.linspace(0, top, bands + 2, device="cpu") / 2595) - 1)
    bins = torch.linspace(0, rate // 2, fft // 2 + 1, device="cpu")
    low, centre, high = points[:-2, None], points[1:-1, None], points[2:, None]
    rising = (bins - low) / (centre - low)
    falling = (high - bins) / (high - centre)
    return torch.minimum(rising, falling).clamp(min=0)


@lru_cache(maxsize=32)
def _filters(frontend: LogMel | HarmonicSpectrogram, device: torch.device) -> Tensor:
    # Made under inference_mode, a kept tensor could never again take part in a gradient.
    with torch.inference_mode(False):
        return frontend.matrix().to(device)


@lru_cache(maxsize=32)
def _hann(fft: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.hann_window(fft, device=device)


def _same(key: str, state: Mapping[str, Tensor], ours: Tensor) -> None:
    """Refuse a checkpoint whose front end is not the one that we compute."""
    difference = float((state[key].double().cpu() - ours.double()).abs().max())
    if not difference <= TOLERANCE:
        raise TagBoxError(
            f"this checkpoint's {key} differs from ours by {difference:.2g}: it was trained on another "
            "spectrogram; use the published file"
        )
