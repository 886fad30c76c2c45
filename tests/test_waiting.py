"""Threads wait as the program says, and as the user says where the user says something."""

import os
import subprocess
import sys

import pytest

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
@pytest.mark.parametrize(("asked", "expected"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_openmp_hears_of_it_in_time(asked: str | None, expected: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_DISPLAY_ENV": "TRUE"} | ({} if asked is None else {"OMP_WAIT_POLICY": asked})
    done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    if "OMP_WAIT_POLICY" not in done.stderr:
        pytest.skip("this PyTorch has another OpenMP")
    assert f"OMP_WAIT_POLICY = '{expected}'" in done.stderr
