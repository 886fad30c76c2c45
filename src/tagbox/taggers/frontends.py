r"""Front ends: the spectrograms that the published networks take, from audio at 16 kHz.

All start from the power of an STFT with a periodic Hann window of 512 samples and a hop length of 256, which
a matrix of filters sums up in bands. `LogMel` and `HarmonicSpectrogram` reflect the audio at its ends and
return

.. math::  10 \log_{10} \max(B |X|^2, 10^{-10})

whose gradient is zero, not infinite, in silence. `PonsMel` returns :math:`\log_{10}(1 + 10^4 B |X|^2)`.

A front end is a frozen dataclass: equal front ends compute the same, so taggers can share the result.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from tagbox.errors import InvalidWeightsError
from tagbox.taggers.mel_filters import htk_hz, mel_filters, triangles

MIN_POWER = 1e-10
SILENCE_DB = 10 * math.log10(MIN_POWER)
"""The value of every band in silence, dB."""

CHECKPOINT_TOLERANCE = 1e-4
"""Published windows and mel matrices come from float32 arithmetic of several library versions."""

LOWEST_NOTE = 24
"""C1 as a MIDI note, where A4, which is 440 Hz, is 69."""


class BandFrontEnd(Protocol):
    """A front end with a matrix of filters; hashable, so that this is computed once."""

    def matrix(self) -> Tensor:
        """Compute the filters, (bands, bins)."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Waveform:
    """No front end: the network takes the samples themselves."""

    def __call__(self, audio: Tensor) -> Tensor:
        """Return (batch, samples) unchanged."""
        return audio


@dataclass(frozen=True)
class LogMel:
    """A log-mel spectrogram: triangles between points equally spaced on the HTK mel scale, not normalised.

    Attributes:
        bands: how many.
        rate: sample rate, Hz.
        fft: samples of the STFT's window.
        hop: hop length, samples.
    """

    bands: int
    rate: int = 16000
    fft: int = 512
    hop: int = 256

    def __call__(self, audio: Tensor) -> Tensor:
        """Transform (batch, samples) to (batch, bands, frames) in dB."""
        return self.from_power(power_spectrogram(audio, _hann(self.fft, audio.device), self.hop))

    def from_power(self, power: Tensor) -> Tensor:
        """Transform the power of an STFT (batch, bins, frames) to (batch, bands, frames) in dB."""
        return to_decibels(self.band_power(power))

    def band_power(self, power: Tensor) -> Tensor:
        """Sum the power of an STFT (..., bins, frames) in bands: (..., bands, frames)."""
        return filters_of(self, power.device) @ power

    def matrix(self) -> Tensor:
        """Compute the filters, (bands, bins)."""
        return htk_filters(self.bands, self.rate, self.fft)

    def stored_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return what published checkpoints store of this front end."""
        return {
            "spec.spectrogram.window": (self.fft,),
            "spec.mel_scale.fb": (self.fft // 2 + 1, self.bands),
        }

    def from_checkpoint(self, state: Mapping[str, Tensor]) -> "LogMel":
        """Return this front end, if it is the one that the checkpoint was trained with.

        Raises:
            InvalidWeightsError: the checkpoint has another window or mel matrix.
        """
        _check_stored("spec.spectrogram.window", state, torch.hann_window(self.fft, device="cpu"))
        _check_stored("spec.mel_scale.fb", state, self.matrix().T)
        return self


@dataclass(frozen=True)
class HarmonicSpectrogram:
    """Bands around notes and around their harmonics.

    From Won et al., "Data-driven harmonic filters for audio representation learning", ICASSP 2020. Around
    each centre f stands a triangle whose base is as wide as an auditory filter, ``(0.1079 f + 24.7) / q`` Hz;
    q was learnt. Centres are `per_semitone` a semitone from C1 (32.7 Hz) up to the note nearest to where the
    highest harmonic meets half the sample rate, and multiples of them.

    Attributes:
        q: the learnt sharpness of all filters.
        harmonics: how many, the fundamental included.
        per_semitone: centres in a semitone.
        rate: sample rate, Hz.
        fft: samples of the STFT's window.
        hop: hop length, samples.
    """

    q: float = 1.0
    harmonics: int = 6
    per_semitone: int = 2
    rate: int = 16000
    fft: int = 512
    hop: int = 256

    def __call__(self, audio: Tensor) -> Tensor:
        """Transform (batch, samples) to (batch, harmonics, bands, frames) in dB."""
        return self.from_power(power_spectrogram(audio, _hann(self.fft, audio.device), self.hop))

    def from_power(self, power: Tensor) -> Tensor:
        """Transform the power of an STFT (batch, bins, frames) to (batch, harmonics, bands, frames) in dB."""
        bands = filters_of(self, power.device) @ power
        return to_decibels(bands).reshape(len(power), self.harmonics, -1, power.shape[-1])

    def centres(self) -> Tensor:
        """Compute the centre frequencies in Hz, (harmonics, bands)."""
        highest = round(69 + 12 * math.log2(self.rate / 2 / self.harmonics / 440))
        bands = (highest - LOWEST_NOTE) * self.per_semitone
        notes = LOWEST_NOTE + torch.arange(bands, dtype=torch.float64, device="cpu") / self.per_semitone
        multiples = torch.arange(1, self.harmonics + 1, dtype=torch.float64, device="cpu")
        return torch.outer(multiples, 440 * 2 ** ((notes - 69) / 12)).float()

    def matrix(self) -> Tensor:
        """Compute the filters, (harmonics x bands, bins).

        Low triangles are narrower than a bin. Where one just misses a bin, rounding decides between nothing
        and 1e-7, which are 30 dB apart: the networks were trained with float32 and this order of operations.
        """
        centre = self.centres().reshape(-1, 1)
        width = (0.1079 * centre + 24.7) / torch.tensor(self.q, device="cpu")
        bins = torch.linspace(0, self.rate // 2, self.fft // 2 + 1, device="cpu")
        rising = bins * (2 / width) + 1 - 2 * centre / width
        falling = bins * (-2 / width) + 1 + 2 * centre / width
        return torch.minimum(rising, falling).clamp(min=0)

    def stored_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return what published checkpoints store of this front end."""
        return {"hstft.bw_Q": (1,), "hstft.spec.window": (self.fft,)}

    def from_checkpoint(self, state: Mapping[str, Tensor]) -> "HarmonicSpectrogram":
        """Return this front end with the sharpness that the checkpoint learnt.

        Raises:
            InvalidWeightsError: the checkpoint has another window, or its sharpness is not above zero.
        """
        _check_stored("hstft.spec.window", state, torch.hann_window(self.fft, device="cpu"))
        q = float(state["hstft.bw_Q"])
        if not (math.isfinite(q) and q > 0):
            raise InvalidWeightsError(
                f"this checkpoint's hstft.bw_Q is {q:g}, where a width is above zero; get it anew"
            )
        return replace(self, q=q)


