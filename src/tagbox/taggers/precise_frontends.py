"""Front ends of models whose own are programs in numpy: the same numbers, with a gradient to the audio.

They compute in float64, as numpy does. Bands at -100 dB beside bands at 0 dB differ by a tenth of a decibel
in float32. Where a device has no float64, they compute in float32.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from tagbox.taggers.frontends import filters_of, power_spectrogram, to_decibels
from tagbox.taggers.mel_filters import Scale, mel_filters


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
        bands = filters_of(self, precise.device, precise.dtype) @ power_spectrogram(precise, window, self.hop)
        return to_decibels(bands).transpose(1, 2)[:, None].to(audio.dtype)

    def matrix(self) -> Tensor:
        """Compute the filters, (bands, bins)."""
        return mel_filters(self.bands, self.rate, self.fft, self.low, self.high, self.scale)


@dataclass(frozen=True)
class KaldiMel:
    """The log-mel spectrogram of Kaldi, normalised, as the Audio Spectrogram Transformer takes it.

    Frames of 25 ms, every 10 ms, lie inside the audio; each loses its mean, is pre-emphasised and windowed.

    Attributes:
        bands: how many.
        rate: sample rate, Hz.
        frames: of the result: zeros follow where the audio is shorter, and what is longer is left out.
        mean: of the logarithms in the training data; subtracted.
        spread: by which they are divided then.
    """

    bands: int = 128
    rate: int = 16_000
    frames: int = 1024
    mean: float = -4.2677393
    spread: float = 2 * 4.5689974

    FRAME_SECONDS: ClassVar[float] = 0.025
    HOP_SECONDS: ClassVar[float] = 0.01
    FFT: ClassVar[int] = 512
    PREEMPHASIS: ClassVar[float] = 0.97
    LOW_HZ: ClassVar[float] = 20.0
    FLOOR: ClassVar[float] = 1.192092955078125e-07
    """Kaldi's: the spacing of 32-bit floats at one."""

    def __call__(self, audio: Tensor) -> Tensor:
        """Transform (batch, samples) to (batch, frames, bands)."""
        precise = precise_audio(audio)
        length, hop = round(self.FRAME_SECONDS * self.rate), round(self.HOP_SECONDS * self.rate)
        frames = functional.pad(precise, (0, max(0, length - audio.shape[1]))).unfold(1, length, hop)
        frames = frames - frames.mean(dim=-1, keepdim=True)
        # Kaldi has the sample before the first be equal to it.
        before = torch.cat([frames[..., :1], frames[..., :-1]], dim=-1)
        window = torch.hann_window(length, periodic=False, dtype=precise.dtype, device=precise.device)
        spectrum = torch.fft.rfft((frames - self.PREEMPHASIS * before) * window, n=self.FFT)
        power = torch.view_as_real(spectrum).square().sum(dim=-1)
        bands = power @ filters_of(self, precise.device, precise.dtype).T
        padded = pad_frames(torch.log(bands.clamp(min=self.FLOOR)), self.frames)
        return ((padded - self.mean) / self.spread).to(audio.dtype)

    def matrix(self) -> Tensor:
        """Compute the filters, (bands, bins)."""
        return mel_filters(self.bands, self.rate, self.FFT, self.LOW_HZ, self.rate / 2, "kaldi")


@dataclass(frozen=True)
class EmphasisedMel:
    """The log-mel spectrogram of EfficientAT: pre-emphasised, windows of 25 ms every 10 ms, Kaldi's bands.

    Attributes:
        bands: how many.
        rate: sample rate, Hz.
        fft: samples of the FFT.
        window: samples of its window, which is centred.
        hop: hop length, samples.
        high: where the bands end, Hz.
    """

    bands: int = 128
    rate: int = 32_000
    fft: int = 1024
    window: int = 800
    hop: int = 320
    high: float = 15_000.0

    PREEMPHASIS: ClassVar[float] = 0.97
    OFFSET: ClassVar[float] = 1e-5

    def __call__(self, audio: Tensor) -> Tensor:
        """Transform (batch, samples) to (batch, 1, bands, 1 + (samples - 1) // hop)."""
        precise = precise_audio(audio)
        emphasised = precise[:, 1:] - self.PREEMPHASIS * precise[:, :-1]
        window = torch.hann_window(self.window, periodic=False, dtype=precise.dtype, device=precise.device)
        around = (self.fft - self.window) // 2
        power = power_spectrogram(emphasised, functional.pad(window, (around, around)), self.hop)
        bands = filters_of(self, precise.device, precise.dtype) @ power
        # The published scaling: about from -1 to 1.
        return ((torch.log(bands + self.OFFSET) + 4.5) / 5)[:, None].to(audio.dtype)

    def matrix(self) -> Tensor:
        """Compute the filters, (bands, bins).

        The network learnt with those of float32, whose edges differ in the fourth decimal.
        """
        return mel_filters(self.bands, self.rate, self.fft, 0.0, self.high, "kaldi", torch.float32)


def precise_audio(audio: Tensor) -> Tensor:
    """Return `audio` in float64, where its device has that."""
    return audio if audio.device.type == "mps" else audio.double()


def pad_frames(spectrogram: Tensor, frames: int) -> Tensor:
    """Append zeros to a spectrogram (batch, frames, bands) up to `frames`, or leave out what is beyond."""
    return functional.pad(spectrogram, (0, 0, 0, max(0, frames - spectrogram.shape[1])))[:, :frames]
