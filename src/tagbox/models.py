"""Load models by name: find the weights, check them, and build the network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from tagbox.errors import InvalidWeightsError, TagBoxError, UnknownModelError
from tagbox.generators import pretrained
from tagbox.generators.base import Generator
from tagbox.memory import is_out_of_memory
from tagbox.plugins.descriptions import HUB_PREFIX, Model
from tagbox.plugins.discovery import check_requirements, import_code
from tagbox.taggers.tagger import Tagger
from tagbox.tags.resolve import check_vocabulary
from tagbox.tags.vocabularies import TAGS, is_open
from tagbox.weights import catalogue, store


def load_tagger(
    name: str = "pons-musicnn",
    data: str = "mtat",
    device: torch.device | str = "cpu",
    words: Sequence[str] = (),
) -> Tagger:
    """Load the tagger called `name`, trained on `data`, from a package, from the cache, or from the hub.

    Args:
        name: of the architecture, or an address on the hub, hf:owner/name@revision, where `data` is ignored.
        data: its vocabulary.
        device: where it computes.
        words: what it is to predict, where its vocabulary is open.

    Raises:
        TagBoxError: there is no such tagger, its weights are not on this machine, or they are another
            model's.
    """
    if not name.startswith(HUB_PREFIX):
        check_vocabulary(data)
    model = store.describe("tagger", name, data)
    is_text = is_open(str(model.data))
    if is_text and not words:
        raise TagBoxError(f"{model.identifier} predicts any words, and none is given; give some")
    tagger = _load(model, device, *([tuple(words)] if is_text else []))
    if not isinstance(tagger, Tagger):
        raise _wrong_type(model, tagger, "a Tagger")
    expected = tuple(words) if is_text else TAGS[str(model.data)]
    if tagger.tags != expected or tagger.data != model.data:
        raise InvalidWeightsError(
            f"{model.identifier} predicts other tags than its vocabulary {model.data} has; "
            f"report it to whoever made {catalogue.origin(model) or model.identifier}"
        )
    return tagger


def load_generator(name: str = "embedded", device: torch.device | str = "cpu") -> Generator:
    """Load the generator called `name`, that at an address on the hub, or the one in the file of that name.

    Raises:
        TagBoxError: there is none, or its weights are not on this machine; says how to get them.
    """
    path = Path(name)
    known = [model.name for model in catalogue.generators()]
    if name in known or name.startswith(HUB_PREFIX):
        model = store.describe("generator", name)
        generator = _load(model, device)
        if not isinstance(generator, Generator):
            raise _wrong_type(model, generator, "a Generator")
        return generator
    if path.suffix == ".safetensors" or path.exists():
        return pretrained.load_generator_file(path, device, path.stem)
    raise UnknownModelError(
        f"no generator is called {name!r}; choose one of {', '.join(known)}, or give a .safetensors file, or "
        f"{HUB_PREFIX}owner/name for a repository on the hub"
    )


def _load(model: Model, device: torch.device | str, *words: Sequence[str]) -> Any:
    """Call a model's loader.

    Raises:
        TagBoxError: a plug-in's fails; names its package.
    """
    origin = catalogue.origin(model)
    path = None if model.weightless else store.locate_model(model)
    check_requirements(model)
    load = import_code(model.load, origin, model.identifier)
    try:
        return load(model, path, device, *words)
    except (TagBoxError, MemoryError):
        raise
    except Exception as error:
        if origin is None or origin.is_own or is_out_of_memory(error):
            raise
        raise TagBoxError(
            f"{model.identifier} of the plug-in {origin} cannot be loaded: "
            f"{type(error).__name__}: {' '.join(str(error).split())}"
        ) from error


def _wrong_type(model: Model, loaded: object, expected: str) -> TagBoxError:
    origin = catalogue.origin(model)
    source = f" of the plug-in {origin}" if origin else ""
    return TagBoxError(
        f"{model.identifier}{source} cannot be used: it loads {type(loaded).__name__} instead of {expected}"
    )
