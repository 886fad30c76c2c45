"""Weights as they are kept: one safetensors file that says what it holds, and its own checksum.

The same weights always give the same bytes, so that a hash of the file names them in manifests everywhere.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tagbox.atomic_files import write_atomically
from tagbox.errors import TagBoxError
from tagbox.weights.catalogue import Model

if TYPE_CHECKING:
    from torch import Tensor

CONTENTS = "contents_sha256"
LARGEST_HEADER = 100_000_000


def write(path: Path, weights: Mapping[str, "Tensor"], about: Mapping[str, str]) -> None:
    """Keep `weights` with what is known `about` them; replaces what was there.

    Raises:
        TagBoxError: the folder cannot be written.
    """
    from safetensors.torch import save

    blob = save({name: value.detach().cpu().contiguous().clone() for name, value in weights.items()})
    header, body = _split(blob)
    header["__metadata__"] = dict(about) | {CONTENTS: contents(header, body)}
    try:
        with write_atomically(path, force=True) as beside:
            beside.write_bytes(_joined(header, body))
    except OSError as error:
        raise TagBoxError(f"cannot write {path} ({error.strerror}); make room, or set TAGBOX_HOME") from error


def read(path: Path) -> tuple[dict[str, object], bytes]:
    """The header and the numbers of a safetensors file.

    Raises:
        TagBoxError: it is not one, or cannot be read.
    """
    try:
        return _split(path.read_bytes())
    except OSError as error:
        raise TagBoxError(f"cannot read {path} ({error.strerror})") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise TagBoxError(f"{path} is not a safetensors file, or only a part of one") from error


def about(path: Path) -> dict[str, str]:
    """What the file says of itself.

    Raises:
        TagBoxError: it is not a safetensors file, or cannot be read.
    """
    header, _ = read(path)
    return _metadata(header)


def verify_cached(model: Model, path: Path) -> dict[str, str]:
    """What the file says of itself, once its bytes are those that were written for `model`.

    Raises:
        TagBoxError: it is damaged, or holds another model.
    """
    again = f"remove it with: tagbox models remove {model.identifier}"
    try:
        header, body = read(path)
    except TagBoxError as error:
        raise TagBoxError(f"the weights of {model.identifier} are damaged ({error}); {again}") from error
    said = _metadata(header)
    if said.get(CONTENTS) != contents(header, body):
        raise TagBoxError(f"the weights of {model.identifier} are damaged: {path} changed; {again}")
    if said.get("model") != model.identifier:
        raise TagBoxError(f"{path} holds {said.get('model')} instead of {model.identifier}; {again}")
    return said


def contents(header: Mapping[str, object], body: bytes) -> str:
    """SHA-256 of names, types, shapes and numbers, whatever else the header says."""
    table = {name: value for name, value in header.items() if name != "__metadata__"}
    digest = hashlib.sha256(json.dumps(table, sort_keys=True, separators=(",", ":")).encode())
    digest.update(body)
    return digest.hexdigest()


def _metadata(header: Mapping[str, object]) -> dict[str, str]:
    said = header.get("__metadata__", {})
    return {str(key): str(value) for key, value in said.items()} if isinstance(said, dict) else {}


def _split(blob: bytes) -> tuple[dict[str, object], bytes]:
    """A safetensors file is the header's length (8 bytes, little-endian), the header in JSON, the numbers."""
    length = int.from_bytes(blob[:8], "little")
    if len(blob) < 8 or length > min(LARGEST_HEADER, len(blob) - 8):
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
