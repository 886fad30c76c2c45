r"""Gates on components: which source each component of the mixture belongs to.

The mixture is a sum of components :math:`x = \sum_k c_k`. Each component is shared among S sources and a
rest by a softmax, :math:`s_i = \sum_k \mathrm{softmax}(\theta_{\cdot k})_i c_k`, so the estimates and the
rest always add up to the mixture. A few dozen numbers decide: too few to fool a tagger with noise that
nobody hears.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tagbox.audio import resample
from tagbox.components.nmf import activate, factorise, gated_share, shares
from tagbox.masks import apply_mask, istft, stft
from tagbox.steerables.steerable import Estimate

ACTIVATION_ITERATIONS = 60
"""Of components whose shapes are given."""


def share_out(channels: Tensor, shapes: Tensor, gates: Tensor, n_fft: int) -> Tensor:
    """Sources (sources, channels, samples) of audio in which `shapes` sound, learnt elsewhere in the piece.

    Args:
        channels: (channels, samples), at the rate of what the shapes were learnt from.
        shapes: spectral shapes (bins, components).
        gates: each source's share of each component, (sources, components).
        n_fft: of the STFT, samples.
    """
    activations = activate(stft(channels.mean(dim=0), n_fft).abs(), shapes, ACTIVATION_ITERATIONS)
    spectra = stft(channels, n_fft)
    return torch.stack(
        [istft(gated_share(shapes, activations, gate) * spectra, n_fft, channels.shape[-1]) for gate in gates]
    )


class Gates:
    """Sources made of a mixture's components.

    Args:
        mixture: mono, (samples,), at `rate`.
        rate: Hz.
        sources: how many share the components, the rest not counted.
        components: how many the mixture is taken apart into.
        n_fft: of the STFT that is factorised, samples.
        heard_rate: at which the taggers listen, Hz: the components are resampled once, not at every step.
        seed: of the factorisation's start.
        iterations: of the factorisation.
    """

    def __init__(
        self,
        mixture: Tensor,
        rate: int,
        sources: int,
        components: int,
        n_fft: int,
        heard_rate: int,
        seed: int,
        iterations: int = 100,
    ) -> None:
        spectrum = stft(mixture, n_fft)
        self.shapes, activations = factorise(spectrum.abs(), components, iterations, seed)
        self._shares = shares(self.shapes, activations)
        self._n_fft = n_fft
        parts = istft(self._shares * spectrum, n_fft, mixture.shape[-1])
        self._parts = resample(parts, rate, heard_rate)
        self.rate = heard_rate
        self.mixture = self._parts.sum(dim=0)
        # Zero gives every source and the rest an equal share of everything.
        self._theta = torch.zeros(sources + 1, components, device=mixture.device, requires_grad=True)
        self.parameters: Sequence[Tensor] = (self._theta,)

    def gates(self) -> Tensor:
        """Each source's share of each component: (sources, components)."""
        return torch.softmax(self._theta, dim=0)[:-1]

    def estimate(self) -> Estimate:
        """The sources (sources, 1, samples) at the present gates."""
        gates = self.gates()
        return Estimate((gates @ self._parts)[:, None], gates.detach())

    def render(self, memo: Tensor, channels: Tensor) -> Tensor:
        """Every channel under the mono gates: (sources, channels, samples)."""
        masks = torch.einsum("sk,kft->sft", memo, self._shares)
        return torch.stack([apply_mask(mask, channels, self._n_fft) for mask in masks])
