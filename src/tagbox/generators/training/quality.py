"""Measure how well a generator reconstructs recordings."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tagbox.generators.base import CodebookGenerator
from tagbox.generators.training.losses import STFT_SIZES, magnitudes
from tagbox.generators.vqvae import VQVAE


@dataclass(frozen=True)
class Quality:
    """How close reconstructions through the codebook are to the recordings.

    Attributes:
        snr: signal-to-noise ratio in dB, the mean over excerpts.
        pooled: signal-to-noise ratio in dB of all excerpts taken as one signal, which the loud ones decide.
        convergence: multi-scale spectral convergence, | |X|-|Y| | / |X| (Frobenius norms), the mean over
            resolutions and excerpts.
        used: the fraction of codebook entries that were used at all.
    """

    snr: float
    pooled: float
    convergence: float
    used: float


@torch.no_grad()
def reconstruct(model: CodebookGenerator | VQVAE, audio: Tensor, level: int) -> tuple[Tensor, Tensor]:
    """Encode, quantise and decode `audio` (batch, 1, samples), whole frames; return audio and codes."""
    codes, entries = model.quantise(model.encode(audio, level), level)
    return model.decode(entries, level), codes


def measure_quality(model: CodebookGenerator | VQVAE, excerpts: Sequence[Tensor], level: int) -> Quality:
    """Measure the quality at `level` on `excerpts` (samples,), trimmed to whole frames."""
    hop = (model.config if isinstance(model, VQVAE) else model).hops[level]
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
        for n_fft, stft_hop, window in STFT_SIZES:
            expected, actual = (magnitudes(x[0], n_fft, stft_hop, window) for x in (target, output))
            convergences.append(float((actual - expected).norm() / expected.norm()))
    return Quality(
        snr=sum(snrs) / len(snrs),
        pooled=float(10 * torch.log10(torch.tensor(signal / noise))),
        convergence=sum(convergences) / len(convergences),
        used=float(used.float().mean()),
    )
