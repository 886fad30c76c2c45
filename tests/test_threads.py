"""Threads and memory as the program sets them up: in time, unless the user has, with the same numbers."""

import os
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize(
    ("text", "given"),
    [("1", True), ("4,2", True), (" 4 , 2 ", True), ("+3", True), ("100000", True), ("", False), (" ", False)]
    + [(text, False) for text in ("0", "-2", "two", "4,", "4,0", "1.5", "4;2", "0x4")],
)
def test_numbers_of_threads_are_those_of_openmp(text: str, given: bool) -> None:
    """What is no list of positive numbers is ignored, by GNU's OpenMP too, which says so."""
    assert threads.are_threads_given({"OMP_NUM_THREADS": text}) is given
    assert not threads.are_threads_given({})
    if text in ("4,2", "two") and sys.platform == "linux":
        environment = {**os.environ, "OMP_NUM_THREADS": text}
        done = subprocess.run(
            [sys.executable, "-c", "import torch"], capture_output=True, text=True, env=environment
        )
        assert given == ("OMP_NUM_THREADS" not in done.stderr)


def test_cores_are_those_that_the_process_may_use(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    group = tmp_path / "sys/fs/cgroup/a/b"
    group.mkdir(parents=True)
    every = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    assert threads.available_cores(tmp_path) == every
    (tmp_path / "proc/self/cgroup").write_text("0::/a/b\n")
    (group / "cpu.max").write_text("max 100000\n")
    assert threads.available_cores(tmp_path) == every
    (group.parent / "cpu.max").write_text("50000 100000\n")
    assert threads.available_cores(tmp_path) == 1
    (group.parent / "cpu.max").write_text("150000 100000\n")
    assert threads.available_cores(tmp_path) == min(every, 2)
    (group.parent / "cpu.max").write_text("nonsense\n")
    old = tmp_path / "sys/fs/cgroup/cpu/a"
    old.mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("3:cpuset:/\n2:cpu,cpuacct:/a\n")
    for name, value in (("cpu.cfs_quota_us", 20000), ("cpu.cfs_period_us", 100000)):
        (old / name).write_text(str(value))
    assert threads.available_cores(tmp_path) == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to cores")
def test_a_process_bound_to_one_core_has_one() -> None:
    program = (
        "import os; from tagbox.kernels.threads import available_cores;"
        "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]); print(available_cores())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


SEPARATE = """
import os, torch, tagbox
torch.set_num_threads(3)
x = 0.1 * torch.randn(1, 8000, generator=torch.Generator().manual_seed(0))
before = len(os.listdir("/proc/self/task"))
tagbox.separate(x, 8000, ["violin"], components=2, factorisations=1)
print(len(os.listdir("/proc/self/task")) - before, torch.get_num_threads())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
@pytest.mark.parametrize(("given", "started"), [(None, 0), ("3,2", 2)])
def test_components_start_no_threads_unless_they_are_asked_for(given: str | None, started: int) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= {} if given is None else {"OMP_NUM_THREADS": given}
    done = subprocess.run([sys.executable, "-c", SEPARATE], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(started), "3"]
