"""Transcribe the published loop plainly, to measure ours against: nothing is shared, cached or fused.

Every step decodes all three levels of Jukebox's VQ-VAE, two of them in vain, and quantises in training mode.
For every FFT size and every tagger it computes the STFT of the mixture again, masks it, resamples, cuts
windows padded with silence, and runs the network as it was published: in float32, with batch norms and tall
filters as layers of their own. Random numbers (the start and the revival of codebook entries) are those of
`tagbox.generators.ema_codebook`, so that losses can be compared step by step.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.audio.resampling import resample
from tagbox.generators import ema_codebook

HALVINGS = ((3,), (3, 2), (3, 2, 2))
DEPTHS = (8, 4, 4)
EPSILON = 1e-8


class Jukebox:
    """Encoders and decoders of all levels, by the names of the published weights."""

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        self._state = state

    def _convolve(self, x: Tensor, name: str, **how: int) -> Tensor:
        return functional.conv1d(x, self._state[f"{name}.weight"], self._state[f"{name}.bias"], **how)

    def _blocks(self, x: Tensor, name: str, dilations: Sequence[int]) -> Tensor:
        for i, dilation in enumerate(dilations):
            inner = f"{name}.model.{i}.model"
            hidden = self._convolve(functional.relu(x), f"{inner}.1", padding=dilation, dilation=dilation)
            x = x + self._convolve(functional.relu(hidden), f"{inner}.3")
        return x

    def encode(self, audio: Tensor, level: int) -> Tensor:
        """Encode audio (1, 1, samples) to latents (1, 64, frames)."""
        dilations = [3**i for i in range(DEPTHS[level])]
        x = audio
        for group, halvings in enumerate(HALVINGS[level]):
            name = f"encoders.{level}.level_blocks.{group}.model"
            for i in range(halvings):
                x = self._convolve(x, f"{name}.{i}.0", stride=2, padding=1)
                x = self._blocks(x, f"{name}.{i}.1", dilations)
            x = self._convolve(x, f"{name}.{halvings}", padding=1)
        return x

    def decode(self, latents: Tensor, level: int) -> Tensor:
        """Decode latents (1, 64, frames) to audio (1, 1, samples)."""
        dilations = [3**i for i in reversed(range(DEPTHS[level]))]
        x = latents
        for group, doublings in reversed(list(enumerate(HALVINGS[level]))):
            name = f"decoders.{level}.level_blocks.{group}.model"
            x = self._convolve(x, f"{name}.0", padding=1)
            for i in range(1, doublings + 1):
                x = self._blocks(x, f"{name}.{i}.0", dilations)
                up = f"{name}.{i}.1"
                x = functional.conv_transpose1d(
                    x, self._state[f"{up}.weight"], self._state[f"{up}.bias"], stride=2, padding=1
                )
        return self._convolve(x, f"decoders.{level}.out", padding=1)


class Bottleneck:
    """The quantiser of one level in training mode."""

    def __init__(self, codebook: Tensor, seed: int) -> None:
        self._entries = len(codebook)
        self._random = torch.Generator().manual_seed(seed)
        self._averages: ema_codebook.EmaCodebook | None = None
        self._codebook = codebook

    def nearest(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Return the nearest codes (frames,) and their codebook entries (1, 64, frames)."""
        flat = latents.detach()[0].T
        codes = torch.cdist(flat, self._codebook).argmin(dim=1)
        return codes, self._codebook[codes].T[None]

    def __call__(self, latents: Tensor) -> Tensor:
        """Quantise with a straight-through gradient, and update the codebook."""
        flat = latents.detach()[0].T
        if self._averages is None:
            self._averages = ema_codebook.initial_codebook(flat, self._entries, self._random)
        self._codebook = self._averages.codebook
        codes, entries = self.nearest(latents)
        self._averages = ema_codebook.update_codebook(self._averages, flat, codes, self._random)
        return latents + (entries - latents).detach()


class PlainFCN(nn.Module):
    """FCN as published, with the weights of `tagbox.taggers.networks.fcn`."""

    pools = ((2, 4), (2, 4), (2, 4), (3, 5), (4, 4))

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.inner = network

    def forward(self, spectrogram: Tensor) -> Tensor:
        x = self.inner.spec_bn(spectrogram[:, None])
        for i, pool in enumerate(self.pools, 1):
            layer = getattr(self.inner, f"layer{i}")
            x = functional.max_pool2d(functional.relu(layer.bn(layer.conv(x))), pool)
        return self.inner.dense(x.flatten(1))


