r"""The VQ-VAE of Jukebox (Dhariwal et al. 2020, arXiv 2005.00341, section 3): one autoencoder a level.

An encoder halves the rate again and again. Each halving is a strided convolution followed by residual blocks

.. math::  x \leftarrow x + W_1 * \mathrm{relu}(W_3 *_d \mathrm{relu}(x))

whose dilations d grow as powers of three in the encoder and shrink in the decoder: a few blocks see far. A
level with hop 32 is made of two groups of halvings, 8 and 4; every group ends in the latents' dimensions. The
decoder mirrors all of it. Levels share nothing: to use one, nothing of the others is computed.

The modules nest so that the names of their weights are the published ones.
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

FRAMES_AT_ONCE = 512
"""Compared with the codebook in one go: 2048 entries make that 4 MB, which a cache holds."""


@dataclass(frozen=True)
class VQVAEConfig:
    """The shape of a VQ-VAE.

    Attributes:
        widths: channels, by level.
        depths: residual blocks after each halving, by level.
        halvings: of the rate in each group; level l has groups 0 to l.
        dimensions: of a latent.
        entries: of each codebook.
        rate: of the audio, Hz.
    """

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    halvings: tuple[int, ...]
    dimensions: int = 64
    entries: int = 2048
    rate: int = 44_100

    @property
    def hops(self) -> tuple[int, ...]:
        """Samples a frame, by level."""
        return tuple(2 ** sum(self.halvings[: level + 1]) for level in range(len(self.widths)))


JUKEBOX = VQVAEConfig(widths=(64, 32, 32), depths=(8, 4, 4), halvings=(3, 2, 2))


# Convolutions in time run as two-dimensional ones of height 1, whose channels-last form is about twice as
# fast on CPUs (and no slower on GPUs): signals are (batch, channels, 1, time) throughout.


class TimeConv(nn.Conv1d):
    """`Conv1d` on (batch, channels, 1, time)."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight[:, :, None].contiguous(memory_format=torch.channels_last)
        stride, padding, dilation = (cast(int, one[0]) for one in (self.stride, self.padding, self.dilation))
        if _forgets(self, x):
            return frozen_conv.conv(x, weight, self.bias, stride, padding, dilation)
        return functional.conv2d(x, weight, self.bias, (1, stride), (0, padding), (1, dilation))


class TimeConvTranspose(nn.ConvTranspose1d):
    """`ConvTranspose1d` on (batch, channels, 1, time)."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        if _forgets(self, x) and (self.kernel_size, self.stride, self.padding) == ((4,), (2,), (1,)):
            return self._doubled(x)
        weight = self.weight[:, :, None].contiguous(memory_format=torch.channels_last)
        padding = (0, cast(int, self.padding[0]))
        return functional.conv_transpose2d(x, weight, self.bias, (1, self.stride[0]), padding)

    def _doubled(self, x: Tensor) -> Tensor:
        """As a convolution whose outputs are two positions each: oneDNN's fastest, and no pass of its own.

        With taps w, ``y[2t] = w1 x[t] + w3 x[t - 1]`` and ``y[2t + 1] = w0 x[t + 1] + w2 x[t]``.
        """
        w0, w1, w2, w3 = self.weight.transpose(0, 1).unbind(2)
        zero = torch.zeros_like(w0)
        taps = torch.cat([torch.stack([w3, w1, zero], 2), torch.stack([zero, w2, w0], 2)])
        bias = None if self.bias is None else self.bias.repeat(2)
        weight = taps[:, :, None].contiguous(memory_format=torch.channels_last)
        y = frozen_conv.conv(x, weight, bias, padding=1)
        batch, channels, _, time = y.shape
        rows = y.permute(0, 2, 3, 1).reshape(batch, 1, 2 * time, channels // 2)
        return rows.permute(0, 3, 1, 2)


def _forgets(module: nn.Module, x: Tensor) -> bool:
    """Whether nothing need be kept of `x`: the weights are frozen, and it is on a CPU."""
    return x.device.type == "cpu" and not next(module.parameters()).requires_grad


def _fusable(wide: nn.Module) -> bool:
    """Whether a block can be one kernel: Triton is there, and its products come in sizes that it knows."""
    channels = cast(nn.Conv1d, wide).in_channels
    frozen = not next(wide.parameters()).requires_grad
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

    def weights(self) -> conv_onednn.Block:
        """The weights as `tagbox.kernels.residual_cpu` takes them."""
        _, wide, _, narrow = self.model
        return conv_onednn.Block.of(cast(nn.Conv1d, wide), cast(nn.Conv1d, narrow))

    def forward(self, x: Tensor) -> Tensor:
        _, wide, _, narrow = self.model
        if x.is_cuda and _fusable(wide):
            from tagbox.kernels import residual_triton

            return residual_triton.residual(x, cast(nn.Conv1d, wide), cast(nn.Conv1d, narrow))
        # In place where no gradient needs what was there: memory, not arithmetic, is what a block waits for.
        hidden = functional.relu_(wide(functional.relu(x)))
        return cast(Tensor, narrow(hidden)).add_(x)


class Stack(nn.Module):
    """Residual blocks, one dilation each; frozen ones on a CPU run as `tagbox.kernels.residual_cpu` has them."""

    def __init__(self, width: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.model = nn.Sequential(*(Residual(width, dilation) for dilation in dilations))
        self._spare: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or next(self.parameters()).requires_grad:
            return cast(Tensor, self.model(x))
        return residual_cpu.blocks(x, [cast(Residual, block).weights() for block in self.model], self._spare)


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

    def before_doubling(self, x: Tensor) -> tuple[Tensor, nn.ConvTranspose1d]:
        """What the last doubling hears, and that doubling."""
        stack, doubling = cast(nn.Sequential, self.model[-1])
        return stack(self.model[:-1](x)), cast(nn.ConvTranspose1d, doubling)


class Encoder(nn.Module):
    """Audio (batch, 1, 1, samples) to latents (batch, dimensions, 1, frames)."""

    def __init__(self, design: VQVAEConfig, level: int) -> None:
        super().__init__()
        width, depth = design.widths[level], design.depths[level]
        self.level_blocks = nn.ModuleList(
            Down(1 if group == 0 else design.dimensions, design.dimensions, width, depth, halvings)
            for group, halvings in enumerate(design.halvings[: level + 1])
        )

    def forward(self, x: Tensor) -> Tensor:
        for block in self.level_blocks:
            x = block(x)
        return x


class Decoder(nn.Module):
    """Latents (batch, dimensions, 1, frames) to audio (batch, 1, 1, samples)."""

    def __init__(self, design: VQVAEConfig, level: int) -> None:
        super().__init__()
        width, depth = design.widths[level], design.depths[level]
        self.level_blocks = nn.ModuleList(
            Up(design.dimensions, width, depth, halvings) for halvings in design.halvings[: level + 1]
        )
        self.out = TimeConv(design.dimensions, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        *coarse, finest = reversed(self.level_blocks)
        for block in coarse:
            x = block(x)
        if self.out.weight.requires_grad:
            return cast(Tensor, self.out(finest(x)))
        return upsample_conv.upsample_and_project(*cast(Up, finest).before_doubling(x), self.out)


class Codebook(nn.Module):
    """The entries of one level, as weights that no optimiser sees."""

    k: Tensor

    def __init__(self, entries: int, dimensions: int) -> None:
        super().__init__()
        self.register_buffer("k", torch.zeros(entries, dimensions))


class Bottleneck(nn.Module):
    """All levels' codebooks."""

    def __init__(self, design: VQVAEConfig) -> None:
        super().__init__()
        self.level_blocks = nn.ModuleList(Codebook(design.entries, design.dimensions) for _ in design.widths)


