"""Checkpoints for tests: published taggers' names and shapes, and pickles with more than weights in them."""

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable
from functools import cache

import torch

from benchmarks.golden import recipe_weights
from tagbox.taggers import registry


class UnknownClass(dict[str, object]):
    """Stands for a class that a checkpoint's reader does not have."""


class Calls:
    """An object that is pickled as a call of `function`."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def tagger_weights(name: str, data: str) -> dict[str, torch.Tensor]:
    """Draw weights with the names and shapes of a published tagger."""
    shapes = registry.expected_shapes(name, data)
    drawn = recipe_weights(shapes)
    for key, shape in shapes.items():
        if key not in drawn:
            dtype = torch.int64 if key.endswith("num_batches_tracked") else torch.float32
            drawn[key] = torch.ones(shape, dtype=dtype)
    return OrderedDict((key, drawn[key]) for key in shapes)


@cache
def tagger_checkpoint(name: str, data: str) -> bytes:
    """Save `tagger_weights` as the published checkpoints are saved."""
    return saved(tagger_weights(name, data))


def saved(what: object, new: bool = False) -> bytes:
    """Save as `torch.save` does, in the legacy format or as a zip archive."""
    file = io.BytesIO()
    torch.save(what, file, _use_new_zipfile_serialization=new)
    return file.getvalue()


def git_blob(content: bytes) -> str:
    """Compute git's name of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def equal_weights(weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> bool:
    """Tell whether two state dicts have the same names, dtypes and values."""
    return weights.keys() == others.keys() and all(
        weights[key].dtype == others[key].dtype and torch.equal(weights[key], others[key]) for key in weights
    )
