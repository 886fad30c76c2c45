r"""Decompose a mixture into components: several factorisations, and each component as audio.

With Q the mixture's spectrum over the sum of all components, component k is the inverse STFT of
:math:`w_k h_k Q`. Taggers hear up to half of their own sample rate only, so what lies far above is left out:
the lowest 1/d of the bins are the STFT of the component at 1/d of the rate, with a window and a hop length of
1/d of the size. d is a power of two, and leaves a quarter more of the band than taggers hear, where the
resampler's filter falls off.

The root Hann window squared overlaps to one, so frames are windowed and added, half by half. Only after the
last frame's middle is there no second frame: less than half a window, which fades out rather than be divided
by the end of a window, where rounding would become a click.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from tagbox.audio.downmix import downmix
from tagbox.audio.resampling import resample
from tagbox.audio.stft import istft, overlap_add, root_hann, stft
from tagbox.methods.masks import apply_mask
from tagbox.methods.nmf import EPSILON, factorise, gate_mask, infer_activations

NMF_ITERATIONS = 100
ACTIVATION_ITERATIONS = 60
"""Updates of the activations where the dictionary is given."""

COMPONENTS_PER_BATCH = 4
"""Components synthesised at a time: the spectrograms of all are many times the recording."""

BAND_MARGIN = 1.25
"""The band that is synthesised, over the band that taggers hear."""

Factors = tuple[Tensor, Tensor]
"""Of one factorisation the dictionary (bins, components) and the activations (components, frames)."""


@dataclass(frozen=True, eq=False)
class Components:
    """A mixture decomposed into components that add up to it.

    Attributes:
        factors: of each factorisation.
        audio: every component, (components, samples) at `rate`, factorisation after factorisation. Each
            factorisation counts equally, so that all components together are the mixture.
        rate: sample rate of `audio`, Hz.
        n_fft: of the STFT that was factorised, samples.
    """

    factors: tuple[Factors, ...]
    audio: Tensor
    rate: int
    n_fft: int

    @property
    def dictionary(self) -> Tensor:
        """The spectral shapes of all factorisations, (bins, components)."""
        return torch.cat([dictionary for dictionary, _ in self.factors], dim=1)


def decompose(
    mixture: Tensor,
    rate: int,
    components: int,
    factorisations: int,
    n_fft: int,
    audio_rate: int,
    seed: int,
    iterations: int = NMF_ITERATIONS,
) -> Components:
    """Factorise a mono `mixture` (samples,) at `rate` Hz several times, each time from another start.

    Where one factorisation draws a line between notes at a wrong place, another does not: estimates are the
    mean over all of them.

    Args:
        components: of the first factorisation (see `components_per_factorisation`).
        factorisations: how many.
        n_fft: of the STFT, samples.
        audio_rate: of the components' audio, Hz: the highest of the taggers' rates.
        seed: of the first factorisation; the next ones count up from it.
        iterations: of each factorisation.
    """
    spectrum = stft(mixture, n_fft)
    magnitude = spectrum.abs()
    total = components * (factorisations + factorisations // 2)
    sizes = components_per_factorisation(total, factorisations)
    factors = tuple(factorise(magnitude, size, iterations, seed + i) for i, size in enumerate(sizes))
    audio = synthesise_components(spectrum, factors, mixture.shape[-1], rate, audio_rate)
    return Components(factors, audio.div_(factorisations), audio_rate, n_fft)


def components_per_factorisation(components: int, factorisations: int) -> list[int]:
    """Divide `components` among factorisations: every second one has twice as many.

    >>> components_per_factorisation(48, 2), components_per_factorisation(64, 3)
    ([16, 32], [16, 32, 16])
    """
    first = components // (factorisations + factorisations // 2)
    return [first * (1 + i % 2) for i in range(factorisations)]


def mask_components(components: Components, gates: Tensor, channels: Tensor) -> Tensor:
    """Apply `gates` (sources, components) to every channel: (sources, channels, samples).

    Args:
        channels: (channels, samples), whose mono mix was decomposed.
    """
    masks = [mean_gate_mask(components.factors, gate) for gate in gates]
    return torch.stack([apply_mask(mask, channels, components.n_fft) for mask in masks])


def separate_with_dictionary(
    channels: Tensor, dictionary: Tensor, gates: Tensor, n_fft: int, factorisations: int
) -> Tensor:
    """Separate `channels` (channels, samples) by a dictionary and gates that were learnt elsewhere.

    Args:
        dictionary: spectral shapes (bins, components), factorisation after factorisation.
        gates: each source's share of each component, (sources, components).
        n_fft: of the STFT, samples.
        factorisations: how many the dictionary holds.

    Returns:
        sources, (sources, channels, samples).
    """
    magnitude = stft(downmix(channels), n_fft).abs()
    sizes = components_per_factorisation(dictionary.shape[1], factorisations)
    factors = [
        (own, infer_activations(magnitude, own, ACTIVATION_ITERATIONS))
        for own in torch.split(dictionary, sizes, dim=1)
    ]
    spectra = stft(channels, n_fft)
    samples = channels.shape[-1]
    return torch.stack([istft(mean_gate_mask(factors, gate) * spectra, n_fft, samples) for gate in gates])


def mean_gate_mask(factors: Sequence[Factors], gates: Tensor) -> Tensor:
    """Average the masks (bins, frames) that `gates` (components,) make of each factorisation."""
    own_gates = torch.split(gates, [dictionary.shape[1] for dictionary, _ in factors])
    masks = [gate_mask(*own, gate) for own, gate in zip(factors, own_gates, strict=True)]
    return torch.stack(masks).mean(dim=0)


def synthesise_components(
    spectrum: Tensor, factors: Sequence[Factors], samples: int, rate: int, audio_rate: int
) -> Tensor:
    """Synthesise every component, (components, ceil(samples audio_rate / rate)).

    Args:
        spectrum: the mixture's STFT (bins, frames), as `tagbox.audio.stft.stft` makes it.
        factors: of each factorisation of it.
        samples: of the mixture, at `rate`.
        rate: of the mixture, Hz.
        audio_rate: of the result, Hz.
    """
    decimation = _decimation(2 * (spectrum.shape[0] - 1), rate, audio_rate)
    size = 2 * (spectrum.shape[0] - 1) // decimation
    low = spectrum[: size // 2 + 1].T / decimation
    window = root_hann(size, spectrum.device)
    length, decimated_length = -(-samples * audio_rate // rate), -(-samples // decimation)
    count = sum(activations.shape[0] for _, activations in factors)
    # One block for all components, filled one batch at a time: it is the largest thing in memory.
    audio = torch.empty(count, length, device=spectrum.device)
    position = 0
    for spectra in chain.from_iterable(_component_spectra(low, *own) for own in factors):
        frames = torch.fft.irfft(spectra, n=size, dim=-1).mul_(window)
        decimated = torch.cat(overlap_add(frames, decimated_length), dim=-1)[..., :decimated_length]
        batch = resample(decimated, rate // decimation, audio_rate)
        audio[position : position + len(batch)] = batch[:, :length]
        position += len(batch)
    return audio


def _component_spectra(low: Tensor, dictionary: Tensor, activations: Tensor) -> Iterator[Tensor]:
    """Yield each component's part of `low` (frames, bins), a batch at a time: (batch, frames, bins)."""
    lowest = dictionary[: low.shape[1]].T.contiguous()
    quotient = low / (activations.T @ lowest + EPSILON * len(activations))
    batches = torch.split(lowest, COMPONENTS_PER_BATCH), torch.split(activations, COMPONENTS_PER_BATCH)
    for shape, activation in zip(*batches, strict=True):
        yield (activation[:, :, None] * shape[:, None, :]).add_(EPSILON) * quotient


def _decimation(n_fft: int, rate: int, audio_rate: int) -> int:
    factor = 1
    while (
        rate % (2 * factor) == 0
        and n_fft % (4 * factor) == 0
        and rate >= 2 * factor * BAND_MARGIN * audio_rate
    ):
        factor *= 2
    return factor
