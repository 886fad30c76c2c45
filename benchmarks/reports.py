"""What benchmarks share: settings from the command line, a description of the machine, and its peak rates."""

import ast
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch


def parse_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """Parse settings such as "steps=2"; what is no Python literal is a string."""
    settings = {}
    for assignment in assignments:
        name, _, value = assignment.partition("=")
        try:
            settings[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[name] = value
    return settings


def machine(device: str) -> str:
    """Describe the processor, the GPU if `device` is one, PyTorch and Python."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    flags: set[str] = set()
    if info.is_file():
        lines = info.read_text().splitlines()
        named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
        cpu = named[0] if named else cpu
    fast = [name for name in ("avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    parts = [f"{cpu}, {os.cpu_count()} cores{' with ' + ', '.join(fast) if fast else ''}"]
    if device.startswith("cuda"):
        parts.append(torch.cuda.get_device_name())
    parts += [f"PyTorch {torch.__version__}", f"Python {platform.python_version()}"]
    return "; ".join(parts)


def load() -> float | None:
    """Return how many processes were ready to run, averaged over a minute; None where it is unknown."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def synchronise(device: str) -> None:
    """Wait until the device has finished all work."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def shortest_time(run: Callable[[], object], device: str, repeats: int = 5, warm_up: int = 2) -> float:
    """Return the shortest time (s) of several runs, after some to warm up: other processes only add time."""
    for _ in range(warm_up):
        run()
    synchronise(device)
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        synchronise(device)
        times.append(time.perf_counter() - begin)
    return min(times)


@torch.no_grad()
def peak_product(dtype: torch.dtype, device: str, size: int) -> float:
    """Measure the operations a second of a product of two square matrices: the machine's peak."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / shortest_time(lambda: a @ b, device)


@torch.no_grad()
def peak_bandwidth(device: str, count: int) -> float:
    """Measure the bytes a second that a copy reads and writes."""
    x = torch.randn(count, device=device)
    y = torch.empty_like(x)
    return 2 * 4 * count / shortest_time(lambda: y.copy_(x), device)
