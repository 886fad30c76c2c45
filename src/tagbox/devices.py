"""Where tensors live."""

import torch

from tagbox.errors import TagBoxError

CHOICES = ("auto", "cpu", "cuda", "mps")


def pick(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" takes a GPU where there is one.

    Raises:
        TagBoxError: the name is unknown, or this machine has no such device.
    """
    if name not in CHOICES:
        raise TagBoxError(f"no device is called {name!r}; choose one of {', '.join(CHOICES)}")
    available = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next(device for device in ("cuda", "mps", "cpu") if available[device])
    if not available[name]:
        raise TagBoxError(f"this machine has no {name} device that PyTorch can use; try --device auto")
    return torch.device(name)
