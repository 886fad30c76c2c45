r"""The end of a decoder: a doubling of the rate and a convolution to audio, with nothing between them.

Both are linear, so they are one convolution. With x what the doubling hears, u what it says and y the audio,

.. math::
    u_{2t} = w_1 x_t + w_3 x_{t-1} + b, \qquad u_{2t+1} = w_0 x_{t+1} + w_2 x_t + b, \qquad
    y_n = \sum_k o_k u_{n+k-1} + c

every pair of samples depends on three positions of x alone. All channels at the highest rate, the largest
signal of the whole decoder, are never made. The audio's first and last sample see no u beyond the ends, where
it would be zero by definition and not by these formulas; what they make of it is taken off again.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional


def upsample_and_project(x: Tensor, doubling: nn.ConvTranspose1d, out: nn.Conv1d) -> Tensor:
    """What `out` makes of what `doubling` makes of `x`; gradients reach `x` alone.

    Args:
        x: (batch, channels, 1, time).
        doubling: of kernel 4, stride 2, padding 1.
        out: of kernel 3, padding 1, to one channel.

    Returns:
        (batch, 1, 1, 2 * time).
    """
    assert doubling.bias is not None and out.bias is not None
    # Rounded once, at the end.
    w, o = doubling.weight.float().unbind(2), out.weight.float()[0].unbind(1)

    def heard(*pairs: tuple[int, int]) -> Tensor:
        """One position of x by taps of w, and what they say by taps of o: (channels,)."""
        return sum((w[i] @ o[k] for i, k in pairs), torch.zeros_like(w[0][:, 0]))

    even = [heard((2, 0), (3, 1)), heard((0, 0), (1, 1), (2, 2)), heard((0, 2))]
    odd = [heard((3, 0)), heard((1, 0), (2, 1), (3, 2)), heard((0, 1), (1, 2))]
    weight = torch.stack([torch.stack(even, 1), torch.stack(odd, 1)])
    said = [doubling.bias.float() @ each for each in o]
    bias = (out.bias.float() + said[0] + said[1] + said[2]).repeat(2)
    beyond = torch.stack([heard((0, 0)), heard((3, 2))])
    numbers = [each.to(x.dtype) for each in (weight, bias, beyond, torch.stack([said[0], said[2]]))]
    return cast(Tensor, _Played.apply(x, *numbers))  # type: ignore[no-untyped-call]


class _Played(torch.autograd.Function):
    """Pairs of samples, and what two of them must not hear: what would stand in u before and after it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, beyond: Tensor, said: Tensor) -> Tensor:
        ctx.save_for_backward(weight, beyond)
        pairs = functional.conv2d(x, _last(weight), bias, 1, (0, 1))
        batch, _, _, time = pairs.shape
        y = pairs.permute(0, 2, 3, 1).reshape(batch, 1, 1, 2 * time)
        y[:, 0, 0, 0] -= x[:, :, 0, 0] @ beyond[0] + said[0]
        y[:, 0, 0, -1] -= x[:, :, 0, -1] @ beyond[1] + said[1]
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, beyond = ctx.saved_tensors
        (g,) = gradients
        pairs = g.reshape(len(g), 1, -1, 2).permute(0, 3, 1, 2)
        found = functional.conv2d(pairs, _last(weight.flip(2).transpose(0, 1)), None, 1, (0, 1))
        found[:, :, 0, 0] -= g[:, 0, 0, :1] * beyond[0]
        found[:, :, 0, -1] -= g[:, 0, 0, -1:] * beyond[1]
        return found, None, None, None, None


def _last(weight: Tensor) -> Tensor:
    """(out, in, taps) as (out, in, 1, taps), channels last."""
    return weight[:, :, None].contiguous(memory_format=torch.channels_last)
