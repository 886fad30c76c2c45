"""A frozen generator's latents: what it then plays masks the mixture, or is the result itself.

Passages of one length can be steered side by side: each is a source of its own, from a mixture of its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tagbox.generator.generator import Generator
from tagbox.generator.quantisers import Published, Quantiser, quantiser
from tagbox.masks import MixtureSpectrum, apply_mask
from tagbox.steerables.material import Material
from tagbox.steerables.steerable import Estimate

COMBINATIONS = ("last", "mean")


def encode_padded(generator: Generator, audio: Tensor, level: int) -> Tensor:
    """Latents (passages, dimensions, frames) of mono `audio`, filled with zeros to whole frames.

    `audio` is (samples,), which is one passage, or (passages, samples).
    """
    fill = -audio.shape[-1] % generator.hops[level]
    with torch.no_grad():
        return generator.encode(
            functional.pad(audio, (0, fill)).reshape(-1, 1, audio.shape[-1] + fill), level
        )


class Latents:
    """The generator's own voice, unmasked: the published "style transfer".

    Args:
        generator: frozen; its latents at `level` are what moves.
        mixture: mono, (samples,) or (passages, samples), at the generator's rate.
        level: which of the generator's autoencoders.
        quantiser: latents to the latents that are decoded.
    """

    def __init__(self, generator: Generator, mixture: Tensor, level: int, quantiser: Quantiser) -> None:
        self.rate = generator.rate
        self.mixture = mixture
        self._generator = generator
        self._level = level
        self._quantiser = quantiser
        self._latents = encode_padded(generator, mixture, level).requires_grad_(True)
        self.parameters: Sequence[Tensor] = (self._latents,)
        # That one's codebook moves with every step.
        self.pure = not isinstance(quantiser, Published)

    def generated(self) -> Tensor:
        """What the generator plays at the present latents, of the mixture's shape."""
        audio = self._generator.decode(self._quantiser(self._latents), self._level)
        return audio[:, 0, : self.mixture.shape[-1]].reshape(self.mixture.shape)

    def estimate(self) -> Estimate:
        """One source a passage, in one view: the generated audio."""
        generated = self.generated()
        return Estimate(generated.reshape(-1, 1, generated.shape[-1]), generated.detach())

    def render(self, memo: Tensor, channels: Tensor) -> Tensor:
        """The generated audio, the same in every channel: (passages, channels, samples)."""
        return memo.unsqueeze(-2).expand(channels.shape).reshape(-1, *channels.shape[-2:])


class MaskedLatents(Latents):
    """Algorithm 1: the mixture, masked by what the generator plays, at several FFT sizes.

    Args:
        fft: FFT sizes, samples; each is one view.
        combine: of the FFT sizes in the result: "last" (as published) or "mean".
        beginning: what is encoded to begin with, as long; the mixture itself unless given.
    """

    def __init__(
        self,
        generator: Generator,
        mixture: Tensor,
        level: int,
        quantiser: Quantiser,
        fft: Sequence[int],
        combine: str = "mean",
        beginning: Tensor | None = None,
    ) -> None:
        super().__init__(generator, mixture if beginning is None else beginning, level, quantiser)
        self.mixture = mixture
        self._spectra = [MixtureSpectrum.of(mixture, n_fft) for n_fft in fft]
        self._combine = combine

    def estimate(self) -> Estimate:
        """One source a passage, a view for each FFT size."""
        generated = self.generated()
        views = torch.stack([spectrum.masked(generated) for spectrum in self._spectra], dim=-2)
        return Estimate(views.reshape(-1, *views.shape[-2:]), generated.detach())

    def render(self, memo: Tensor, channels: Tensor) -> Tensor:
        """Every channel under its passage's mono masks: (passages, channels, samples)."""
        spectra = self._spectra[-1:] if self._combine == "last" else self._spectra
        masked = [apply_mask(spectrum.mask(memo), channels, spectrum.n_fft) for spectrum in spectra]
        return torch.stack(masked).mean(dim=0).reshape(-1, *channels.shape[-2:])


def make(material: Material) -> MaskedLatents:
    """One source, masked by what the material's generator plays."""
    settings, generator = material.settings, material.generator
    assert generator is not None, "the registry says that latents need one"
    quantise = quantiser(settings.quantiser, generator, settings.level, settings.seed)
    return MaskedLatents(
        generator,
        material.mixture,
        settings.level,
        quantise,
        settings.fft,
        settings.combine,
        material.beginning,
    )