class PlainMusicnn(nn.Module):
    """Musicnn as published, with the weights of `tagbox.taggers.networks.musicnn`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.inner = network

    def forward(self, spectrogram: Tensor) -> Tensor:
        x = self.inner.spec_bn(spectrogram[:, None])
        front = []
        for layer in self.inner.layers:
            if isinstance(layer.conv, nn.Conv2d):
                front.append(functional.relu(layer.bn(layer.conv(x))).amax(dim=2))
            else:
                front.append(functional.relu(layer.bn(layer.conv(x[:, 0].mean(dim=1, keepdim=True)))))
        joined = torch.cat(front, dim=1)
        first = self._block(self.inner.layer1, joined)
        second = first + self._block(self.inner.layer2, first)
        third = second + self._block(self.inner.layer3, second)
        x = torch.cat([joined, first, second, third], dim=1)
        x = torch.cat([x.amax(dim=2), x.mean(dim=2)], dim=1)
        return self.inner.dense2(functional.relu(self.inner.bn(self.inner.dense1(x))))

    @staticmethod
    def _block(block: nn.Module, x: Tensor) -> Tensor:
        return functional.relu(block.bn(block.conv(x)))


PLAIN = {"fcn": PlainFCN, "musicnn": PlainMusicnn}


def stft(audio: Tensor, n_fft: int) -> Tensor:
    """Compute the STFT of `audio` (1, samples) with a root Hann window."""
    window = torch.hann_window(n_fft, device=audio.device).sqrt()
    return torch.stft(audio, n_fft, n_fft // 2, window=window, return_complex=True)


def istft(spectrum: Tensor, n_fft: int, samples: int) -> Tensor:
    """Compute the inverse of `stft`, (1, samples)."""
    window = torch.hann_window(n_fft, device=spectrum.device).sqrt()
    return torch.istft(spectrum, n_fft, n_fft // 2, window=window, length=samples)


def mask_mixture(mixture: Tensor, generated: Tensor, n_fft: int) -> Tensor:
    """Mask `mixture` by the magnitude of `generated`, both (1, samples)."""
    spectrum = stft(mixture, n_fft)
    magnitude, generated_magnitude = spectrum.abs(), stft(generated, n_fft).abs()
    mask = generated_magnitude / (torch.maximum(magnitude, generated_magnitude) + EPSILON)
    return istft(mask * spectrum, n_fft, mixture.shape[-1])


def cut_windows(audio: Tensor, window: int) -> Tensor:
    """Cut `audio` (1, samples) into (windows, window), the last one padded with silence."""
    count = math.ceil(audio.shape[-1] / window)
    return functional.pad(audio, (0, count * window - audio.shape[-1])).view(count, window)


def steps(
    state: Mapping[str, Tensor],
    mono: Tensor,
    taggers: Sequence[tuple[Callable[[Tensor], Tensor], nn.Module, int]],
    targets: Sequence[Tensor],
    sizes: Sequence[int],
    lr: float,
    seed: int = 0,
) -> Iterator[tuple[float, Tensor]]:
    """Yield the loss and the masked audio at the last FFT size after every step, without end.

    Args:
        state: the published weights by name.
        mono: (samples,) at 44.1 kHz, whole frames of 128 samples.
        taggers: of each the front end, the plain network and the samples of a window.
        targets: for each tagger the target tags, multi-hot (tags,).
        sizes: FFT sizes.
        lr: learning rate of Adam.
        seed: of the codebooks' random numbers.
    """
    jukebox = Jukebox(state)
    audio = (mono / mono.abs().max())[None, None]
    codebooks = [state[f"bottleneck.level_blocks.{level}.k"] for level in range(3)]
    bottlenecks = [Bottleneck(codebook, seed) for codebook in codebooks]
    with torch.no_grad():
        latents = [jukebox.encode(audio, level) for level in range(3)]
        mixture = jukebox.decode(bottlenecks[0].nearest(latents[0])[1], 0)[0]
    for values in latents:
        values.requires_grad_(True)
    adam = torch.optim.Adam(latents, lr=lr)
    while True:
        adam.zero_grad()
        decoded = [jukebox.decode(bottlenecks[i](latents[i]), i) for i in range(3)]
        generated = decoded[0][0]
        losses = []
        for size in sizes:
            for (frontend, network, window), target in zip(taggers, targets, strict=True):
                audio_16k = resample(mask_mixture(mixture, generated, size), 44_100, 16_000)
                probabilities = torch.sigmoid(network(frontend(cut_windows(audio_16k, window)))).mean(dim=0)
                losses.append(functional.binary_cross_entropy(probabilities, target))
        loss = torch.stack(losses).mean()
        loss.backward()
        last = mask_mixture(mixture, generated.detach(), sizes[-1])[0]
        adam.step()
        yield float(loss.detach()), last
