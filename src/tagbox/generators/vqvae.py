r"""The VQ-VAE of Jukebox (Dhariwal et al. 2020, arXiv 2005.00341, section 3): one autoencoder for each level.

An encoder halves the rate several times. Each halving is a strided convolution followed by residual blocks

.. math::  x \leftarrow x + W_1 * \mathrm{relu}(W_3 *_d \mathrm{relu}(x))

whose dilations d grow as powers of three in the encoder and shrink in the decoder, so that a few blocks have
a wide receptive field. A level with hop length 32 consists of two groups of halvings, 8 and 4; every group
ends in as many channels as a latent has dimensions. The decoder mirrors the encoder. Levels share nothing:
nothing of the others is computed to use one.

Modules are nested so that the names of their weights are the published ones.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.kernels import conv_onednn, frozen_conv, residual_cpu, upsample_conv
from tagbox.kernels.nearest_entries import nearest_entries


@dataclass(frozen=True)
class VQVAEConfig:
    """The architecture of a VQ-VAE.

    Attributes:
        widths: channels, by level.
        depths: residual blocks after each halving, by level.
        halvings: how often each group halves the rate; level l has groups 0 to l.
        dimensions: of a latent.
        entries: of each codebook.
        rate: sample rate of the audio, Hz.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    halvings: tuple[int, ...]
    dimensions: int = 64
    entries: int = 2048
    rate: int = 44_100

    @property
    def hops(self) -> tuple[int, ...]:
        """The hop length of each level, samples of audio for a frame of latents."""
        return tuple(2 ** sum(self.halvings[: level + 1]) for level in range(len(self.widths)))


JUKEBOX = VQVAEConfig(widths=(64, 32, 32), depths=(8, 4, 4), halvings=(3, 2, 2))


# Convolutions in time run as two-dimensional ones of height 1, whose channels-last form is about twice as
# fast on CPUs (and no slower on GPUs): signals are (batch, channels, 1, time) throughout.


class TimeConv(nn.Conv1d):
    """`Conv1d` on (batch, channels, 1, time)."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight[:, :, None].contiguous(memory_format=torch.channels_last)
        stride, padding, dilation = (cast(int, one[0]) for one in (self.stride, self.padding, self.dilation))
        if _frozen_on_cpu(self, x):
            return frozen_conv.conv(x, weight, self.bias, stride, padding, dilation)
        return functional.conv2d(x, weight, self.bias, (1, stride), (0, padding), (1, dilation))


class TimeConvTranspose(nn.ConvTranspose1d):
    """`ConvTranspose1d` on (batch, channels, 1, time)."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        doubles_rate = (self.kernel_size, self.stride, self.padding) == ((4,), (2,), (1,))
        if doubles_rate and _frozen_on_cpu(self, x):
            return upsample_conv.upsample(x, self.weight, self.bias)
        weight = self.weight[:, :, None].contiguous(memory_format=torch.channels_last)
        padding = (0, cast(int, self.padding[0]))
        return functional.conv_transpose2d(x, weight, self.bias, (1, self.stride[0]), padding)


def _frozen_on_cpu(module: nn.Module, x: Tensor) -> bool:
    return x.device.type == "cpu" and not next(module.parameters()).requires_grad


def _has_triton_kernel(dilated: nn.Module) -> bool:
    """Return whether `residual_triton` can run a block: it is frozen, and of a width that Triton knows."""
    channels = cast(nn.Conv1d, dilated).in_channels
    frozen = not next(dilated.parameters()).requires_grad
    return frozen and channels in (16, 32, 64, 128) and find_spec("triton") is not None


