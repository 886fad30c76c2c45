"""The fused residual block against the plain one, under Triton's interpreter: no GPU is needed, Triton is."""

import pytest
import torch

from tagbox.generators.vqvae import Residual

pytest.importorskip("triton", reason="Triton is not installed (pip install triton)")


@pytest.mark.parametrize(
    ("channels", "dilation", "positions", "batch"), [(32, 1, 300, 2), (64, 27, 200, 1), (16, 243, 150, 1)]
)
def test_the_fused_block_is_the_plain_block(channels: int, dilation: int, positions: int, batch: int) -> None:
    from tagbox.kernels import residual_triton

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    plain = Residual(channels, dilation).requires_grad_(False)
    x = torch.randn(batch, channels, 1, positions).contiguous(memory_format=torch.channels_last)
    upstream = torch.randn(batch, channels, 1, positions)
    there, here = x.clone().requires_grad_(), x.to(device).detach().requires_grad_()
    expected = plain(there)
    expected.backward(upstream)
    block = Residual(channels, dilation).requires_grad_(False).to(device)
    block.load_state_dict(plain.state_dict())
    got = residual_triton.residual(here, block.model[1], block.model[3])
    got.backward(upstream.to(device))
    assert here.grad is not None
    torch.testing.assert_close(got.cpu(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(here.grad.cpu(), there.grad, rtol=1e-4, atol=1e-5)
