"""Generators by name. A new kind is one file and one line here."""

from collections.abc import Callable
from pathlib import Path

import torch

from tagbox.generators import jukebox, pretrained
from tagbox.generators.base import Generator

Device = torch.device | str

GENERATORS: dict[str, Callable[[Path, Device], Generator]] = {
    "embedded": lambda path, device: pretrained.read(path, "embedded", device),
    "jukebox": jukebox.read,
}
