r"""A residual block of the VQ-VAE as one kernel each way, for GPUs (Triton).

Eager PyTorch passes over memory eight times for a block

.. math::  y = x + W_1 \, \mathrm{relu}(W_3 *_d \mathrm{relu}(x) + b_3) + b_1

whose 64 channels are too few to keep a GPU's arithmetic busy meanwhile. Here a tile of positions stays on
the chip: three shifted products with the taps of :math:`W_3`, ReLU, one product with :math:`W_1`, and out.
For frozen weights nothing but x is kept for the way back, which computes the hidden sign again:

.. math::
    \bar h = (W_1^T \bar y) \odot [W_3 *_d \mathrm{relu}(x) + b_3 > 0], \qquad
    \bar x = \bar y + [x > 0] \odot (W_3^T *_d \bar h)

Signals are (positions, channels), rows contiguous: what channels-last memory is.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

POSITIONS = 128
"""Of a tile."""


@triton.jit  # type: ignore[untyped-decorator]
def _hidden(x, w3, b3, rows, row, total, dilation, channels: tl.constexpr, tile: tl.constexpr):  # type: ignore[no-untyped-def]
    """W3 * relu(x) + b3 at `rows` (tile,), in float32."""
    columns = tl.arange(0, channels)
    result = tl.zeros((tile, channels), tl.float32) + tl.load(b3 + columns).to(tl.float32)[None, :]
    for tap in tl.static_range(3):
        at = rows + (tap - 1) * dilation
        inside = (at >= 0) & (at < total)
        seen = tl.load(
            x + (row * total + at)[:, None] * channels + columns[None, :], mask=inside[:, None], other=0.0
        )
        weight = tl.load(w3 + tap * channels * channels + columns[:, None] * channels + columns[None, :])
        result = tl.dot(tl.maximum(seen, 0.0), weight, result, input_precision="ieee")
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
        there = (from_rows >= 0) & (from_rows < total)
        seen = tl.load(
            gh + (row * total + from_rows)[:, None] * channels + columns[None, :],
            mask=there[:, None],
            other=0.0,
        )
        weight = tl.load(w3t + tap * channels * channels + columns[:, None] * channels + columns[None, :])
        gradient = tl.dot(seen, weight, gradient, input_precision="ieee")
    at = (row * total + rows)[:, None] * channels + columns[None, :]
    inside = (rows < total)[:, None]
    own = tl.load(x + at, mask=inside, other=0.0)
    out = tl.where(own > 0, gradient, 0.0) + tl.load(gy + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(gx + at, out.to(own.dtype), mask=inside)


class _Block(torch.autograd.Function):
    """The block on x (batch, positions, channels), contiguous; gradients reach x alone."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, taps: Tensor, b3: Tensor, mixing: Tensor, b1: Tensor, dilation: int
    ) -> Tensor:
        batch, total, channels = x.shape
        y = torch.empty_like(x)
        grid = (triton.cdiv(total, POSITIONS), batch)
        _forward[grid](x, y, taps, b3, mixing, b1, total, dilation, channels, POSITIONS)
        ctx.save_for_backward(x, taps, b3, mixing)
        ctx.dilation = dilation
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, taps, b3, mixing = ctx.saved_tensors
        gy = gradients[0].contiguous()
        batch, total, channels = x.shape
        gh, gx = torch.empty_like(x), torch.empty_like(x)
        grid = (triton.cdiv(total, POSITIONS), batch)
        turned, back = mixing.T.contiguous(), taps.transpose(1, 2).contiguous()
        _backward_hidden[grid](x, gy, gh, taps, b3, turned, total, ctx.dilation, channels, POSITIONS)
        _backward_input[grid](x, gy, gh, gx, back, total, ctx.dilation, channels, POSITIONS)
        return gx, None, None, None, None, None


def residual(x: Tensor, wide: torch.nn.Conv1d, narrow: torch.nn.Conv1d) -> Tensor:
    """What `tagbox.generators.vqvae.Residual` computes, for frozen weights.

    Args:
        x: (batch, channels, 1, positions), channels last in memory.
        wide: the dilated convolution with three taps.
        narrow: the convolution with one.

    Returns:
        the shape and memory format of `x`.
    """
    taps = wide.weight.permute(2, 1, 0).contiguous()  # (tap, in, out)
    mixing = narrow.weight[:, :, 0].T.contiguous()  # (in, out)
    assert wide.bias is not None and narrow.bias is not None
    rows = x[:, :, 0].transpose(1, 2).contiguous()
    y: Tensor = _Block.apply(rows, taps, wide.bias, mixing, narrow.bias, int(wide.dilation[0]))  # type: ignore[no-untyped-call]
    return y.transpose(1, 2)[:, :, None]
