"""Read and write weights in the cache: safetensors files that name their model and hold their own checksum.

The same weights always give the same bytes, so that the hash of a file identifies them in every manifest.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tagbox.atomic_files import write_atomically
from tagbox.errors import InvalidWeightsError
from tagbox.plugins.descriptions import Model

if TYPE_CHECKING:
    from torch import Tensor

CONTENTS_KEY = "contents_sha256"
"""Key of the checksum in a file's metadata."""
MAX_HEADER_BYTES = 100_000_000


def write_cache_file(path: Path, weights: Mapping[str, "Tensor"], metadata: Mapping[str, str]) -> None:
    """Write `weights` and `metadata` to `path`; replace the file that is there.

    Raises:
        UnwritableOutputError: the folder cannot be written.
        FailedWriteError: the disk is full, or fails.
    """
    from safetensors.torch import save

    blob = save({name: value.detach().cpu().contiguous().clone() for name, value in weights.items()})
    header, body = _split(blob)
    header["__metadata__"] = dict(metadata) | {CONTENTS_KEY: contents_hash(header, body)}
    with write_atomically(path, force=True) as temporary:
        temporary.write_bytes(_joined(header, body))


def read_safetensors(path: Path) -> tuple[dict[str, object], bytes]:
    """Read the header and the body, the bytes of all weights, of a safetensors file.

    Raises:
        InvalidWeightsError: the file is not safetensors, incomplete, or cannot be read.
    """
    try:
        return _split(path.read_bytes())
    except OSError as error:
        raise InvalidWeightsError(f"cannot read {path} ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InvalidWeightsError(f"{path} is not a safetensors file, or only a part of one") from error


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file.

    Raises:
        InvalidWeightsError: the file is not safetensors, or cannot be read.
    """
    header, _ = read_safetensors(path)
    return _metadata(header)


def verify_cached(model: Model, path: Path) -> dict[str, str]:
    """Check that the bytes of a cache file are those that were written for `model`; return its metadata.

    Raises:
        InvalidWeightsError: the file is damaged, or holds another model.
    """
    remedy = f"remove it with: tagbox models remove {model.identifier}"
    try:
        header, body = read_safetensors(path)
    except InvalidWeightsError as error:
        raise InvalidWeightsError(
            f"the weights of {model.identifier} are damaged ({error}); {remedy}"
        ) from error
    metadata = _metadata(header)
    if metadata.get(CONTENTS_KEY) != contents_hash(header, body):
        raise InvalidWeightsError(f"the weights of {model.identifier} are damaged: {path} changed; {remedy}")
    if metadata.get("model") != model.identifier:
        raise InvalidWeightsError(
            f"{path} holds {metadata.get('model')} instead of {model.identifier}; {remedy}"
        )
    return metadata


def contents_hash(header: Mapping[str, object], body: bytes) -> str:
    """Compute the SHA-256 of names, types, shapes and values, whatever the metadata are."""
    table = {name: value for name, value in header.items() if name != "__metadata__"}
    digest = hashlib.sha256(json.dumps(table, sort_keys=True, separators=(",", ":")).encode())
    digest.update(body)
    return digest.hexdigest()


def _metadata(header: Mapping[str, object]) -> dict[str, str]:
    metadata = header.get("__metadata__", {})
    return {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {}


def _split(blob: bytes) -> tuple[dict[str, object], bytes]:
    """Split a safetensors file into header and body.

    The format is the header's length (8 bytes, little-endian), the header as JSON, and the body.
    """
    length = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 or length > min(MAX_HEADER_BYTES, len(blob) - 8):
        raise ValueError("no safetensors header")
    header = json.loads(blob[8 : 8 + length])
    if not isinstance(header, dict):
        raise ValueError("a safetensors header is a table")
    return header, blob[8 + length :]


def _joined(header: Mapping[str, object], body: bytes) -> bytes:
    # safetensors writes its metadata in an order that changes from run to run; sorted, bytes stay the same.
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + body
