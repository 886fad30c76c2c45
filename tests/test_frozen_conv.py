"""Convolutions with frozen weights against PyTorch's own, forward and backward."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.generators.vqvae import TimeConv, TimeConvTranspose
from tagbox.kernels import frozen_conv
from tagbox.taggers.networks.layers import tall_filters_maxpool

# A float32 sum of n products rounds by about the square root of n times 2^-24, of numbers of a few units. The
# longest sums here have 13 * 7 products forward, and 7 * 20 backward: 2 * 12 * 2^-24 = 1.4e-6.
TOLERANCE = 1e-5


def twins(*shape: int) -> tuple[Tensor, Tensor]:
    """Two equal inputs, each with a gradient of its own."""
    x = torch.randn(*shape, generator=torch.Generator().manual_seed(1))
    return x.clone().requires_grad_(), x.clone().requires_grad_()


def assert_same(ours: Tensor, plain: Tensor, our_input: Tensor, plain_input: Tensor) -> None:
    """Compare outputs, and the inputs' gradients for one upstream gradient."""
    torch.testing.assert_close(ours, plain, rtol=TOLERANCE, atol=TOLERANCE)
    upstream = torch.randn(plain.shape, generator=torch.Generator().manual_seed(2))
    plain.backward(upstream)
    ours.backward(upstream)
    torch.testing.assert_close(our_input.grad, plain_input.grad, rtol=TOLERANCE, atol=TOLERANCE)


def test_maxima_of_tall_filters_are_those_of_conv2d() -> None:
    torch.manual_seed(0)
    weight, bias = torch.randn(6, 1, 13, 7), torch.randn(6)
    x, y = twins(2, 20, 30)
    plain = functional.conv2d(x[:, None], weight, bias, padding=(0, 3)).amax(dim=2)
    assert_same(tall_filters_maxpool(y, weight, bias, 3), plain, y, x)
    with torch.no_grad():
        torch.testing.assert_close(tall_filters_maxpool(y, weight, bias, 3), plain)


@pytest.mark.parametrize("outputs", [1, 1 << 23])
@pytest.mark.parametrize("channels", [1, 3])
def test_convolution_and_maximum_are_those_of_conv2d(
    channels: int, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen_conv, "MAX_CONV_OUTPUTS", outputs)
    torch.manual_seed(0)
    weight, bias = torch.randn(5, channels, 3, 3), torch.randn(5)
    x, y = twins(2, channels, 9, 14)
    plain = functional.max_pool2d(functional.conv2d(x, weight, bias, padding=1), (2, 4))
    assert_same(frozen_conv.conv_maxpool(y, weight, bias, (1, 1), (2, 4)), plain, y, x)


def test_weights_in_training_get_gradients() -> None:
    weight = torch.randn(5, 1, 3, 3, requires_grad=True)
    x = torch.randn(2, 1, 9, 14, requires_grad=True)
    frozen_conv.conv_maxpool(x, weight, torch.zeros(5), (1, 1), (2, 4)).sum().backward()
    assert weight.grad is not None


def test_unfolded_bands_are_those_of_unfold() -> None:
    x, y = twins(2, 20, 30)
    plain = x.unfold(1, 7, 1).permute(0, 3, 1, 2)
    assert_same(frozen_conv.unfold_bands(y, 7), plain, y, x)


@pytest.mark.parametrize("time", [50, 51])
@pytest.mark.parametrize("kind", ["same length", "halving", "doubling"])
def test_frozen_convolutions_in_time_are_those_in_training(kind: str, time: int) -> None:
    make: dict[str, nn.Module] = {
        "same length": TimeConv(8, 4, 3, padding=1),
        "halving": TimeConv(8, 4, 4, stride=2, padding=1),
        "doubling": TimeConvTranspose(8, 4, 4, stride=2, padding=1),
    }
    x, y = twins(2, 8, 1, time)
    plain = make[kind](x)
    assert_same(make[kind].requires_grad_(False)(y), plain, y, x)
