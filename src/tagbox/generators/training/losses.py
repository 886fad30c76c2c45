r"""Jukebox's losses (arXiv 2005.00341, section 3.2 and its published settings).

.. math::  L = L_2 + 0.02\, L_\infty + L_{spec} + 0.02\, L_{commit}

with the squared error, the mean of the 2048 largest squared errors, the distance of magnitude spectrograms at
three resolutions, and the distance of latents from their codebook entries. Jukebox divides by statistics of
its data set; here each term is relative to the batch's own energy, which serves any folder of recordings.
"""

import torch
from torch import Tensor
from torch.nn import functional

LARGEST = 2048
SPECTRA = ((2048, 240, 1200), (1024, 120, 600), (512, 50, 240))
"""FFT size, hop and window of each resolution, samples."""
WEIGHTS = {"l2": 1.0, "linf": 0.02, "spectral": 1.0, "commitment": 0.02}
TINY = 1e-6


def magnitudes(audio: Tensor, n_fft: int, hop: int, window: int) -> Tensor:
    """Magnitude spectrogram of (batch, samples)."""
    shape = torch.hann_window(window, device=audio.device)
    return torch.stft(audio, n_fft, hop, window, shape, return_complex=True).abs()


def squared(target: Tensor, output: Tensor) -> Tensor:
    """Mean squared error relative to the target's energy: -10 log10 of it is the SNR in dB."""
    return (output - target).square().mean() / (target.square().mean() + TINY)


def largest(target: Tensor, output: Tensor) -> Tensor:
    """Mean of each excerpt's largest squared errors, relative to the batch's energy."""
    errors = (output - target).square().flatten(1)
    top = torch.topk(errors, min(LARGEST, errors.shape[1]), dim=1).values
    return top.mean() / (target.square().mean() + TINY)


def spectral(target: Tensor, output: Tensor) -> Tensor:
    """Distance of magnitude spectrograms relative to the target's, averaged over resolutions."""
    distances = []
    for n_fft, hop, window in SPECTRA:
        wanted, got = (magnitudes(x.flatten(1), n_fft, hop, window) for x in (target, output))
        distances.append((got - wanted).norm(dim=(1, 2)) / (wanted.norm(dim=(1, 2)) + TINY))
    return torch.stack(distances).mean()


def commitment(latents: Tensor, entries: Tensor) -> Tensor:
    """Distance of latents from the entries that they are quantised to."""
    return functional.mse_loss(latents, entries.detach())


def total(target: Tensor, output: Tensor, latents: Tensor, entries: Tensor) -> Tensor:
    """The weighted sum of all four."""
    return (
        WEIGHTS["l2"] * squared(target, output)
        + WEIGHTS["linf"] * largest(target, output)
        + WEIGHTS["spectral"] * spectral(target, output)
        + WEIGHTS["commitment"] * commitment(latents, entries)
    )
