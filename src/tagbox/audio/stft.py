"""Transform audio to spectra and back: the STFT with a root Hann window and half a window's hop.

The window is the square root of the periodic Hann window: its square overlaps to one, so analysis and
synthesis together change nothing.
"""

from functools import lru_cache

import torch
from torch import Tensor


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
    whole, rest = overlap_add(frames, samples)
    under = window[n_fft // 2 :][: rest.shape[-1]]
    return torch.cat([whole, rest / under.square()], dim=-1)[..., :samples]


def overlap_add(frames: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Windowed `frames` (..., frames, n_fft), half a window apart, added from the first one's middle on.

    Returns:
        (..., samples) as far as two frames reach, and what only the last has of the rest of `samples`.
    """
    half = frames.shape[-1] // 2
    whole = (frames[..., :-1, half:] + frames[..., 1:, :half]).flatten(-2)
    left = max(0, samples - whole.shape[-1])
    return whole, frames[..., -1, half : half + left]
