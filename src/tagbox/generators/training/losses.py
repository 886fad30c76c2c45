r"""Jukebox's losses (arXiv 2005.00341, section 3.2 and its published settings).

.. math::  L = L_2 + 0.02\, L_\infty + L_{spec} + 0.02\, L_{commit}

with the squared error, the mean of the 2048 largest squared errors, the distance of magnitude spectrograms at
three resolutions, and the distance of latents from their codebook entries. Jukebox divides by statistics of
its data set; here each term is relative to the batch's own energy, which suits any folder of recordings.
"""

import torch
from torch import Tensor
from torch.nn import functional

LARGEST_ERRORS = 2048
"""How many samples of an excerpt `largest_errors` averages over."""

STFT_SIZES = ((2048, 240, 1200), (1024, 120, 600), (512, 50, 240))
"""FFT size, hop length and window of each resolution, samples."""

WEIGHTS = {"l2": 1.0, "linf": 0.02, "spectral": 1.0, "commitment": 0.02}
EPSILON = 1e-6


def magnitudes(audio: Tensor, n_fft: int, hop: int, window: int) -> Tensor:
    """Compute the magnitude spectrogram of (batch, samples)."""
    hann = torch.hann_window(window, device=audio.device)
    return torch.stft(audio, n_fft, hop, window, hann, return_complex=True).abs()


def squared_error(target: Tensor, output: Tensor) -> Tensor:
    """Compute the mean squared error relative to the target's energy: -10 log10 of it is the SNR in dB."""
    return (output - target).square().mean() / (target.square().mean() + EPSILON)


def largest_errors(target: Tensor, output: Tensor) -> Tensor:
    """Compute the mean of each excerpt's largest squared errors, relative to the batch's energy."""
    errors = (output - target).square().flatten(1)
    largest = torch.topk(errors, min(LARGEST_ERRORS, errors.shape[1]), dim=1).values
    return largest.mean() / (target.square().mean() + EPSILON)


def spectral_error(target: Tensor, output: Tensor) -> Tensor:
    """Compute the distance of magnitude spectrograms relative to the target's, averaged over resolutions."""
    distances = []
    for n_fft, hop, window in STFT_SIZES:
        expected, actual = (magnitudes(x.flatten(1), n_fft, hop, window) for x in (target, output))
        distances.append((actual - expected).norm(dim=(1, 2)) / (expected.norm(dim=(1, 2)) + EPSILON))
    return torch.stack(distances).mean()


def commitment(latents: Tensor, entries: Tensor) -> Tensor:
    """Compute the mean squared distance of latents from the entries that they are quantised to."""
    return functional.mse_loss(latents, entries.detach())


def total_loss(target: Tensor, output: Tensor, latents: Tensor, entries: Tensor) -> Tensor:
    """Compute the weighted sum of all four terms."""
    return (
        WEIGHTS["l2"] * squared_error(target, output)
        + WEIGHTS["linf"] * largest_errors(target, output)
        + WEIGHTS["spectral"] * spectral_error(target, output)
        + WEIGHTS["commitment"] * commitment(latents, entries)
    )
