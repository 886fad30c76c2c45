"""Frozen residual blocks on a CPU against the plain ones, of any length, with oneDNN or without."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tagbox.generators.vqvae import Residual, Stack
from tagbox.kernels import conv_onednn, residual_cpu


@pytest.fixture(params=["fused", "plain"])
def convolutions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "plain":
        monkeypatch.setattr(conv_onednn, "_has_fused_operations", lambda x: False)


# Rounding errors of a float32 sum of n products grow as the square root of n. Five blocks with sums of 3 * 16
# and of 16 products, evaluated twice: 2 * 5 * (7 + 4) * 2^-24 = 7e-6, relative to numbers of about 1.
TOLERANCE = 1e-5


def smallest_activation(stack: Stack, x: Tensor) -> float:
    """Find the number nearest to zero that a ReLU of `stack` is applied to."""
    smallest = []

    def record_input(module: nn.Module, inputs: tuple[Tensor]) -> None:
        smallest.append(float(inputs[0].abs().min()))

    def record_output(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        smallest.append(float(output.abs().min()))

    hooks = [block.register_forward_pre_hook(record_input) for block in stack.model]
    hooks += [block.model[1].register_forward_hook(record_output) for block in stack.model]
    with torch.no_grad():
        stack.model(x)
    for hook in hooks:
        hook.remove()
    return min(smallest)


def draw(dilations: list[int], batch: int, time: int) -> tuple[Stack, Tensor, Tensor]:
    """Draw blocks, input and upstream gradient so that rounding decides at no ReLU, on any processor."""
    for seed in range(100):
        torch.manual_seed(seed)
        stack = Stack(16, dilations).requires_grad_(False)
        x, upstream = torch.randn(batch, 16, 1, time), torch.randn(batch, 16, 1, time)
        if smallest_activation(stack, x) > 2e-6:
            return stack, x, upstream
    raise AssertionError("rounding decides at some ReLU, whatever the seed")


def output_and_gradient(stack: Stack, x: Tensor, upstream: Tensor, plain: bool) -> tuple[Tensor, Tensor]:
    """Run the kernel, or the modules one by one where `plain`."""
    moved = x.clone().requires_grad_()
    y = stack.model(moved) if plain else stack(moved)
    y.backward(upstream)
    assert moved.grad is not None
    return y.detach(), moved.grad


@pytest.fixture(params=["_MaskSavingBlocks", "_ActivationSavingBlocks"])
def saved(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Save in float32 what is saved in bfloat16, too: fused even where a processor has no bfloat16."""
    function = getattr(residual_cpu, request.param)
    monkeypatch.setattr(residual_cpu, "_function_for", lambda dtype: function)


@pytest.mark.usefixtures("convolutions", "saved")
@pytest.mark.parametrize("tile", [150, 32768])
@pytest.mark.parametrize(("batch", "time"), [(1, 1000), (3, 301), (2, 60)])
def test_blocks_are_the_plain_blocks(
    tile: int, batch: int, time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conv_onednn, "MAX_TILE_POSITIONS", tile)
    stack, x, upstream = draw([81, 27, 9, 3, 1], batch, time)
    before = x.clone()
    expected, expected_gradient = output_and_gradient(stack, x, upstream, plain=True)
    y, gradient = output_and_gradient(stack, x, upstream, plain=False)
    assert torch.equal(x, before)
    torch.testing.assert_close(y, expected, rtol=TOLERANCE, atol=TOLERANCE)
    torch.testing.assert_close(gradient, expected_gradient, rtol=TOLERANCE, atol=TOLERANCE)
    with torch.no_grad():
        torch.testing.assert_close(stack(x), expected, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.usefixtures("convolutions")
def test_bfloat16_is_as_close_to_float32_as_the_plain_blocks_are() -> None:
    torch.manual_seed(0)
    exact = Stack(32, [27, 9, 3, 1]).requires_grad_(False)
    rough = Stack(32, [27, 9, 3, 1]).requires_grad_(False)
    rough.load_state_dict(exact.state_dict())
    rough = rough.bfloat16()
    x, upstream = torch.randn(1, 32, 1, 500), torch.randn(1, 32, 1, 500)
    expected = output_and_gradient(exact, x, upstream, plain=True)
    plain = output_and_gradient(rough, x.bfloat16(), upstream.bfloat16(), plain=True)
    ours = output_and_gradient(rough, x.bfloat16(), upstream.bfloat16(), plain=False)
    for exact_value, plain_value, our_value in zip(expected, plain, ours, strict=True):
        plain_error, our_error = (
            (value.float() - exact_value).norm() / exact_value.norm() for value in (plain_value, our_value)
        )
        assert our_error < 1.2 * plain_error < 0.05


def test_the_backward_pass_can_be_repeated() -> None:
    stack = Stack(16, [3, 1]).requires_grad_(False)
    x = torch.randn(1, 16, 1, 50).requires_grad_()
    y = stack(x).square().sum()
    (first,) = torch.autograd.grad(y, x, retain_graph=True)
    (second,) = torch.autograd.grad(y, x)
    assert torch.equal(first, second)


def test_weights_in_training_run_the_plain_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> Tensor:
        raise AssertionError("these blocks give weights no gradient")

    monkeypatch.setattr(residual_cpu, "residual_blocks", refuse)
    stack = Stack(16, [3, 1])
    stack(torch.randn(1, 16, 1, 50)).sum().backward()
    first = stack.model[0]
    assert isinstance(first, Residual)
    assert all(parameter.grad is not None for parameter in first.parameters())


def test_a_buffer_is_reused_and_never_while_it_is_needed() -> None:
    torch.manual_seed(0)
    stack = Stack(16, [9, 3, 1]).requires_grad_(False)
    inputs = [torch.randn(1, 16, 1, length) for length in (300, 300, 200)]
    expected = [output_and_gradient(stack, x, torch.ones_like(x), plain=True)[1] for x in inputs]
    for x, right in zip(inputs, expected, strict=True):
        torch.testing.assert_close(output_and_gradient(stack, x, torch.ones_like(x), plain=False)[1], right)
    buffers = [buffer.data_ptr() for buffer in stack._reusable]
    output_and_gradient(stack, inputs[-1], torch.ones_like(inputs[-1]), plain=False)
    assert len(buffers) == 1 and [buffer.data_ptr() for buffer in stack._reusable] == buffers
    # Several forward passes before any backward pass.
    moved = [x.clone().requires_grad_() for x in inputs]
    torch.stack([stack(x).sum() for x in moved]).sum().backward()
    for x, right in zip(moved, expected, strict=True):
        torch.testing.assert_close(x.grad, right)


def test_distant_taps_are_neighbours_of_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    dilations = []
    convolve = conv_onednn._conv

    def record(x: Tensor, *arguments: Any) -> Tensor:
        dilations.append(arguments[3])
        return convolve(x, *arguments)

    monkeypatch.setattr(conv_onednn, "_conv", record)
    stack = Stack(16, [729, 27, 1]).requires_grad_(False)
    output_and_gradient(stack, torch.randn(1, 16, 1, 3000), torch.randn(1, 16, 1, 3000), plain=False)
    assert {tuple(dilation) for dilation in dilations} == {(1, 1), (1, 27)}
