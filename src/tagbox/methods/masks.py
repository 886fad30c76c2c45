r"""The published soft mask: what generated audio lets through of a mixture.

With X the mixture's STFT and G the generated audio's (Manilow et al. 2021, arXiv 2110.13071, Algorithm 1)

.. math::  M = |G| / (\max(|X|, |G|) + \epsilon), \qquad S = M X

so M is 1 where the generator is louder than the mixture and |G|/|X| elsewhere: a mask can only ever take
away, and the phase is the mixture's. The window is the square root of the periodic Hann window with half a
window's hop: its square overlaps to one, so analysis and synthesis together change nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from tagbox.audio.stft import istft, stft

EPSILON = 1e-8


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
