"""Frozen residual blocks on a CPU against the plain ones: of any length, however cut, oneDNN or not."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tagbox.generators.vqvae import Residual, Stack, TimeConv, TimeConvTranspose
from tagbox.kernels import conv_onednn, residual_cpu


@pytest.fixture(params=["fused", "plain"])
def convolutions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "plain":
        monkeypatch.setattr(conv_onednn, "_fuses", lambda x: False)


def both(stack: Stack, x: Tensor, upstream: Tensor, plain: bool) -> tuple[Tensor, Tensor]:
    """Output and gradient."""
    moved = x.clone().requires_grad_()
    y = stack.model(moved) if plain else stack(moved)
    y.backward(upstream)
    assert moved.grad is not None
    return y.detach(), moved.grad


@pytest.fixture(params=["_Marking", "_Keeping"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What bfloat16 keeps can be had in float32, too: then fused where a processor has no bfloat16."""
    kind = getattr(residual_cpu, request.param)
    monkeypatch.setattr(residual_cpu, "_kind", lambda dtype: kind)


@pytest.mark.usefixtures("convolutions", "kept")
@pytest.mark.parametrize("piece", [150, 32768])
@pytest.mark.parametrize(("batch", "time"), [(1, 1000), (3, 301), (2, 60)])
def test_lean_blocks_are_the_plain_blocks(
    piece: int, batch: int, time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conv_onednn, "PIECE", piece)
    torch.manual_seed(0)
    stack = Stack(16, [81, 27, 9, 3, 1]).requires_grad_(False)
    x, upstream = torch.randn(batch, 16, 1, time), torch.randn(batch, 16, 1, time)
    before = x.clone()
    expected, expected_gradient = both(stack, x, upstream, plain=True)
    y, gradient = both(stack, x, upstream, plain=False)
    assert torch.equal(x, before)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(stack(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("convolutions")
def test_in_bfloat16_they_are_as_near_to_the_exact_ones_as_the_plain_ones_are() -> None:
    torch.manual_seed(0)
    exact = Stack(32, [27, 9, 3, 1]).requires_grad_(False)
    rough = Stack(32, [27, 9, 3, 1]).requires_grad_(False)
    rough.load_state_dict(exact.state_dict())
    rough = rough.bfloat16()
    x, upstream = torch.randn(1, 32, 1, 500), torch.randn(1, 32, 1, 500)
    wanted = both(exact, x, upstream, plain=True)
    plain = both(rough, x.bfloat16(), upstream.bfloat16(), plain=True)
    lean_ones = both(rough, x.bfloat16(), upstream.bfloat16(), plain=False)
    for right, one, other in zip(wanted, plain, lean_ones, strict=True):
        usual, ours = ((got.float() - right).norm() / right.norm() for got in (one, other))
        assert ours < 1.2 * usual < 0.05


def test_a_gradient_can_be_asked_for_twice() -> None:
    stack = Stack(16, [3, 1]).requires_grad_(False)
    x = torch.randn(1, 16, 1, 50).requires_grad_()
    y = stack(x).square().sum()
    (first,) = torch.autograd.grad(y, x, retain_graph=True)
    (second,) = torch.autograd.grad(y, x)
    assert torch.equal(first, second)


def test_weights_that_learn_take_the_plain_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> Tensor:
        raise AssertionError("lean blocks give weights no gradient")

    monkeypatch.setattr(residual_cpu, "blocks", refuse)
    stack = Stack(16, [3, 1])
    stack(torch.randn(1, 16, 1, 50)).sum().backward()
    first = stack.model[0]
    assert isinstance(first, Residual)
    assert all(parameter.grad is not None for parameter in first.parameters())


@pytest.mark.parametrize("time", [50, 51])
def test_frozen_convolutions_in_time_are_those_that_learn(time: int) -> None:
    for make in (
        lambda: TimeConv(8, 4, 3, padding=1),
        lambda: TimeConv(8, 4, 4, stride=2, padding=1),
        lambda: TimeConvTranspose(8, 4, 4, stride=2, padding=1),
    ):
        torch.manual_seed(0)
        plain, ours = make(), make()
        ours.load_state_dict(plain.state_dict())
        ours.requires_grad_(False)
        x = torch.randn(2, 8, 1, time)
        there, here = x.clone().requires_grad_(), x.clone().requires_grad_()
        expected, got = plain(there), ours(here)
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-5)
        upstream = torch.randn(expected.shape)
        expected.backward(upstream)
        got.backward(upstream)
        torch.testing.assert_close(here.grad, there.grad, rtol=1e-5, atol=1e-5)


def test_room_is_used_again_and_never_while_it_is_needed() -> None:
    torch.manual_seed(0)
    stack = Stack(16, [9, 3, 1]).requires_grad_(False)
    inputs = [torch.randn(1, 16, 1, length) for length in (300, 300, 200)]
    expected = [both(stack, x, torch.ones_like(x), plain=True)[1] for x in inputs]
    for x, right in zip(inputs, expected, strict=True):
        torch.testing.assert_close(both(stack, x, torch.ones_like(x), plain=False)[1], right)
    rooms = [room.data_ptr() for room in stack._spare]
    both(stack, inputs[-1], torch.ones_like(inputs[-1]), plain=False)
    assert len(rooms) == 1 and [room.data_ptr() for room in stack._spare] == rooms
    # Two ways there before any way back.
    moved = [x.clone().requires_grad_() for x in inputs]
    torch.stack([stack(x).sum() for x in moved]).sum().backward()
    for x, right in zip(moved, expected, strict=True):
        torch.testing.assert_close(x.grad, right)


def test_in_float32_taps_lie_near_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    convolved = conv_onednn._convolved

    def noting(x: Tensor, *how: Any) -> Tensor:
        asked.append(how[3])
        return convolved(x, *how)

    monkeypatch.setattr(conv_onednn, "_convolved", noting)
    stack = Stack(16, [729, 27, 1]).requires_grad_(False)
    both(stack, torch.randn(1, 16, 1, 3000), torch.randn(1, 16, 1, 3000), plain=False)
    assert {tuple(apart) for apart in asked} == {(1, 1), (1, 27)}