class Residual(nn.Module):
    """One residual block."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.model = nn.Sequential(
            nn.ReLU(),
            TimeConv(width, width, 3, padding=dilation, dilation=dilation),
            nn.ReLU(),
            TimeConv(width, width, 1),
        )

    def packed(self) -> conv_onednn.PackedBlock:
        """Return the weights as `tagbox.kernels.residual_cpu` takes them."""
        _, dilated, _, pointwise = self.model
        return conv_onednn.PackedBlock.of(cast(nn.Conv1d, dilated), cast(nn.Conv1d, pointwise))

    def forward(self, x: Tensor) -> Tensor:
        _, dilated, _, pointwise = self.model
        if x.is_cuda and _has_triton_kernel(dilated):
            from tagbox.kernels import residual_triton

            return residual_triton.residual(x, cast(nn.Conv1d, dilated), cast(nn.Conv1d, pointwise))
        # In place where no gradient needs the former values: a block is limited by memory, not by arithmetic.
        hidden = functional.relu_(dilated(functional.relu(x)))
        return cast(Tensor, pointwise(hidden)).add_(x)


class Stack(nn.Module):
    """Residual blocks, one for each dilation; frozen ones on a CPU run by `tagbox.kernels.residual_cpu`."""

    def __init__(self, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.model = nn.Sequential(*(Residual(width, dilation) for dilation in dilations))
        self._reusable: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or next(self.parameters()).requires_grad:
            return cast(Tensor, self.model(x))
        packed = [cast(Residual, block).packed() for block in self.model]
        return residual_cpu.residual_blocks(x, packed, self._reusable)


class Down(nn.Module):
    """A group of halvings: (batch, in, 1, time) to (batch, dimensions, 1, time / 2^halvings)."""

    def __init__(self, inputs: int, dimensions: int, width: int, depth: int, halvings: int) -> None:
        super().__init__()
        dilations = [3**block for block in range(depth)]
        stages = [
            nn.Sequential(
                TimeConv(inputs if i == 0 else width, width, 4, stride=2, padding=1), Stack(width, dilations)
            )
            for i in range(halvings)
        ]
        self.model = nn.Sequential(*stages, TimeConv(width, dimensions, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.model(x))


class Up(nn.Module):
    """A group of doublings: (batch, dimensions, 1, time) to (batch, dimensions, 1, time * 2^halvings)."""

    def __init__(self, dimensions: int, width: int, depth: int, halvings: int) -> None:
        super().__init__()
        dilations = [3**block for block in reversed(range(depth))]
        stages = [
            nn.Sequential(
                Stack(width, dilations),
                TimeConvTranspose(width, dimensions if i == halvings - 1 else width, 4, stride=2, padding=1),
            )
            for i in range(halvings)
        ]
        self.model = nn.Sequential(TimeConv(dimensions, width, 3, padding=1), *stages)

    def forward(self, x: Tensor) -> Tensor:
        return cast(Tensor, self.model(x))

    def before_last_doubling(self, x: Tensor) -> tuple[Tensor, nn.ConvTranspose1d]:
        """Return the input of the last doubling, and that doubling."""
        stack, doubling = cast(nn.Sequential, self.model[-1])
        return stack(self.model[:-1](x)), cast(nn.ConvTranspose1d, doubling)


class Encoder(nn.Module):
    """Audio (batch, 1, 1, samples) to latents (batch, dimensions, 1, frames)."""

    def __init__(self, config: VQVAEConfig, level: int) -> None:
        super().__init__()
        width, depth = config.widths[level], config.depths[level]
        self.level_blocks = nn.ModuleList(
            Down(1 if group == 0 else config.dimensions, config.dimensions, width, depth, halvings)
            for group, halvings in enumerate(config.halvings[: level + 1])
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.level_blocks:
            x = block(x)
        return x


class Decoder(nn.Module):
    """Latents (batch, dimensions, 1, frames) to audio (batch, 1, 1, samples)."""

    def __init__(self, config: VQVAEConfig, level: int) -> None:
        super().__init__()
        width, depth = config.widths[level], config.depths[level]
        self.level_blocks = nn.ModuleList(
            Up(config.dimensions, width, depth, halvings) for halvings in config.halvings[: level + 1]
        )
        self.out = TimeConv(config.dimensions, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        *coarse, finest = reversed(self.level_blocks)
        for block in coarse:
            x = block(x)
        if self.out.weight.requires_grad:
            return cast(Tensor, self.out(finest(x)))
        return upsample_conv.upsample_and_project(*cast(Up, finest).before_last_doubling(x), self.out)


class Codebook(nn.Module):
    """The codebook of one level, as a buffer, which no optimiser moves."""

    k: Tensor

    def __init__(self, entries: int, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("k", torch.zeros(entries, dimensions))


class Bottleneck(nn.Module):
    """The codebooks of all levels."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.level_blocks = nn.ModuleList(Codebook(config.entries, config.dimensions) for _ in config.widths)


class VQVAE(nn.Module):
    """All levels of a VQ-VAE, under the published names of the weights."""

    def __init__(self, config: VQVAEConfig) -> None:
        super().__init__()
        self.config = config
        levels = range(len(config.widths))
        self.encoders = nn.ModuleList(Encoder(config, level) for level in levels)
        self.decoders = nn.ModuleList(Decoder(config, level) for level in levels)
        self.bottleneck = Bottleneck(config)

    def encode(self, audio: Tensor, level: int = 0) -> Tensor:
        """Encode audio (batch, 1, samples), whole frames, to latents (batch, dimensions, frames)."""
        x = audio[:, :, None].contiguous(memory_format=torch.channels_last)
        return cast(Tensor, self.encoders[level](x))[:, :, 0]

    def decode(self, latents: Tensor, level: int = 0) -> Tensor:
        """Decode latents (batch, dimensions, frames) to audio (batch, 1, samples), in the latents' precision.

        The decoder may compute in another one (see `to_precision`).
        """
        decoder = cast(Decoder, self.decoders[level])
        x = latents[:, :, None].to(decoder.out.weight.dtype).contiguous(memory_format=torch.channels_last)
        return cast(Tensor, decoder(x))[:, :, 0].to(latents.dtype)

    def to_precision(self, dtype: torch.dtype) -> "VQVAE":
        """Return a copy whose decoders compute in `dtype`; encoders and codebooks stay as they are."""
        copied = copy.deepcopy(self)
        copied.decoders.to(dtype)
        return copied

    def codebook(self, level: int = 0) -> Tensor:
        """Return the codebook of `level`, (entries, dimensions)."""
        return cast(Codebook, self.bottleneck.level_blocks[level]).k

    def quantise(self, latents: Tensor, level: int = 0) -> tuple[Tensor, Tensor]:
        """Find the nearest entries: codes (batch, frames) and entries (batch, dimensions, frames)."""
        return nearest_entries(latents, self.codebook(level))
