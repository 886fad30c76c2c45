"""Verify that a file holds the published weights of a model: its checksums, then its state dict."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tagbox.errors import InvalidWeightsError
from tagbox.plugins.descriptions import Model
from tagbox.plugins.discovery import import_code
from tagbox.state_dict import check_finite_weights, check_state_dict
from tagbox.weights import cache_file, catalogue, checkpoint_reader

if TYPE_CHECKING:
    from torch import Tensor

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Checksums:
    """The SHA-256 of a file, and git's name of it."""

    sha256: str
    git_blob: str


def compute_checksums(path: Path) -> Checksums:
    """Compute both checksums of a file in one pass.

    Raises:
        InvalidWeightsError: the file cannot be read.
    """
    try:
        sha256 = hashlib.sha256()
        blob = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                sha256.update(chunk)
                blob.update(chunk)
    except OSError as error:
        raise InvalidWeightsError(
            f"cannot read {path} ({error.strerror}); give a file that you can read"
        ) from error
    return Checksums(sha256.hexdigest(), blob.hexdigest())


def load_verified(
    model: Model, path: Path, warn: Callable[[str], None], subject: str | None = None
) -> tuple[dict[str, "Tensor"], dict[str, str]]:
    """Load the weights of `model` from a file; return them and the metadata to keep with them.

    Args:
        model: whose weights the file should hold.
        path: a published checkpoint, or a file of another cache.
        warn: called with a sentence about what is unusual but no reason to refuse the file.
        subject: what messages call the file; its path unless given.

    Raises:
        InvalidWeightsError: the file is not the published one, or does not hold this model's weights.
    """
    subject = subject or str(path)
    checksums = compute_checksums(path)
    metadata = _cache_metadata(path)
    if metadata is not None:
        checksums = _checksums_of_origin(model, path, metadata)
        weights = load_safetensors(path, subject)
    else:
        _refuse_web_page(path, subject)
        _check_published(model, path, checksums, warn, subject)
        if _is_safetensors(path):
            weights = load_safetensors(path, subject)
        else:
            weights = checkpoint_reader.read_state_dict(path, subject)
    check_weights(model, weights, subject)
    return weights, {
        "format": "pt",
        "model": model.identifier,
        "licence": model.licence,
        "source": model.source or "a file of the user's",
        "original_sha256": checksums.sha256,
        "original_git_blob": checksums.git_blob,
    }


def expected_shapes(model: Model) -> dict[str, tuple[int, ...]] | None:
    """Return the shape of each weight of `model`; None where nobody says what they are."""
    if model.shapes is None:
        return None
    shapes: dict[str, tuple[int, ...]] | None = import_code(
        model.shapes, catalogue.origin(model), model.identifier
    )(model)
    return shapes


def check_weights(model: Model, weights: Mapping[str, "Tensor"], subject: str) -> None:
    """Check that `weights` have the names and shapes of `model`, and finite values.

    Raises:
        InvalidWeightsError: they do not.
    """
    expected = expected_shapes(model)
    if expected is None:
        check_finite_weights(weights, subject)
    else:
        check_state_dict(weights, expected, subject, model.identifier)


def _check_published(
    model: Model, path: Path, checksums: Checksums, warn: Callable[[str], None], subject: str
) -> None:
    """Refuse a file other than the published one, where the published one's checksum is certain."""
    if model.certain and model.git_blob and checksums.git_blob != model.git_blob:
        other = catalogue.model_by_git_blob(checksums.git_blob)
        size = path.stat().st_size
        if other:
            why = f"it is {other.identifier}"
        elif model.size is not None and size != model.size:
            why = f"it has {size} bytes instead of {model.size}"
        else:
            why = f"its git blob id is {checksums.git_blob} instead of {model.git_blob}"
        raise InvalidWeightsError(f"{subject} is not the published file of {model.identifier}: {why}")
    if model.sha256 and checksums.sha256 != model.sha256:
        difference = f"the SHA-256 of {subject} is {checksums.sha256} instead of {model.sha256}"
        if model.certain:
            raise InvalidWeightsError(f"{difference}, so it is not the published file of {model.identifier}")
        warn(f"{difference}, which only one source gives; going by the names and shapes of the weights")


def _refuse_web_page(path: Path, subject: str) -> None:
    with path.open("rb") as file:
        start = file.read(512).lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise InvalidWeightsError(
            f"{subject} is a web page instead of weights; a login or proxy page may be in between"
        )


def _is_safetensors(path: Path) -> bool:
    try:
        cache_file.read_safetensors(path)
    except InvalidWeightsError:
        return False
    return True


def _cache_metadata(path: Path) -> dict[str, str] | None:
    """Return the metadata of a file that TagBox wrote, perhaps on another machine; None of any other file."""
    if not _is_safetensors(path):
        return None
    metadata = cache_file.read_metadata(path)
    return metadata if cache_file.CONTENTS_KEY in metadata else None


def _checksums_of_origin(model: Model, path: Path, metadata: Mapping[str, str]) -> Checksums:
    """Return the checksums of the published file from which a cache file comes."""
    cache_file.verify_cached(model, path)
    if model.certain and model.git_blob and metadata.get("original_git_blob") != model.git_blob:
        raise InvalidWeightsError(f"{path} does not come from the published file of {model.identifier}")
    return Checksums(metadata.get("original_sha256", ""), metadata.get("original_git_blob", ""))


def load_safetensors(path: Path, subject: str | None = None) -> dict[str, "Tensor"]:
    """Load the weights of a safetensors file.

    Raises:
        InvalidWeightsError: the file is damaged.
    """
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except Exception as error:
        # A damaged header raises whatever it happens to mean: SafetensorError, KeyError, MemoryError...
        raise InvalidWeightsError(f"{subject or path} is a damaged safetensors file; get it again") from error
