"""How well a generator gives back what it was given."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tagbox.generator.training.losses import SPECTRA, magnitudes
from tagbox.generator.vqvae import VQVAE


@dataclass(frozen=True)
class Quality:
    """Of the reconstruction through the codebook.

    Attributes:
        snr: signal-to-noise ratio in dB, the mean over excerpts.
        convergence: multi-scale spectral convergence, | |X|-|Y| | / |X| (Frobenius norms), the mean over
            resolutions and excerpts.
        used: the share of codebook entries that were used at all.
    """

    snr: float
    convergence: float
    used: float


@torch.no_grad()
def reconstruct(model: VQVAE, audio: Tensor, level: int) -> tuple[Tensor, Tensor]:
    """`audio` (batch, 1, samples), whole frames, through the codebook and back; and its codes."""
    codes, entries = model.quantise(model.encode(audio, level), level)
    return model.decode(entries, level), codes


def measure(model: VQVAE, excerpts: Sequence[Tensor], level: int) -> Quality:
    """The quality at `level` over `excerpts` (samples,), cut to whole frames."""
    hop = model.design.hops[level]
    snrs, convergences, used = [], [], torch.zeros(model.design.entries, dtype=torch.bool)
    for excerpt in excerpts:
        target = excerpt[None, None, : len(excerpt) // hop * hop].to(model.codebook(level))
        output, codes = reconstruct(model, target, level)
        used[codes.flatten().cpu()] = True
        error = (output - target).square().sum()
        snrs.append(float(10 * torch.log10(target.square().sum() / error)))
        for n_fft, step, window in SPECTRA:
            wanted, got = (magnitudes(x[0], n_fft, step, window) for x in (target, output))
            convergences.append(float((got - wanted).norm() / wanted.norm()))
    return Quality(sum(snrs) / len(snrs), sum(convergences) / len(convergences), float(used.float().mean()))
