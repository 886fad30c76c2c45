"""Choose where networks compute, and in which precision: the same numbers, up to that precision's rounding.

The module imports no PyTorch, so that the command line's `--help` does not wait for it.

Plain twin: the CPU and float32. Parity test: tests/test_precision.py.
"""

from typing import TYPE_CHECKING

from tagbox.errors import TagBoxError
from tagbox.settings import DEVICES, PRECISIONS

if TYPE_CHECKING:
    import torch


def select_device(name: str = "auto") -> "torch.device":
    """Return the device called `name`; "auto" is a GPU where there is one.

    Raises:
        TagBoxError: the name is unknown, or this machine has no such device.
    """
    import torch

    if name not in DEVICES:
        raise TagBoxError(f"no device is called {name!r}; choose one of {', '.join(DEVICES)}")
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if available[device])
    if not available[name]:
        raise TagBoxError(f"this machine has no {name} device that PyTorch can use; try --device auto")
    return torch.device(name)


def select_dtype(name: str, device: "torch.device") -> "torch.dtype":
    """Return the number format in which networks compute while they are steered.

    "auto" is bfloat16 where `device` multiplies it faster than float32: most GPUs since 2020, and CPUs with
    AVX-512 BF16 or AMX.

    Raises:
        TagBoxError: the name is unknown.
    """
    import torch

    if name not in PRECISIONS:
        raise TagBoxError(f"no precision is called {name!r}; choose one of {', '.join(PRECISIONS)}")
    if name == "auto":
        name = "bfloat16" if _multiplies_bfloat16_faster(device) else "float32"
    return torch.bfloat16 if name == "bfloat16" else torch.float32


def _multiplies_bfloat16_faster(device: "torch.device") -> bool:
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
        return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return False
