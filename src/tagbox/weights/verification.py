"""Whether a file is what it should be: checksums, then names and shapes of the weights in it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tagbox.errors import TagBoxError
from tagbox.weights import cache_file, catalogue, checkpoint_reader
from tagbox.weights.catalogue import Model

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 1 << 20


@dataclass(frozen=True)
class Checksums:
    """Of a file: SHA-256, and git's name for it."""

    sha256: str
    git_blob: str


def checksums(path: Path) -> Checksums:
    """Read the file once for both.

    Raises:
        TagBoxError: it cannot be read.
    """
    try:
        sha256 = hashlib.sha256()
        blob = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                sha256.update(chunk)
                blob.update(chunk)
    except OSError as error:
        raise TagBoxError(f"cannot read {path} ({error.strerror}); give a file that you can read") from error
    return Checksums(sha256.hexdigest(), blob.hexdigest())


def load_verified(
    model: Model, path: Path, say: Callable[[str], None], called: str | None = None
) -> tuple[dict[str, "Tensor"], dict[str, str]]:
    """The weights in a file that is to be `model`, and what is to be kept about them.

    Args:
        say: told, in a sentence, what is odd but no reason to refuse.
        called: what errors call the file; its path, if not given.

    Raises:
        TagBoxError: it is not the published file, or not this model's weights.
    """
    called = called or str(path)
    found = checksums(path)
    kept = _kept_before(path)
    if kept is not None:
        found = _published_checksums(model, path, kept)
        weights = safetensors(path, called)
    else:
        _refuse_web_page(path, called)
        _compare(model, path, found, say, called)
        weights = (
            safetensors(path, called) if _is_safetensors(path) else checkpoint_reader.state_dict(path, called)
        )
    check_shapes(model, weights, called)
    return weights, {
        "format": "pt",
        "model": model.identifier,
        "licence": model.licence,
        "source": model.source or "a file of the user's",
        "original_sha256": found.sha256,
        "original_git_blob": found.git_blob,
    }


def expected_shapes(model: Model) -> dict[str, tuple[int, ...]] | None:
    """Names and shapes of the weights of `model`; None where we have no network to run them."""
    if model.kind == "generator":
        if model.name != "jukebox":
            return None
        from tagbox.generators.jukebox import expected_shapes as jukebox_shapes

        return jukebox_shapes()
    from tagbox.taggers import registry

    if model.name not in registry.ARCHITECTURES or model.data is None:
        return None
    return registry.expected_shapes(model.name, model.data)


def check_shapes(model: Model, weights: Mapping[str, "Tensor"], called: str) -> None:
    """Refuse weights that are not those of `model`, by the first name that shows it.

    Raises:
        TagBoxError: names, shapes or values are not a model's such as this.
    """
    import torch

    expected = expected_shapes(model)
    if expected is not None:
        missing = next((name for name in expected if name not in weights), None)
        extra = next((name for name in weights if name not in expected), None)
        other = next((n for n in expected if n in weights and tuple(weights[n].shape) != expected[n]), None)
        if missing or extra:
            told = f"without {missing}" if missing else f"with {extra}"
            raise TagBoxError(f"{called} holds the weights of another model than {model.identifier}: {told}")
        if other:
            raise TagBoxError(
                f"{called} holds the weights of another model than {model.identifier}: "
                f"{other} is {tuple(weights[other].shape)} instead of {expected[other]}"
            )
    for name, value in weights.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise TagBoxError(f"{called} is damaged: {name} is not finite; get it again")


def _compare(model: Model, path: Path, found: Checksums, say: Callable[[str], None], called: str) -> None:
    """Refuse what is not the published file, where we know that one for certain."""
    if model.certain and model.git_blob and found.git_blob != model.git_blob:
        other = catalogue.by_checksum(found.git_blob)
        size = path.stat().st_size
        if other:
            why = f"it is {other.identifier}"
        elif model.size is not None and size != model.size:
            why = f"it has {size} bytes instead of {model.size}"
        else:
            why = f"its git blob id is {found.git_blob} instead of {model.git_blob}"
        raise TagBoxError(f"{called} is not the published file of {model.identifier}: {why}")
    if model.sha256 and found.sha256 != model.sha256:
        told = f"the SHA-256 of {called} is {found.sha256} instead of {model.sha256}"
        if model.certain:
            raise TagBoxError(f"{told}, so it is not the published file of {model.identifier}")
        say(f"{told}, which only one source gives; going by the names and shapes of the weights")


def _refuse_web_page(path: Path, called: str) -> None:
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise TagBoxError(
            f"{called} is a web page instead of weights; a login or proxy page may be in between"
        )


def _is_safetensors(path: Path) -> bool:
    try:
        cache_file.read(path)
    except TagBoxError:
        return False
    return True


def _kept_before(path: Path) -> dict[str, str] | None:
    """What a file says of itself that this program kept, perhaps on another machine."""
    if not _is_safetensors(path):
        return None
    said = cache_file.about(path)
    return said if cache_file.CONTENTS in said else None


def _published_checksums(model: Model, path: Path, said: Mapping[str, str]) -> Checksums:
    cache_file.verify_cached(model, path)
    if model.certain and model.git_blob and said.get("original_git_blob") != model.git_blob:
        raise TagBoxError(f"{path} was not made of the published file of {model.identifier}")
    return Checksums(said.get("original_sha256", ""), said.get("original_git_blob", ""))


def safetensors(path: Path, called: str | None = None) -> dict[str, "Tensor"]:
    """The weights in a safetensors file.

    Raises:
        TagBoxError: it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise TagBoxError(f"{called or path} is a damaged safetensors file; get it again") from error