@dataclass(frozen=True)
class PonsMel:
    """The compressed mel spectrogram of Pons's networks: filters of equal area on Slaney's mel scale.

    Slaney's Auditory Toolbox (1998) defines the scale and the filters' height; librosa made them customary.
    The scale is linear up to 1 kHz, and logarithmic above.

    Only frames that lie completely inside the audio are computed, 187 from 48128 samples. The published
    program computes the spectrogram of a whole recording, centred and reflected at its two ends, and cuts
    windows from it after that: except for the recording's very first and last frame, its windows and these
    are the same. Reflecting every window instead puts a kink at its edges, to which musicnn responds: on real
    recordings it moved single logits by more than 1.

    The published program rounds the mel spectrogram to 16-bit floats before the logarithm. Rounding has no
    gradient and is left out here; the documentation's page on Pons's networks says what it changes.

    Attributes:
        bands: how many.
        rate: sample rate, Hz.
        fft: samples of the STFT's window.
        hop: hop length, samples.
    """

    bands: int = 96
    rate: int = 16000
    fft: int = 512
    hop: int = 256

    def __call__(self, audio: Tensor) -> Tensor:
        """Transform (batch, samples) to (batch, bands, 1 + (samples - fft) // hop)."""
        window = _hann(self.fft, audio.device)
        power = power_spectrogram(audio, window, self.hop, center=False)
        return torch.log10(10000 * (filters_of(self, audio.device) @ power) + 1)

    def matrix(self) -> Tensor:
        """Compute the filters, (bands, bins)."""
        return slaney_filters(self.bands, self.rate, self.fft)


def power_spectrogram(audio: Tensor, window: Tensor, hop: int, center: bool = True) -> Tensor:
    """Compute the power of the STFT with `window`: (batch, samples) to (batch, bins, frames).

    Args:
        center: reflect the audio at its ends, so that frames are centred on multiples of `hop`.
    """
    spectrum = torch.stft(
        audio, len(window), hop, window=window, center=center, pad_mode="reflect", return_complex=True
    )
    return torch.view_as_real(spectrum).square().sum(dim=-1)


def to_decibels(power: Tensor) -> Tensor:
    """Compute 10 log10 of `power`, at least `SILENCE_DB`."""
    return 10 * torch.log10(power.clamp(min=MIN_POWER))


def htk_filters(bands: int, rate: int, fft: int) -> Tensor:
    """Compute triangles of height 1 on the HTK mel scale from 0 Hz to half the rate, (bands, bins).

    A frequency f in Hz is ``2595 log10(1 + f / 700)`` mel (O'Shaughnessy 1987, the HTK book). The published
    matrices come from float32, and so do these, unlike those of `mel_filters`.
    """
    top = 2595 * math.log10(1 + rate / 2 / 700)
    corners = htk_hz(torch.linspace(0, top, bands + 2, device="cpu"))
    return triangles(corners, torch.linspace(0, rate // 2, fft // 2 + 1, device="cpu"))


def slaney_filters(bands: int, rate: int, fft: int) -> Tensor:
    """Compute triangles of area 1 Hz on Slaney's mel scale from 0 Hz to half the rate, (bands, bins)."""
    return mel_filters(bands, rate, fft, 0.0, rate / 2, "slaney").float()


@lru_cache(maxsize=32)
def filters_of(frontend: BandFrontEnd, device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the filters of a front end, (bands, bins); they are computed once."""
    # Computed in inference mode, a cached tensor could never take part in a gradient.
    with torch.inference_mode(False):
        return frontend.matrix().to(device, dtype)


@lru_cache(maxsize=32)
def _hann(fft: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.hann_window(fft, device=device)


def _check_stored(key: str, state: Mapping[str, Tensor], computed: Tensor) -> None:
    """Refuse a checkpoint whose front end is not the one that is computed here."""
    difference = float((state[key].double().cpu() - computed.double()).abs().max())
    if not difference <= CHECKPOINT_TOLERANCE:
        raise InvalidWeightsError(
            f"this checkpoint's {key} differs from ours by {difference:.2g}: it was trained on another "
            "spectrogram; use the published file"
        )
