"""Run a convolutional network on a long signal in chunks, with the same result and bounded memory.

A chunk is computed together with as many of its neighbours as the network can see (its reach), which are then
cut off. Where gradients are needed, the activations of a chunk are computed again in the backward pass rather
than kept (Chen et al. 2016, arXiv 1604.06174), so that there are never those of more than one chunk.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

CHUNK_SECONDS = 2.0

Transform = Callable[[Tensor], Tensor]
"""A signal (batch, channels, time) to another one."""


def reach(network: nn.Module) -> float:
    """Return how far to either side an output of `network` can depend on its input, in samples of the input.

    The network's convolutions must follow one another in the order of `network.modules()`; parallel ones
    only make the answer larger than it has to be.
    """
    steps, spacing = 0.0, 1.0
    for module in network.modules():
        if isinstance(module, nn.Conv1d):
            steps += spacing * module.dilation[0] * (module.kernel_size[0] - 1)
            spacing *= module.stride[0]
        elif isinstance(module, nn.ConvTranspose1d):
            steps += spacing * math.ceil((module.kernel_size[0] - 1) / module.stride[0])
            spacing /= module.stride[0]
    return steps


@dataclass(frozen=True, eq=False)
class InChunks:
    """A network that is run chunk by chunk.

    Attributes:
        network: maps `inputs` samples of each frame to `outputs` samples.
        inputs: samples of a frame that goes in.
        outputs: samples of a frame that comes out; the last frame may lack some.
        frames: of the longest chunk.
        context: frames on either side that are computed and cut off.
    """

    network: Transform
    inputs: int
    outputs: int
    frames: int
    context: int

    @classmethod
    def of(cls, network: nn.Module, inputs: int, outputs: int, frames: int) -> "InChunks":
        """Run `network` with the context that it needs."""
        return cls(network, inputs, outputs, frames, math.ceil(reach(network) / inputs))

    def __call__(self, signal: Tensor) -> Tensor:
        """Map (batch, channels, frames * inputs) to (batch, channels, frames * outputs)."""
        frames = signal.shape[-1] // self.inputs
        count = math.ceil(frames / self.frames)
        if count <= 1:
            return self.network(signal)
        size = math.ceil(frames / count)
        parts = []
        for start in range(0, frames, size):
            stop = min(start + size, frames)
            first, last = max(0, start - self.context), min(frames, stop + self.context)
            part = recomputed(self.network, signal[..., first * self.inputs : last * self.inputs])
            parts.append(part[..., (start - first) * self.outputs : (stop - first) * self.outputs])
        return torch.cat(parts, dim=-1)


def recomputed(network: Transform, signal: Tensor) -> Tensor:
    """Run `network` without keeping its activations: the backward pass computes them again."""
    if not (torch.is_grad_enabled() and signal.requires_grad):
        return network(signal)
    output: Tensor = checkpoint(network, signal, use_reentrant=False, preserve_rng_state=False)
    return output


def chunk_frames(rate: int, hop: int) -> int:
    """Return how many frames a chunk has, given the sample rate and the samples of a frame."""
    return max(1, round(CHUNK_SECONDS * rate / hop))
