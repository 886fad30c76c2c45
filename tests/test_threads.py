"""Threads and memory as the program sets them up: in time, unless the user has, with the same numbers."""

import os
import subprocess
import sys

import pytest

from tagbox.kernels import threads

COMPUTE = """
import hashlib, torch
from tagbox.generators.vqvae import Stack
from tagbox.kernels import allocator
torch.manual_seed(0)
stack = Stack(16, [9, 3, 1]).requires_grad_(False)
x = torch.randn(1, 16, 1, 2000, requires_grad=True)
for _ in range(3):
    allocator.trim()
    x.grad = None
    stack(x).square().sum().backward()
result = hashlib.sha256(x.grad.contiguous().numpy().tobytes()).hexdigest()
"""

PROGRAM = f"""
import contextlib, sys
sys.argv = ["tagbox", "--version"]
from tagbox.cli import main
with contextlib.suppress(SystemExit):
    main()
assert "torch" not in sys.modules, "too late: PyTorch has been loaded"
{COMPUTE}
print(result)
"""


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "20000"}),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, {"OMP_WAIT_POLICY": "ACTIVE"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
    ],
)
def test_what_the_user_has_set_stays(variables: dict[str, str], expected: dict[str, str]) -> None:
    threads.limit_spinning(variables)
    assert variables == expected


@pytest.mark.skipif(sys.platform != "linux", reason="only GNU's OpenMP displays how it waits")
def test_openmp_reads_the_setting_in_time_and_the_numbers_stay() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in threads.PASSIVE_WAIT}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE"}
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment
    )
    assert finished.returncode == 0, finished.stderr
    if "GOMP_SPINCOUNT" in finished.stderr:  # other OpenMPs display other things
        assert "OMP_WAIT_POLICY = 'PASSIVE'" in finished.stderr
        assert "GOMP_SPINCOUNT = '20000'" in finished.stderr
    plain: dict[str, str] = {}
    exec(COMPUTE, plain)
    assert finished.stdout.split()[-1] == plain["result"]
