"""How many processes pay on this machine: the rule for --jobs where it is left out.

Methods that compute on one thread gain from a process per core (`docs/scale.md`). A method that
steers a generator, whose convolutions take all cores, gains nothing, and neither does a GPU. A process takes
a few seconds to start and half a gigabyte, so each has to have enough to do.
"""

import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tagbox.kernels.threads import available_cores
from tagbox.parallel.storage import Place, size_of

MIN_BYTES_PER_PROCESS = 1_000_000
"""Of recordings: a minute of mp3, or 6 s of wav."""
WORKER_BYTES = 1_000_000_000
"""Of memory that a process may take with the presets that compute on one thread."""
MAX_PROCESSES = 64


def processes_that_pay(files: Iterable[Place], single_threaded: bool, device: str = "auto") -> int:
    """Return how many processes pay for `files`.

    Args:
        files: to process; only as many as decide are looked at.
        single_threaded: whether the method computes on one thread.
        device: as given on the command line.
    """
    if not single_threaded or (device != "cpu" and may_have_gpu()):
        return 1
    most = min(available_cores(), MAX_PROCESSES, max(1, available_memory() // WORKER_BYTES))
    count = total = 0
    for path in files:
        with suppress(OSError):
            total += size_of(path)
        count += 1
        if min(count, total // MIN_BYTES_PER_PROCESS) >= most:
            return most
    return max(1, min(count, total // MIN_BYTES_PER_PROCESS))


def may_have_gpu(root: Path = Path("/")) -> bool:
    """Return whether there may be a GPU, without loading PyTorch."""
    nodes = ("nvidiactl", "kfd", "dxg")
    return sys.platform == "darwin" or any((root / "dev" / name).exists() for name in nodes)


def available_memory(root: Path = Path("/")) -> int:
    """Return about how many bytes of memory may be taken; a large number where the system does not tell.

    Args:
        root: below which proc and sys lie.
    """
    known = [sys.maxsize]
    with suppress(OSError, ValueError, KeyError):
        lines = (root / "proc/meminfo").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        known.append(1024 * int(fields["MemAvailable"].split()[0]))
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):
            known.append(int((root / "sys/fs/cgroup" / limit).read_text()))
    return min(known)
