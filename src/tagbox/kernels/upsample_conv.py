r"""The last layers of a frozen decoder: the same numbers, by convolutions at half of the output's rate.

Plain twins: `torch.nn.ConvTranspose1d`, and after it `torch.nn.Conv1d`. Parity test:
tests/test_upsample_conv.py.

A transposed convolution with four taps w that doubles the rate gives, for an input x,

.. math::  u_{2t} = w_1 x_t + w_3 x_{t-1} + b, \qquad u_{2t+1} = w_0 x_{t+1} + w_2 x_t + b

which is an ordinary convolution at the rate of x with two outputs for each position: oneDNN's fastest,
without a pass of its own to interleave them.

The projection to audio, :math:`y_n = \sum_k o_k u_{n+k-1} + c`, is linear as well. So both together are one
convolution: every pair of samples depends on three positions of x. The channels of u, the largest signal of
the whole decoder, are never computed. Beyond its ends u is zero by definition and not by these formulas, so
what they contribute there to the first and the last sample is subtracted.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.kernels import frozen_conv


def upsample(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Double the rate of `x` (batch, channels, 1, time): (batch, out, 1, 2 time). Gradients reach `x` only.

    Args:
        weight: of a transposed convolution of kernel 4, stride 2, padding 1: (channels, out, 4).
        bias: (out,).
    """
    w0, w1, w2, w3 = weight.transpose(0, 1).unbind(2)
    zero = torch.zeros_like(w0)
    taps = torch.cat([torch.stack([w3, w1, zero], 2), torch.stack([zero, w2, w0], 2)])
    y = frozen_conv.conv(x, _with_height(taps), None if bias is None else bias.repeat(2), padding=1)
    batch, channels, _, time = y.shape
    rows = y.permute(0, 2, 3, 1).reshape(batch, 1, 2 * time, channels // 2)
    return rows.permute(0, 3, 1, 2)


def upsample_and_project(x: Tensor, doubling: nn.ConvTranspose1d, out: nn.Conv1d) -> Tensor:
    """Apply `doubling`, then `out`. Gradients reach `x` only.

    Args:
        x: (batch, channels, 1, time).
        doubling: of kernel 4, stride 2, padding 1.
        out: of kernel 3, padding 1, to one channel.

    Returns:
        (batch, 1, 1, 2 time).
    """
    assert doubling.bias is not None and out.bias is not None
    # Computed in float32, and rounded once, at the end.
    w, o = doubling.weight.float().unbind(2), out.weight.float()[0].unbind(1)
    even = [
        _combined_tap(w, o, (2, 0), (3, 1)),
        _combined_tap(w, o, (0, 0), (1, 1), (2, 2)),
        _combined_tap(w, o, (0, 2)),
    ]
    odd = [
        _combined_tap(w, o, (3, 0)),
        _combined_tap(w, o, (1, 0), (2, 1), (3, 2)),
        _combined_tap(w, o, (0, 1), (1, 2)),
    ]
    weight = torch.stack([torch.stack(even, 1), torch.stack(odd, 1)])
    bias_by_tap = [doubling.bias.float() @ tap for tap in o]
    bias = (out.bias.float() + bias_by_tap[0] + bias_by_tap[1] + bias_by_tap[2]).repeat(2)
    edge_weight = torch.stack([_combined_tap(w, o, (0, 0)), _combined_tap(w, o, (3, 2))])
    edge_bias = torch.stack([bias_by_tap[0], bias_by_tap[2]])
    rounded = [each.to(x.dtype) for each in (weight, bias, edge_weight, edge_bias)]
    return cast(Tensor, _UpsampleAndProject.apply(x, *rounded))  # type: ignore[no-untyped-call]


def _combined_tap(w: tuple[Tensor, ...], o: tuple[Tensor, ...], *tap_pairs: tuple[int, int]) -> Tensor:
    """Sum products of taps of w (channels, inner) and of o (inner,), given by their indices: (channels,)."""
    return sum((w[i] @ o[k] for i, k in tap_pairs), torch.zeros_like(w[0][:, 0]))


class _UpsampleAndProject(torch.autograd.Function):
    """Pairs of samples by one convolution, less what u beyond its ends would contribute to two of them.

    The contribution to the first and the last sample is `edge_weight` (2, channels) times the first and the
    last position of x, plus `edge_bias` (2,).
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, edge_weight: Tensor, edge_bias: Tensor
    ) -> Tensor:
        ctx.save_for_backward(weight, edge_weight)
        pairs = functional.conv2d(x, _with_height(weight), bias, 1, (0, 1))
        batch, _, _, time = pairs.shape
        y = pairs.permute(0, 2, 3, 1).reshape(batch, 1, 1, 2 * time)
        y[:, 0, 0, 0] -= x[:, :, 0, 0] @ edge_weight[0] + edge_bias[0]
        y[:, 0, 0, -1] -= x[:, :, 0, -1] @ edge_weight[1] + edge_bias[1]
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        weight, edge_weight = ctx.saved_tensors
        (upstream,) = gradients
        pairs = upstream.reshape(len(upstream), 1, -1, 2).permute(0, 3, 1, 2)
        gradient = functional.conv2d(pairs, _with_height(weight.flip(2).transpose(0, 1)), None, 1, (0, 1))
        gradient[:, :, 0, 0] -= upstream[:, 0, 0, :1] * edge_weight[0]
        gradient[:, :, 0, -1] -= upstream[:, 0, 0, -1:] * edge_weight[1]
        return gradient, None, None, None, None


def _with_height(weight: Tensor) -> Tensor:
    """View (out, in, taps) as (out, in, 1, taps), channels last in memory."""
    return weight[:, :, None].contiguous(memory_format=torch.channels_last)
