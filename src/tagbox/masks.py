r"""The published soft mask: what generated audio lets through of a mixture.

With X the mixture's STFT and G the generated audio's (Manilow et al. 2021, arXiv 2110.13071, Algorithm 1)

.. math::  M = |G| / (\max(|X|, |G|) + \epsilon), \qquad S = M X

so M is 1 where the generator is louder than the mixture and |G|/|X| elsewhere: a mask can only ever take
away, and the phase is the mixture's. The window is the square root of the periodic Hann window with half a
window's hop: its square overlaps to one, so analysis and synthesis together change nothing.
"""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

EPSILON = 1e-8


@lru_cache(maxsize=16)
def root_hann(n_fft: int, device: torch.device) -> Tensor:
    """The square root of the periodic Hann window, shape (n_fft,)."""
    return torch.hann_window(n_fft, periodic=True, dtype=torch.float64).sqrt().float().to(device)


def stft(audio: Tensor, n_fft: int) -> Tensor:
    """Complex STFT of `audio` (..., samples): (..., n_fft // 2 + 1, frames), centred, hop n_fft / 2."""
    flat = audio.reshape(-1, audio.shape[-1])
    window = root_hann(n_fft, audio.device)
    spectra = torch.stft(flat, n_fft, n_fft // 2, window=window, center=True, return_complex=True)
    return spectra.reshape(*audio.shape[:-1], *spectra.shape[-2:])


def istft(spectra: Tensor, n_fft: int, samples: int) -> Tensor:
    """The inverse of `stft`: (..., bins, frames) to (..., samples).

    At half a window's hop each hop is the second half of one frame and the first of the next, whose squared
    windows add up to one. Only what is left after the last whole hop lies under one window. `torch.istft`
    gives the same numbers, but waits for a GPU to look whether any window is zero.
    """
    window = root_hann(n_fft, spectra.device)
    frames = torch.fft.irfft(spectra, n=n_fft, dim=-2).transpose(-1, -2) * window
    whole, rest = overlapped(frames, samples)
    under = window[n_fft // 2 :][: rest.shape[-1]]
    return torch.cat([whole, rest / under.square()], dim=-1)[..., :samples]


def overlapped(frames: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Windowed `frames` (..., frames, n_fft), half a window apart, added from the first one's middle on.

    Returns:
        (..., samples) as far as two frames reach, and what only the last has of the rest of `samples`.
    """
    half = frames.shape[-1] // 2
    whole = (frames[..., :-1, half:] + frames[..., 1:, :half]).flatten(-2)
    left = max(0, samples - whole.shape[-1])
    return whole, frames[..., -1, half : half + left]


def soft_mask(mixture_magnitude: Tensor, generated_magnitude: Tensor) -> Tensor:
    """The mask in [0, 1] of two magnitude spectrograms of one shape."""
    return generated_magnitude / (torch.maximum(mixture_magnitude, generated_magnitude) + EPSILON)


@dataclass(frozen=True)
class MixtureSpectrum:
    """The mixture's side of the mask at one FFT size: computed once, used at every step."""

    n_fft: int
    spectrum: Tensor  # (..., bins, frames), complex
    magnitude: Tensor  # (..., bins, frames)
    samples: int

    @classmethod
    def of(cls, mixture: Tensor, n_fft: int) -> "MixtureSpectrum":
        """The spectrum of a mono `mixture` (..., samples)."""
        spectrum = stft(mixture, n_fft)
        return cls(n_fft, spectrum, spectrum.abs(), mixture.shape[-1])

    def mask(self, generated: Tensor) -> Tensor:
        """The soft mask (..., bins, frames) that `generated` (..., samples) makes; gradients reach it."""
        return soft_mask(self.magnitude, stft(generated, self.n_fft).abs())

    def masked(self, generated: Tensor) -> Tensor:
        """The mixture (..., samples) as `generated` (..., samples) lets it through."""
        return istft(self.mask(generated) * self.spectrum, self.n_fft, self.samples)


def apply_mask(mask: Tensor, channels: Tensor, n_fft: int) -> Tensor:
    """One `mask` (..., bins, frames) on every channel of `channels` (..., channels, samples)."""
    return istft(mask.unsqueeze(-3) * stft(channels, n_fft), n_fft, channels.shape[-1])
