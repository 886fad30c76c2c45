"""Compute the STFT and its inverse, with a root Hann window and a hop of half a window.

The window is the square root of the periodic Hann window. Its square overlaps to one, so the inverse STFT of
an unchanged STFT is the audio itself.
"""

from functools import lru_cache

import torch
from torch import Tensor


@lru_cache(maxsize=16)
def root_hann(n_fft: int, device: torch.device) -> Tensor:
    """Return the square root of the periodic Hann window, (n_fft,) float32."""
    # Computed in inference mode, a cached tensor could never take part in a gradient.
    with torch.inference_mode(False):
        return torch.hann_window(n_fft, periodic=True, dtype=torch.float64).sqrt().float().to(device)


def stft(audio: Tensor, n_fft: int) -> Tensor:
    """Transform `audio` (..., samples) to complex spectra (..., n_fft // 2 + 1, frames).

    Frames are centred, with reflected edges, and the hop length is n_fft // 2.
    """
    flat = audio.reshape(-1, audio.shape[-1])
    window = root_hann(n_fft, audio.device)
    spectra = torch.stft(flat, n_fft, n_fft // 2, window=window, center=True, return_complex=True)
    return spectra.reshape(*audio.shape[:-1], *spectra.shape[-2:])


def istft(spectra: Tensor, n_fft: int, samples: int) -> Tensor:
    """Invert `stft`: (..., bins, frames) to (..., samples).

    Every hop lies under the second half of one frame and the first half of the next, whose squared windows
    add up to one. Only the rest after the last whole hop lies under a single window and is divided by its
    square. `torch.istft` computes the same, but makes a GPU wait while it checks that no window sum is zero.
    """
    window = root_hann(n_fft, spectra.device)
    frames = torch.fft.irfft(spectra, n=n_fft, dim=-2).transpose(-1, -2) * window
    whole, rest = overlap_add(frames, samples)
    last_half = window[n_fft // 2 :][: rest.shape[-1]]
    return torch.cat([whole, rest / last_half.square()], dim=-1)[..., :samples]


def overlap_add(frames: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Add windowed frames, half a window apart, from the middle of the first one on.

    Args:
        frames: (..., frames, n_fft).
        samples: length of the result.

    Returns:
        the samples under two frames, (..., samples), and those of the rest, under the last frame only.
    """
    half = frames.shape[-1] // 2
    whole = (frames[..., :-1, half:] + frames[..., 1:, :half]).flatten(-2)
    left = max(0, samples - whole.shape[-1])
    return whole, frames[..., -1, half : half + left]
