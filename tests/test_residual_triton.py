"""The Triton kernel of a residual block against the plain block: on a GPU, or in Triton's interpreter."""

import pytest
import torch

from tagbox.generators.vqvae import Residual

pytest.importorskip("triton", reason="Triton is not installed (pip install triton)")


@pytest.mark.parametrize(
    ("channels", "dilation", "positions", "batch"), [(32, 1, 300, 2), (64, 27, 200, 1), (16, 243, 150, 1)]
)
def test_the_kernel_is_the_plain_block(channels: int, dilation: int, positions: int, batch: int) -> None:
    from tagbox.kernels import residual_triton

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    plain = Residual(channels, dilation).requires_grad_(False)
    x = torch.randn(batch, channels, 1, positions).contiguous(memory_format=torch.channels_last)
    upstream = torch.randn(batch, channels, 1, positions)
    plain_input, our_input = x.clone().requires_grad_(), x.to(device).detach().requires_grad_()
    expected = plain(plain_input)
    expected.backward(upstream)
    block = Residual(channels, dilation).requires_grad_(False).to(device)
    block.load_state_dict(plain.state_dict())
    ours = residual_triton.residual(our_input, block.model[1], block.model[3])
    ours.backward(upstream.to(device))
    assert our_input.grad is not None
    torch.testing.assert_close(ours.cpu(), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(our_input.grad.cpu(), plain_input.grad, rtol=1e-4, atol=1e-5)
