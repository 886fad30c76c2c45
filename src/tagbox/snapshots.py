"""Read a model as the hub's libraries save it: a folder of config.json and weights in safetensors."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tagbox.errors import InvalidWeightsError

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "diffusion_pytorch_model.safetensors")
"""What the libraries call the weights where they are one file."""
CACHED = "models--"
"""Begins the name of a repository's folder in the cache of the hub: models--owner--name."""
INDEX_SUFFIX = ".safetensors.index.json"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5")


@dataclass(frozen=True)
class Snapshot:
    """What a folder holds.

    Attributes:
        config: the content of config.json.
        weights: by name, as they are stored.
        sha256: of the files of weights, in the order of their names.
    """

    config: dict[str, Any]
    weights: "dict[str, Tensor]"
    sha256: str


def read_snapshot(folder: Path, name: str) -> Snapshot:
    """Read the model in `folder`.

    Args:
        folder: with config.json and weights.
        name: of the model, for messages.

    Raises:
        InvalidWeightsError: something is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    weights: dict[str, Tensor] = {}
    checksum = hashlib.sha256()
    for file in weight_paths(folder, name):
        try:
            weights |= load_file(file)
            with file.open("rb") as stream:
                # Goes on with the checksum of the files before.
                hashlib.file_digest(stream, lambda: checksum)
        except (SafetensorError, OSError) as error:
            raise InvalidWeightsError(f"{file.name} of {name} is damaged; {how_to_replace(file)}") from error
    return Snapshot(read_config(folder / CONFIG, name), weights, checksum.hexdigest())


def read_config(path: Path, name: str) -> dict[str, Any]:
    """Read a config.json.

    Raises:
        InvalidWeightsError: it cannot be read, or holds something else.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidWeightsError(f"{CONFIG} of {name} cannot be read; {how_to_replace(path)}") from error
    if not isinstance(config, dict):
        raise InvalidWeightsError(f"{CONFIG} of {name} holds no settings of a model")
    return config


def how_to_replace(path: Path) -> str:
    """Say how damaged files are replaced: what the cache of the hub has is not downloaded again.

    >>> how_to_replace(Path("hub/models--me--clap/snapshots/0123/model.safetensors"))
    'remove it with `hf cache rm model/me/clap` and get it again'
    """
    for part in path.parts:
        if part.startswith(CACHED):
            repository = part.removeprefix(CACHED).replace("--", "/", 1)
            return f"remove it with `hf cache rm model/{repository}` and get it again"
    return f"replace {path}"


def weight_paths(folder: Path, name: str) -> list[Path]:
    """Return the paths of the weights in `folder`, as `weight_files` chooses them.

    Raises:
        InvalidWeightsError: there are none in safetensors, or it is not clear which.
    """
    names = sorted(path.name for path in folder.iterdir())
    return [folder / file for file in weight_files(names, folder, name)]


def weight_files(names: Sequence[str], folder: Path, name: str) -> list[str]:
    """Return the files of the weights among `names`, those in the model's folder.

    Args:
        names: of the files that there are, here or in the repository.
        folder: in which an index of several files is read, where there is one.
        name: of the model, for messages.

    Raises:
        InvalidWeightsError: there are none in safetensors, or it is not clear which.
    """
    here = [each for each in names if "/" not in each]
    for file in WEIGHTS:
        if file in here:
            return [file]
    for file in here:
        if file.endswith(INDEX_SUFFIX) and (folder / file).is_file():
            return _shards(folder / file, name)
    found = [each for each in here if each.endswith(".safetensors")]
    if len(found) == 1:
        return found
    if found:
        raise InvalidWeightsError(f"{name} has several weights, none of them called {WEIGHTS[0]}")
    pickles = [each for each in here if each.endswith(PICKLES)]
    held = f"its weights are in {pickles[0]}, which could run code" if pickles else "it holds no weights"
    raise InvalidWeightsError(
        f"{name} has no safetensors: {held}; give another repository, or a revision that has them "
        "(hf:owner/name@revision)"
    )


def _shards(index: Path, name: str) -> list[str]:
    try:
        files = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        shards = sorted({str(file) for file in files})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidWeightsError(f"{index.name} of {name} is damaged; give another repository") from error
    if not all(re.fullmatch(r"[\w.-]+\.safetensors", file) for file in shards):
        raise InvalidWeightsError(f"{index.name} of {name} names files that are no safetensors")
    return shards
