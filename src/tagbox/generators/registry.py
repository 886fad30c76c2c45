"""Generators by name. A new kind is one file and one line here."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from tagbox.generators import jukebox, pretrained
from tagbox.generators.base import Generator

LoadGenerator = Callable[[Path, torch.device | str], Generator]
"""A weights file and a device to the generator."""

GENERATORS: dict[str, LoadGenerator] = {
    "embedded": partial(pretrained.load_generator_file, name="embedded"),
    "jukebox": jukebox.load_jukebox,
}
