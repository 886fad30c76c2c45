"""The end of a decoder as one convolution, against the two layers that it consists of."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from tagbox.generators.vqvae import VQVAE, TimeConv, TimeConvTranspose, VQVAEConfig
from tagbox.kernels import upsample_conv

CONFIG = VQVAEConfig(widths=(8,), depths=(2,), halvings=(2,), dimensions=8, entries=16)


# A float32 sum of n products rounds by about the square root of n times 2^-24. The longest sums here have 2 *
# 12 products, then 3 * 9: 2 * (5 + 5) * 2^-24 = 1.2e-6 of numbers of about 1.
TOLERANCE = 1e-5


def layers(channels: int, inner: int) -> tuple[TimeConvTranspose, TimeConv]:
    torch.manual_seed(0)
    doubling, out = (
        TimeConvTranspose(channels, inner, 4, stride=2, padding=1),
        TimeConv(inner, 1, 3, padding=1),
    )
    return doubling.requires_grad_(False), out.requires_grad_(False)


@settings(max_examples=25)
@given(st.integers(1, 3), st.integers(1, 12), st.integers(1, 9), st.integers(1, 40))
def test_one_convolution_is_the_two_layers(batch: int, channels: int, inner: int, time: int) -> None:
    doubling, out = layers(channels, inner)
    x, upstream = torch.randn(batch, channels, 1, time), torch.randn(batch, 1, 1, 2 * time)
    plain_input, our_input = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected = out(doubling(plain_input))
    ours = upsample_conv.upsample_and_project(our_input, doubling, out)
    torch.testing.assert_close(ours, expected, rtol=TOLERANCE, atol=TOLERANCE)
    expected.backward(upstream)
    ours.backward(upstream)
    torch.testing.assert_close(our_input.grad, plain_input.grad, rtol=TOLERANCE, atol=TOLERANCE)


def test_bfloat16_is_closer_to_float32_than_the_two_layers_are() -> None:
    doubling, out = layers(32, 32)
    x = torch.randn(1, 32, 1, 500)
    exact = out(doubling(x))
    rough, low = x.bfloat16(), [module.bfloat16() for module in layers(32, 32)]
    two = (low[1](low[0](rough)).float() - exact).norm()
    one = (upsample_conv.upsample_and_project(rough, low[0], low[1]).float() - exact).norm()
    assert one < two < 0.05 * exact.norm()


@pytest.mark.parametrize("training", [False, True])
def test_all_channels_at_the_highest_rate_are_computed_in_training_only(
    training: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    for kind in (TimeConv, TimeConvTranspose):

        def record(self: nn.Module, x: Tensor, *rest: object, forward: object = kind.forward) -> Tensor:
            y: Tensor = forward(self, x, *rest)  # type: ignore[operator]
            lengths.append(y.shape[3])
            return y

        monkeypatch.setattr(kind, "forward", record)
    model = VQVAE(CONFIG).requires_grad_(training)
    assert model.decode(torch.randn(1, 8, 10)).shape == (1, 1, 40)
    assert max(lengths) == (40 if training else 20)
