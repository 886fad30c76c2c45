"""Fused convolutions against PyTorch's own, with oneDNN's operations and without them."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tagbox.kernels import conv_onednn
from tagbox.kernels.conv_onednn import CLAMP_MAX, PackedBlock

CHANNELS = 16
TIME = 300

# A float32 sum of n products is off by at most n * 2^-24 of the sum of their magnitudes, here about 1 each;
# two orders of the same 3 * 16 products differ by at most twice that.
TOLERANCE = 2 * 3 * CHANNELS * 2**-24


@pytest.fixture(params=["fused", "plain"], autouse=True)
def operations(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "plain":
        monkeypatch.setattr(conv_onednn, "_has_fused_operations", lambda x: False)


@pytest.fixture(params=[1, 27, 81, 243])
def dilated(request: pytest.FixtureRequest) -> nn.Conv1d:
    torch.manual_seed(request.param)
    return nn.Conv1d(CHANNELS, CHANNELS, 3, dilation=request.param).requires_grad_(False)


@pytest.fixture
def pointwise() -> nn.Conv1d:
    torch.manual_seed(1)
    return nn.Conv1d(CHANNELS, CHANNELS, 1).requires_grad_(False)


@pytest.fixture
def block(dilated: nn.Conv1d, pointwise: nn.Conv1d) -> PackedBlock:
    return PackedBlock.of(dilated, pointwise)


def noise(time: int) -> Tensor:
    """(1, channels, 1, time), channels last in memory."""
    return torch.randn(1, CHANNELS, 1, time).contiguous(memory_format=torch.channels_last)


def test_dilated_convolutions(dilated: nn.Conv1d, block: PackedBlock) -> None:
    for _, size in conv_onednn.tiles(TIME, block):
        x = noise(size + 2 * block.dilation)
        plain = dilated(x[:, :, 0])[:, :, None]
        torch.testing.assert_close(conv_onednn.conv_relu(x, block), plain.relu(), rtol=0, atol=TOLERANCE)
        clamped = conv_onednn.conv_clamp(x, block)
        decided = plain.abs() > TOLERANCE
        assert torch.equal(clamped[decided], CLAMP_MAX * (plain > 0)[decided].float())


def test_gradients_of_the_dilated_convolution(dilated: nn.Conv1d, block: PackedBlock) -> None:
    for _, size in conv_onednn.tiles(TIME, block):
        x = noise(size + 2 * block.dilation).requires_grad_()
        upstream = noise(size)
        (plain,) = torch.autograd.grad(dilated(x[:, :, 0])[:, :, None], x, upstream)
        gradient = CLAMP_MAX * conv_onednn.conv_transpose(upstream, block)
        torch.testing.assert_close(gradient, plain, rtol=0, atol=TOLERANCE)


def test_pointwise_convolutions(pointwise: nn.Conv1d, block: PackedBlock) -> None:
    x, y, factor = noise(TIME), noise(TIME), noise(TIME)
    total = y.clone(memory_format=torch.channels_last)
    conv_onednn.add_pointwise(total, x, block)
    torch.testing.assert_close(total, y + pointwise(x[:, :, 0])[:, :, None], rtol=0, atol=TOLERANCE)
    plain = functional.conv2d(x, pointwise.weight.transpose(0, 1)[..., None])
    gradient = conv_onednn.pointwise_backward(x, block)
    torch.testing.assert_close(gradient, plain, rtol=0, atol=TOLERANCE)
    product = conv_onednn.pointwise_backward_times(x, block, factor)
    torch.testing.assert_close(product, plain * factor, rtol=2**-23, atol=4 * TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_signs_decide_elementwise_operations(dtype: torch.dtype) -> None:
    x, addend, gradient = (noise(TIME).to(dtype) for _ in range(3))
    out = torch.empty_like(x)
    conv_onednn.relu_into(x, out)
    assert torch.equal(out, x.relu())
    expected = torch.where(x > 0, gradient + addend, gradient)
    conv_onednn.add_where_positive(out, addend, gradient)
    assert torch.equal(gradient, expected)


@pytest.mark.parametrize("time", [1, 31, 300, 50_000])
def test_tiles_cover_every_position_once(time: int, block: PackedBlock) -> None:
    positions = [start + i for start, size in conv_onednn.tiles(time, block) for i in range(size)]
    assert positions == list(range(time))
