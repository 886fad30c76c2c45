"""Load models by name: find the weights file, check it, and build the network."""

from pathlib import Path

import torch

from tagbox.errors import UnknownModelError
from tagbox.generators import pretrained
from tagbox.generators.base import Generator
from tagbox.generators.registry import GENERATORS
from tagbox.taggers.registry import find_architecture, from_state_dict
from tagbox.taggers.tagger import Tagger


def load_tagger(name: str = "pons-musicnn", data: str = "mtat", device: torch.device | str = "cpu") -> Tagger:
    """Load the tagger called `name`, trained on `data`, from the package or from the cache.

    Raises:
        TagBoxError: there is no such tagger, its weights are not on this machine, or they are another
            model's.
    """
    from safetensors.torch import load_file

    from tagbox.audio.validation import fingerprint
    from tagbox.weights.store import locate

    find_architecture(name, data)
    path = locate(kind="tagger", name=name, data=data)
    return from_state_dict(name, data, load_file(path), fingerprint(path)).to(device)


def load_generator(name: str = "embedded", device: torch.device | str = "cpu") -> Generator:
    """Load the generator called `name`, or the one in the file of that name.

    Raises:
        TagBoxError: there is none, or its weights are not on this machine; says how to get them.
    """
    from tagbox.weights.store import locate

    if name in GENERATORS:
        return GENERATORS[name](locate("generator", name), device)
    path = Path(name)
    if path.suffix == ".safetensors" or path.exists():
        return pretrained.load_generator_file(path, device, path.stem)
    raise UnknownModelError(
        f"no generator is called {name!r}; choose one of {', '.join(GENERATORS)}, or give a .safetensors file"
    )
