"""What benchmarks share: settings from the command line, the machine in words, what it can at the most."""

import ast
import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional


def options_of(words: Sequence[str]) -> dict[str, Any]:
    """Settings from words such as "steps=2"."""
    options = {}
    for word in words:
        name, _, value = word.partition("=")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[name] = value
    return options


def machine(device: str) -> str:
    """The machine in words."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    flags: set[str] = set()
    if info.is_file():
        lines = info.read_text().splitlines()
        named = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
        flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
        cpu = named[0] if named else cpu
    known = [name for name in ("avx512f", "avx512_bf16", "amx_bf16") if name in flags]
    words = [f"{cpu}, {os.cpu_count()} cores{' with ' + ', '.join(known) if known else ''}"]
    if device.startswith("cuda"):
        words.append(torch.cuda.get_device_name())
    words += [f"PyTorch {torch.__version__}", f"Python {platform.python_version()}"]
    return "; ".join(words)


def load() -> float | None:
    """How many processes want a core, the mean of the last minute; where the system tells."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def finish(device: str) -> None:
    """Wait until the device has done what it was told."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def best(run: Callable[[], object], device: str, times: int = 5) -> float:
    """The shortest of several runs, s, after two to warm up: others' work only ever adds."""
    run()
    run()
    finish(device)
    taken = []
    for _ in range(times):
        begin = time.perf_counter()
        run()
        finish(device)
        taken.append(time.perf_counter() - begin)
    return min(taken)


@torch.no_grad()
def peak_product(dtype: torch.dtype, device: str, size: int) -> float:
    """Operations a second of a square matrix product: what the machine can at the most."""
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / best(lambda: a @ b, device)


@torch.no_grad()
def peak_convolution(dtype: torch.dtype, device: str, positions: int) -> float:
    """Operations a second of the convolution that most of a step is: 64 channels, three taps."""
    x, weight = torch.randn(1, 64, 1, positions, device=device), torch.randn(64, 64, 1, 3, device=device)
    x, weight = (one.to(dtype).contiguous(memory_format=torch.channels_last) for one in (x, weight))
    taken = best(lambda: functional.conv2d(x, weight, None, 1, (0, 27), (1, 27)), device)
    return 2 * positions * 64 * 64 * 3 / taken


@torch.no_grad()
def peak_bandwidth(device: str, count: int) -> float:
    """Bytes a second of a copy, read and written."""
    x = torch.randn(count, device=device)
    y = torch.empty_like(x)
    return 2 * 4 * count / best(lambda: y.copy_(x), device)
