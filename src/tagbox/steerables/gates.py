r"""Gates on components: which source each component of the mixture belongs to.

The mixture is a sum of components :math:`x = \sum_k c_k`. Each component is shared among S sources and a
rest by a softmax, :math:`s_i = \sum_k \mathrm{softmax}(\theta_{\cdot k})_i c_k`, so the estimates and the
rest always add up to the mixture. A few dozen numbers decide: too few to fool a tagger with noise that
nobody hears.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tagbox.components.nmf import activate, factorise, gated_share
from tagbox.components.waves import waves
from tagbox.masks import apply_mask, istft, stft
from tagbox.steerables.beginnings import heard_alone
from tagbox.steerables.material import Material
from tagbox.steerables.steerable import Estimate

ACTIVATION_ITERATIONS = 60
"""Of components whose shapes are given."""


def share_out(channels: Tensor, shapes: Tensor, gates: Tensor, n_fft: int, factorisations: int = 1) -> Tensor:
    """Sources (sources, channels, samples) of audio in which `shapes` sound, learnt elsewhere in the piece.

    Args:
        channels: (channels, samples), at the rate of what the shapes were learnt from.
        shapes: spectral shapes (bins, components), factorisation after factorisation.
        gates: each source's share of each component, (sources, components).
        n_fft: of the STFT, samples.
        factorisations: how many (see `sizes`).
    """
    magnitude = stft(channels.mean(dim=0), n_fft).abs()
    own = torch.split(shapes, sizes(shapes.shape[1], factorisations), dim=1)
    factors = [(each, activate(magnitude, each, ACTIVATION_ITERATIONS)) for each in own]
    spectra = stft(channels, n_fft)
    return torch.stack([istft(_mask(factors, gate) * spectra, n_fft, channels.shape[-1]) for gate in gates])


def _mask(factors: Sequence[tuple[Tensor, Tensor]], gates: Tensor) -> Tensor:
    """What `gates` (components,) let through of each point, the mean over factorisations: (bins, frames)."""
    own = torch.split(gates, [shapes.shape[1] for shapes, _ in factors])
    masks = [
        gated_share(shapes, activations, gate)
        for (shapes, activations), gate in zip(factors, own, strict=True)
    ]
    return torch.stack(masks).mean(dim=0)


def sizes(components: int, factorisations: int) -> list[int]:
    """How many of all `components` are each factorisation's: every second one has twice as many.

    >>> sizes(48, 2), sizes(64, 3)
    ([16, 32], [16, 32, 16])
    """
    first = components // (factorisations + factorisations // 2)
    return [first * (1 + again % 2) for again in range(factorisations)]


class Gates:
    """Sources made of a mixture's components.

    Args:
        mixture: mono, (samples,), at `rate`.
        rate: Hz.
        sources: how many share the components, the rest not counted.
        components: how many the mixture is taken apart into, the first time (see `sizes`).
        n_fft: of the STFT that is factorised, samples.
        heard_rate: at which the taggers listen, Hz: the components are resampled once, not at every step.
        seed: of the factorisation's start.
        iterations: of the factorisation.
        factorisations: how often the mixture is taken apart anew, each time from another start. Estimates are
            the mean over all: where one draws a line between notes at a wrong place, another does not.
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
        factorisations: int = 1,
    ) -> None:
        spectrum = stft(mixture, n_fft)
        magnitude = spectrum.abs()
        every = components * (factorisations + factorisations // 2)
        self._factors = [
            factorise(magnitude, size, iterations, seed + again)
            for again, size in enumerate(sizes(every, factorisations))
        ]
        self.shapes = torch.cat([shapes for shapes, _ in self._factors], dim=1)
        self._n_fft = n_fft
        self.parts = waves(spectrum, self._factors, mixture.shape[-1], rate, heard_rate).div_(factorisations)
        self.rate = heard_rate
        self.mixture = self.parts.sum(dim=0)
        # Zero gives every source and the rest an equal share of everything.
        self._theta = torch.zeros(sources + 1, every, device=mixture.device, requires_grad=True)
        self.parameters: Sequence[Tensor] = (self._theta,)
        self.pure = True

    def begin(self, gates: Tensor) -> None:
        """Start from `gates` (sources and the rest, components), none of them zero."""
        with torch.no_grad():
            self._theta.copy_(gates.log())

    def gates(self) -> Tensor:
        """Each source's share of each component: (sources, components)."""
        return torch.softmax(self._theta, dim=0)[:-1]

    def estimate(self) -> Estimate:
        """The sources (sources, 1, samples) at the present gates."""
        gates = self.gates()
        return Estimate((gates @ self.parts)[:, None], gates.detach())

    def render(self, memo: Tensor, channels: Tensor) -> Tensor:
        """Every channel under the mono gates: (sources, channels, samples)."""
        masks = [_mask(self._factors, gates) for gates in memo]
        return torch.stack([apply_mask(mask, channels, self._n_fft) for mask in masks])


def make(material: Material) -> Gates:
    """Components and their gates; these begin even, or as the taggers hear each component alone.

    Raises:
        TagBoxError: nobody answers with shares, and gates are to begin as heard.
    """
    settings, taggers = material.settings, material.taggers
    gates = Gates(
        material.mixture,
        material.rate,
        material.sources,
        settings.components,
        max(settings.fft),
        taggers[0].rate,
        settings.seed,
        factorisations=settings.factorisations,
    )
    if settings.begin == "heard":
        gates.begin(heard_alone(gates.parts, taggers, material.wanted, settings.padding, material.piece))
    return gates
