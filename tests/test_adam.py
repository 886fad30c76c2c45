"""Adam computes PyTorch's numbers, and steering does not import PyTorch's compiler."""

import subprocess
import sys

import torch

from tagbox.kernels.adam import Adam


def test_every_step_is_that_of_pytorch() -> None:
    draw = torch.Generator().manual_seed(0)
    start = [torch.randn(3, 40, generator=draw), torch.randn(7, generator=draw)]
    scale = torch.logspace(-6, 3, 40)
    ours = [each.clone().requires_grad_() for each in start]
    theirs = [each.clone().requires_grad_() for each in start]
    adam, reference = Adam(ours, lr=0.3), torch.optim.Adam(theirs, lr=0.3)
    for _ in range(20):
        for parameters, optimiser in ((ours, adam), (theirs, reference)):
            optimiser.zero_grad()
            loss = (parameters[0].sin() * scale).sum() + (parameters[1] ** 4).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-6)


def test_a_parameter_without_a_gradient_stays() -> None:
    still, moved = torch.ones(2, requires_grad=True), torch.ones(2, requires_grad=True)
    adam = Adam([still, moved], lr=0.1)
    moved.sum().backward()  # type: ignore[no-untyped-call]
    adam.step()
    assert still.tolist() == [1, 1]
    assert moved.tolist() != [1, 1]
    adam.zero_grad()
    assert moved.grad is None


def test_steering_imports_no_compiler() -> None:
    program = (
        "import sys, torch\n"
        "from tagbox import separate\n"
        "noise = 0.1 * torch.randn(1, 22050, generator=torch.Generator().manual_seed(0))\n"
        "separate(noise, 44100, ['violin'], preset='steered', steps=2, components=2, factorisations=1)\n"
        "sys.exit('torch._dynamo' in sys.modules or 'sympy' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=120).returncode == 0
