"""Generators by name. A new kind is one file and one line here."""

from collections.abc import Callable
from pathlib import Path

import torch

from tagbox.errors import TagBoxError
from tagbox.generator import jukebox, trained
from tagbox.generator.generator import Generator

Device = torch.device | str

GENERATORS: dict[str, Callable[[Path, Device], Generator]] = {
    "embedded": lambda path, device: trained.read(path, "embedded", device),
    "jukebox": jukebox.read,
}


def load(name: str = "embedded", device: Device = "cpu") -> Generator:
    """The generator called `name`, or the one in the file of that name.

    Raises:
        TagBoxError: there is none, or its weights are not there yet; says how to get them.
    """
    from tagbox.weights import store

    if name in GENERATORS:
        return GENERATORS[name](store.locate("generator", name), device)
    path = Path(name)
    if path.suffix == ".safetensors" or path.exists():
        return trained.read(path, path.stem, device)
    raise TagBoxError(
        f"no generator is called {name!r}; choose one of {', '.join(GENERATORS)}, or give a .safetensors file"
    )
