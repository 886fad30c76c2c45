"""A frozen generator's latents, as parameters: its audio masks the mixture, or is the result itself.

Segments of one length can be steered as a batch: each is a source of its own, from a mixture of its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tagbox.audio.downmix import downmix
from tagbox.generators.base import Generator
from tagbox.generators.quantisers import Quantiser, TrainingModeQuantiser
from tagbox.methods.masks import MixtureSpectrum, apply_mask
from tagbox.methods.steerable import Estimate


def encode_padded(generator: Generator, audio: Tensor, level: int) -> Tensor:
    """Encode `audio`, padded with zeros to whole frames: latents (batch, dimensions, frames).

    `audio` is (samples,), a batch of one, or (batch, samples); for a generator of several channels it is
    (channels, samples) or (batch, channels, samples).
    """
    padding = -audio.shape[-1] % generator.hops[level]
    padded = functional.pad(audio, (0, padding))
    with torch.no_grad():
        return generator.encode(padded.reshape(-1, generator.channels, padded.shape[-1]), level)


class LatentSynthesis:
    """The generator's audio without a mask: the published "style transfer".

    Args:
        generator: frozen; its latents at `level` are steered.
        mixture: mono, (samples,) or (batch, samples), at the generator's rate; encoded to begin with. For a
            generator of several channels, (channels, samples) or (batch, channels, samples).
        level: which of the generator's autoencoders.
        quantiser: latents to the latents that are decoded.
    """

    def __init__(self, generator: Generator, mixture: Tensor, level: int, quantiser: Quantiser) -> None:
        self.rate = generator.rate
        self.mixture = mixture if generator.channels == 1 else downmix(mixture)
        self._generator = generator
        self._level = level
        self._quantiser = quantiser
        self._shape = mixture.shape
        self._latents = encode_padded(generator, mixture, level).requires_grad_(True)
        self.parameters: Sequence[Tensor] = (self._latents,)
        # The training-mode quantiser's codebook moves with every step.
        self.replayable = not isinstance(quantiser, TrainingModeQuantiser)

    def decode(self) -> Tensor:
        """Decode the present latents to audio of the shape of what was encoded."""
        audio = self._generator.decode(self._quantiser(self._latents), self._level)
        return audio[..., : self._shape[-1]].reshape(self._shape)

    def mono(self, generated: Tensor) -> Tensor:
        """Return the mono mix of generated audio, of the mixture's shape."""
        return generated if self._generator.channels == 1 else generated.mean(dim=-2)

    def estimate(self) -> Estimate:
        """Return the generated audio, one source for each member of the batch, in one view."""
        generated = self.decode()
        return Estimate(self.mono(generated).reshape(-1, 1, generated.shape[-1]), generated.detach())

    def render(self, snapshot: Tensor, channels: Tensor) -> Tensor:
        """Return the generated audio: (batch, channels, samples).

        It is the same in every channel, unless the generator has as many channels as there are.
        """
        if self._generator.channels not in (1, channels.shape[-2]):
            snapshot = self.mono(snapshot)
        elif self._generator.channels > 1:
            return snapshot.reshape(-1, *channels.shape[-2:])
        return snapshot.unsqueeze(-2).expand(channels.shape).reshape(-1, *channels.shape[-2:])


class LatentMask(LatentSynthesis):
    """Algorithm 1: the mixture masked by the generator's audio, at several FFT sizes.

    Args:
        generator: frozen; its latents at `level` are steered.
        mixture: what is masked, mono, (samples,) or (batch, samples), at the generator's rate.
        level: which of the generator's autoencoders.
        quantiser: latents to the latents that are decoded.
        fft: FFT sizes, samples; each is one view.
        combine: of the FFT sizes in the result: "last" (as published) or "mean".
        initial_audio: what is encoded to begin with, of the mixture's shape; the mixture unless given. For a
            generator of several channels it has a dimension of channels as well, and has to be given.
    """

    def __init__(
        self,
        generator: Generator,
        mixture: Tensor,
        level: int,
        quantiser: Quantiser,
        fft: Sequence[int],
        combine: str = "mean",
        initial_audio: Tensor | None = None,
    ) -> None:
        super().__init__(generator, mixture if initial_audio is None else initial_audio, level, quantiser)
        self.mixture = mixture
        self._spectra = [MixtureSpectrum.of(mixture, n_fft) for n_fft in fft]
        self._combine = combine

    def estimate(self) -> Estimate:
        """Return one source for each member of the batch, with a view for each FFT size."""
        generated = self.mono(self.decode())
        views = torch.stack([spectrum.masked(generated) for spectrum in self._spectra], dim=-2)
        return Estimate(views.reshape(-1, *views.shape[-2:]), generated.detach())

    def render(self, snapshot: Tensor, channels: Tensor) -> Tensor:
        """Mask every channel by its own member's mono masks: (batch, channels, samples)."""
        spectra = self._spectra[-1:] if self._combine == "last" else self._spectra
        masked = [apply_mask(spectrum.mask(snapshot), channels, spectrum.n_fft) for spectrum in spectra]
        return torch.stack(masked).mean(dim=0).reshape(-1, *channels.shape[-2:])
