"""Threads wait as the program says, and as the user says where the user says something."""

import os
import subprocess
import sys

import pytest

from tagbox.kernels import threads

START = """
import contextlib, sys
sys.argv = ["tagbox", "--version"]
from tagbox.cli import main
with contextlib.suppress(SystemExit):
    main()
assert "torch" not in sys.modules, "too late: PyTorch has been loaded"
import torch
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only GNU's OpenMP tells how it waits")
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ("OMP_WAIT_POLICY = 'PASSIVE'", "GOMP_SPINCOUNT = '20000'")),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ("OMP_WAIT_POLICY = 'ACTIVE'",)),
        ({"GOMP_SPINCOUNT": "7"}, ("GOMP_SPINCOUNT = '7'",)),
    ],
)
def test_openmp_hears_of_it_in_time(asked: dict[str, str], expected: tuple[str, ...]) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in threads.PASSIVE_WAIT}
    environment |= {"OMP_DISPLAY_ENV": "VERBOSE"} | asked
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("this PyTorch has another OpenMP")
    assert all(line in done.stderr for line in expected), done.stderr
