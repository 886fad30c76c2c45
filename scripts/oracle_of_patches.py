#!/usr/bin/env python3
"""Measure how far masks of patches reach with the stems in hand, so that a grid can be chosen.

    python -m scripts.oracle_of_patches

On the excerpt of a real song that the package stempeg carries. Every patch of the mixture is multiplied by
the true share of the energy in it; printed is the SI-SDR improvement in dB, over both channels.
"""

import dataclasses

from torch import Tensor

from scripts.judge_share_network import stempeg_excerpt
from tagbox.evaluation.metrics import si_sdr
from tagbox.taggers.networks.share_unet import GRID, RATE, Grid, power

FINE = ((1, 256), (2, 512), (4, 1024), (8, 2048))
HALF = ((1, 96), (2, 256), (4, 512), (16, 1024))
GRIDS = {
    "the network's": GRID,
    "2 frames": dataclasses.replace(GRID, frames_per_patch=2),
    "1 band, 1 frame": dataclasses.replace(GRID, bands_per_patch=1, frames_per_patch=1),
    "4 bands": dataclasses.replace(GRID, bands_per_patch=4),
    "8 frames": dataclasses.replace(GRID, frames_per_patch=8),
    "twice the bands": dataclasses.replace(GRID, zones=FINE),
    "hop length 2048, 2 frames": dataclasses.replace(GRID, hop_length=2048, frames_per_patch=2),
    "FFT 2048": Grid(fft=2048, zones=HALF),
}


def patches(audio: Tensor, grid: Grid) -> Tensor:
    """Measure the energy of every patch of (channels, samples), over the channels: (rows, columns)."""
    return grid.into_patches(grid.into_bands(power(grid.stft(audio[None])[0]).sum(dim=0)))


def masked(mixture: Tensor, shares: Tensor, grid: Grid) -> Tensor:
    """Multiply a mixture (channels, samples) by shares of patches (rows, columns)."""
    spectrum = grid.stft(mixture[None])
    mask = grid.over_bins(shares, spectrum.shape[-1])
    return grid.istft(spectrum * mask, mixture.shape[-1])[0]


def main() -> None:
    """Print a line for each grid."""
    excerpt = stempeg_excerpt()
    rest = excerpt.mixture - sum(excerpt.sources.values())
    for name, grid in GRIDS.items():
        energies = {tag: patches(source, grid) for tag, source in excerpt.sources.items()}
        total = sum(energies.values()) + patches(rest, grid)
        gains = {
            tag: si_sdr(masked(excerpt.mixture, energy / (total + 1e-9), grid), excerpt.sources[tag])
            - si_sdr(excerpt.mixture, excerpt.sources[tag])
            for tag, energy in energies.items()
        }
        a_second = grid.rows * RATE / grid.hop_length / grid.frames_per_patch
        said = ", ".join(f"{tag} {gain:+.1f}" for tag, gain in gains.items())
        print(f"{name:26s} {a_second:6.0f} patches a second: {said}", flush=True)


if __name__ == "__main__":
    main()