class VQVAE(nn.Module):
    """All levels of a VQ-VAE; names and shapes of the weights are the published ones."""

    def __init__(self, design: VQVAEConfig) -> None:
        super().__init__()
        self.design = design
        levels = range(len(design.widths))
        self.encoders = nn.ModuleList(Encoder(design, level) for level in levels)
        self.decoders = nn.ModuleList(Decoder(design, level) for level in levels)
        self.bottleneck = Bottleneck(design)

    def encode(self, audio: Tensor, level: int = 0) -> Tensor:
        """Audio (batch, 1, samples), whole frames, to latents (batch, dimensions, frames)."""
        x = audio[:, :, None].contiguous(memory_format=torch.channels_last)
        return cast(Tensor, self.encoders[level](x))[:, :, 0]

    def decode(self, latents: Tensor, level: int = 0) -> Tensor:
        """Latents (batch, dimensions, frames) to audio (batch, 1, samples), in the latents' precision.

        The decoder may compute in another: see `lowered`.
        """
        decoder = cast(Decoder, self.decoders[level])
        x = latents[:, :, None].to(decoder.out.weight.dtype).contiguous(memory_format=torch.channels_last)
        return cast(Tensor, decoder(x))[:, :, 0].to(latents.dtype)

    def to_precision(self, dtype: torch.dtype) -> "VQVAE":
        """A copy whose decoders compute in `dtype`. What is encoded and quantised stays as it is."""
        copied = copy.deepcopy(self)
        copied.decoders.to(dtype)
        return copied

    def codebook(self, level: int = 0) -> Tensor:
        """(entries, dimensions)."""
        return cast(Codebook, self.bottleneck.level_blocks[level]).k

    def quantise(self, latents: Tensor, level: int = 0) -> tuple[Tensor, Tensor]:
        """Codes (batch, frames) and the entries that they stand for (batch, dimensions, frames)."""
        return nearest(latents, self.codebook(level))


@torch.no_grad()
def nearest(latents: Tensor, codebook: Tensor) -> tuple[Tensor, Tensor]:
    """Codes (batch, frames) and entries (batch, dimensions, frames) of `codebook` nearest to `latents`."""
    batch, dimensions, frames = latents.shape
    flat = latents.transpose(1, 2).reshape(-1, dimensions)
    # |x - k|^2 less |x|^2, which is the same for all entries, as one product: (x, 1) times (-2 k, |k|^2).
    lifted = functional.pad(flat, (0, 1), value=1.0)
    against = torch.cat([-2 * codebook, codebook.square().sum(dim=1, keepdim=True)], dim=1).T
    codes = torch.empty(len(flat), dtype=torch.long, device=flat.device)
    # Every part writes where the one before did, so that it stays in the cache.
    distances = flat.new_empty(min(FRAMES_AT_ONCE, len(flat)), len(codebook))
    least = flat.new_empty(len(distances))
    parts, places = torch.split(lifted, FRAMES_AT_ONCE), torch.split(codes, FRAMES_AT_ONCE)
    for part, found in zip(parts, places, strict=True):
        here = distances[: len(part)]
        torch.mm(part, against, out=here)
        torch.min(here, dim=1, out=(least[: len(part)], found))
    entries = codebook[codes].view(batch, frames, dimensions).transpose(1, 2)
    return codes.view(batch, frames), entries
