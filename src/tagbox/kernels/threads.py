"""How many threads compute, and how they wait for each other: the same numbers, fit for a shared machine.

Separating by components takes thousands of short steps. A second thread makes 3 s of audio slower, and 10 s a
tenth faster for half as much work again (`docs/python.md` has the figures); where other programs want the
cores, threads that wait for each other take many times as long. So it computes on one thread. Steering a
generator, whose convolutions are large, takes all cores that the process may use.

By default OpenMP's threads spin while they wait, which saves microseconds on an idle machine. Where other
processes want the same cores, spinning threads hold up the very threads that they wait for: with ten
processes on two cores, steps took nine times as long. Threads that sleep at once make an idle machine a
quarter slower, because a step waits thousands of times. So they spin for some tens of microseconds and then
sleep. OpenMP reads this setting when PyTorch is loaded, so it has to be set before. Only the `tagbox` program
sets it; a program that uses TagBox as a library decides for itself.

OMP_NUM_THREADS, where it is set as OpenMP defines it, decides how many threads there are.

Plain twin: not calling it. Parity test: tests/test_threads.py.
"""

import math
import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from pathlib import Path

PASSIVE_WAIT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "20000"}
"""Environment variables. GNU's OpenMP counts iterations of the spinning loop; others know only the policy."""

_NUMBERS = re.compile(r"\s*\+?0*[1-9]\d*\s*(,\s*\+?0*[1-9]\d*\s*)*")


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads sleep soon while they wait, unless the user has set either variable."""
    if not any(name in environment for name in PASSIVE_WAIT):
        environment.update(PASSIVE_WAIT)


def are_threads_given(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether OMP_NUM_THREADS is what OpenMP takes: positive numbers, one a level of nesting.

    OpenMP ignores other texts, and so the empty one.
    """
    return _NUMBERS.fullmatch(environment.get("OMP_NUM_THREADS", "")) is not None


def available_cores(root: Path = Path("/")) -> int:
    """Count the cores that this process may use: by its affinity, and by its control group's share of time.

    Args:
        root: below which proc and sys lie.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else os.cpu_count() or 1
    return max(1, min([cores, *(math.ceil(share) for share in _shares(root))]))


@contextmanager
def threads_that_pay(many: bool) -> Iterator[None]:
    """Compute on as many threads as pay until the block ends, unless OMP_NUM_THREADS says how many.

    Args:
        many: whether operations are large enough for several threads.
    """
    import torch

    before = torch.get_num_threads()
    wanted = before if are_threads_given() else min(before, available_cores() if many else 1)
    if wanted == before:
        yield
        return
    torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _shares(root: Path) -> Iterator[float]:
    """Yield how many cores' time each control group above this process may use (Linux, versions 2 and 1)."""
    groups: list[list[str]] = []
    with suppress(OSError):
        text = (root / "proc/self/cgroup").read_text(errors="replace")
        groups = [line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2]
    for _, controllers, path in groups:
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / ("cpu" if controllers else "")
        inner = top / path.strip("/")
        for folder in [each for each in (inner, *inner.parents) if each == top or top in each.parents]:
            with suppress(OSError, ValueError, ZeroDivisionError):
                if controllers:
                    names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                    quota, period = (int((folder / name).read_text()) for name in names)
                else:
                    quota, period = (int(each) for each in (folder / "cpu.max").read_text().split())
                if quota > 0:
                    yield quota / period
