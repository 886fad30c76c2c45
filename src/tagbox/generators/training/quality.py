"""How well a generator gives back what it was given."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tagbox.generators.base import Generator
from tagbox.generators.training.losses import SPECTRA, magnitudes
from tagbox.generators.vqvae import VQVAE


@dataclass(frozen=True)
class Quality:
    """Of the reconstruction through the codebook.

    Attributes:
        snr: signal-to-noise ratio in dB, the mean over excerpts.
        pooled: the same of all excerpts' energies together, which the loud ones decide.
        convergence: multi-scale spectral convergence, | |X|-|Y| | / |X| (Frobenius norms), the mean over
            resolutions and excerpts.
        used: the share of codebook entries that were used at all.
    """

    snr: float
    pooled: float
    convergence: float
    used: float


@torch.no_grad()
def reconstruct(model: Generator | VQVAE, audio: Tensor, level: int) -> tuple[Tensor, Tensor]:
    """`audio` (batch, 1, samples), whole frames, through the codebook and back; and its codes."""
    codes, entries = model.quantise(model.encode(audio, level), level)
    return model.decode(entries, level), codes


def measure(model: Generator | VQVAE, excerpts: Sequence[Tensor], level: int) -> Quality:
    """The quality at `level` over `excerpts` (samples,), cut to whole frames."""
    hop = (model.design if isinstance(model, VQVAE) else model).hops[level]
    codebook = model.codebook(level)
    snrs, convergences, used = [], [], torch.zeros(len(codebook), dtype=torch.bool)
    signal = noise = 0.0
    for excerpt in excerpts:
        target = excerpt[None, None, : len(excerpt) // hop * hop].to(codebook)
        output, codes = reconstruct(model, target, level)
        used[codes.flatten().cpu()] = True
        energy, error = target.square().sum(), (output - target).square().sum()
        signal, noise = signal + float(energy), noise + float(error)
        snrs.append(float(10 * torch.log10(energy / error)))
        for n_fft, step, window in SPECTRA:
            wanted, got = (magnitudes(x[0], n_fft, step, window) for x in (target, output))
            convergences.append(float((got - wanted).norm() / wanted.norm()))
    return Quality(
        snr=sum(snrs) / len(snrs),
        pooled=float(10 * torch.log10(torch.tensor(signal / noise))),
        convergence=sum(convergences) / len(convergences),
        used=float(used.float().mean()),
    )
