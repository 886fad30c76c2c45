r"""Residual blocks with frozen weights on a GPU: the same numbers, one Triton kernel forward, two backward.

Plain twin: `tagbox.generators.vqvae.Residual`. Parity test: tests/test_residual_triton.py.

Eager PyTorch passes over memory eight times for a block

.. math::  y = x + W_1 \, \mathrm{relu}(W_3 *_d \mathrm{relu}(x) + b_3) + b_1

whose 64 channels are too few to keep a GPU's arithmetic busy meanwhile. Here a tile of positions stays on
the chip for three shifted products with the taps of :math:`W_3`, ReLU and one product with :math:`W_1`.
With frozen weights only x is saved for the backward pass, which computes the sign of the hidden signal again:

.. math::
    \bar h = (W_1^T \bar y) \odot [W_3 *_d \mathrm{relu}(x) + b_3 > 0], \qquad
    \bar x = \bar y + [x > 0] \odot (W_3^T *_d \bar h)

Signals are (positions, channels), rows contiguous, which is channels-last memory.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE_POSITIONS = 128
"""Positions that one program of a kernel computes."""


@triton.jit  # type: ignore[untyped-decorator]
def _hidden(x, w3, b3, rows, row, total, dilation, channels: tl.constexpr, tile: tl.constexpr):  # type: ignore[no-untyped-def]
    """Compute W3 * relu(x) + b3 at the positions `rows` (tile,) of batch item `row`, in float32."""
    columns = tl.arange(0, channels)
    result = tl.zeros((tile, channels), tl.float32) + tl.load(b3 + columns).to(tl.float32)[None, :]
    for tap in tl.static_range(3):
        at = rows + (tap - 1) * dilation
        inside = (at >= 0) & (at < total)
        values = tl.load(
            x + (row * total + at)[:, None] * channels + columns[None, :], mask=inside[:, None], other=0.0
        )
        weight = tl.load(w3 + tap * channels * channels + columns[:, None] * channels + columns[None, :])
        result = tl.dot(tl.maximum(values, 0.0), weight, result, input_precision="ieee")
    return result


@triton.jit  # type: ignore[untyped-decorator]
def _forward(x, y, w3, b3, w1, b1, total, dilation, channels: tl.constexpr, tile: tl.constexpr):  # type: ignore[no-untyped-def]
    rows = tl.program_id(0) * tile + tl.arange(0, tile)
    row = tl.program_id(1).to(tl.int64)
    columns = tl.arange(0, channels)
    hidden = tl.maximum(_hidden(x, w3, b3, rows, row, total, dilation, channels, tile), 0.0)
    weight = tl.load(w1 + columns[:, None] * channels + columns[None, :])
    at = (row * total + rows)[:, None] * channels + columns[None, :]
    inside = (rows < total)[:, None]
    out = tl.dot(hidden.to(weight.dtype), weight, input_precision="ieee")
    out += tl.load(b1 + columns).to(tl.float32)[None, :] + tl.load(x + at, mask=inside, other=0.0).to(
        tl.float32
    )
    tl.store(y + at, out.to(weight.dtype), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _backward_hidden(  # type: ignore[no-untyped-def]
    x, gy, gh, w3, b3, w1t, total, dilation, channels: tl.constexpr, tile: tl.constexpr
):
    rows = tl.program_id(0) * tile + tl.arange(0, tile)
    row = tl.program_id(1).to(tl.int64)
    columns = tl.arange(0, channels)
    hidden = _hidden(x, w3, b3, rows, row, total, dilation, channels, tile)
    weight = tl.load(w1t + columns[:, None] * channels + columns[None, :])
    at = (row * total + rows)[:, None] * channels + columns[None, :]
    inside = (rows < total)[:, None]
    gradient = tl.dot(tl.load(gy + at, mask=inside, other=0.0), weight, input_precision="ieee")
    tl.store(gh + at, tl.where(hidden > 0, gradient, 0.0).to(weight.dtype), mask=inside)


@triton.jit  # type: ignore[untyped-decorator]
def _backward_input(  # type: ignore[no-untyped-def]
    x, gy, gh, gx, w3t, total, dilation, channels: tl.constexpr, tile: tl.constexpr
):
    rows = tl.program_id(0) * tile + tl.arange(0, tile)
    row = tl.program_id(1).to(tl.int64)
    columns = tl.arange(0, channels)
    gradient = tl.zeros((tile, channels), tl.float32)
    for tap in tl.static_range(3):
        from_rows = rows - (tap - 1) * dilation
        inside_input = (from_rows >= 0) & (from_rows < total)
        values = tl.load(
            gh + (row * total + from_rows)[:, None] * channels + columns[None, :],
            mask=inside_input[:, None],
            other=0.0,
        )
        weight = tl.load(w3t + tap * channels * channels + columns[:, None] * channels + columns[None, :])
        gradient = tl.dot(values, weight, gradient, input_precision="ieee")
    at = (row * total + rows)[:, None] * channels + columns[None, :]
    inside = (rows < total)[:, None]
    own = tl.load(x + at, mask=inside, other=0.0)
    out = tl.where(own > 0, gradient, 0.0) + tl.load(gy + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(gx + at, out.to(own.dtype), mask=inside)


class _ResidualBlock(torch.autograd.Function):
    """A block on x (batch, positions, channels), contiguous. Gradients reach x only."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w3: Tensor, b3: Tensor, w1: Tensor, b1: Tensor, dilation: int) -> Tensor:
        batch, total, channels = x.shape
        y = torch.empty_like(x)
        grid = (triton.cdiv(total, TILE_POSITIONS), batch)
        _forward[grid](x, y, w3, b3, w1, b1, total, dilation, channels, TILE_POSITIONS)
        ctx.save_for_backward(x, w3, b3, w1)
        ctx.dilation = dilation
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, w3, b3, w1 = ctx.saved_tensors
        gy = gradients[0].contiguous()
        batch, total, channels = x.shape
        gh, gx = torch.empty_like(x), torch.empty_like(x)
        grid = (triton.cdiv(total, TILE_POSITIONS), batch)
        w1t, w3t = w1.T.contiguous(), w3.transpose(1, 2).contiguous()
        _backward_hidden[grid](x, gy, gh, w3, b3, w1t, total, ctx.dilation, channels, TILE_POSITIONS)
        _backward_input[grid](x, gy, gh, gx, w3t, total, ctx.dilation, channels, TILE_POSITIONS)
        return gx, None, None, None, None, None


def residual(x: Tensor, dilated: torch.nn.Conv1d, pointwise: torch.nn.Conv1d) -> Tensor:
    """Apply a residual block with frozen weights. Gradients reach `x` only.

    Args:
        x: (batch, channels, 1, positions), channels last in memory.
        dilated: the convolution with three taps.
        pointwise: the convolution with one tap.

    Returns:
        the shape and memory format of `x`.
    """
    w3 = dilated.weight.permute(2, 1, 0).contiguous()  # (tap, in, out)
    w1 = pointwise.weight[:, :, 0].T.contiguous()  # (in, out)
    assert dilated.bias is not None and pointwise.bias is not None
    rows = x[:, :, 0].transpose(1, 2).contiguous()
    y: Tensor = _ResidualBlock.apply(rows, w3, dilated.bias, w1, pointwise.bias, int(dilated.dilation[0]))  # type: ignore[no-untyped-call]
    return y.transpose(1, 2)[:, :, None]
