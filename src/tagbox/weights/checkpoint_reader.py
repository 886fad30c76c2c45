"""PyTorch checkpoints, read as data only.

PyTorch's own reader goes first, with ``weights_only``. It refuses checkpoints that hold objects of classes it
does not know (settings, optimisers), so those are read again by `tagbox.weights.safe_unpickler`, which imports and
runs nothing. Both of PyTorch's formats are read: the old one (before 1.6: pickles in a row, then the numbers)
and zip archives.
"""

import contextlib
import io
import math
import pickle
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tagbox.errors import TagBoxError
from tagbox.weights.safe_unpickler import Description, InertUnpickler, Storage, WouldRunCodeError

if TYPE_CHECKING:
    from torch import Tensor

# How each format begins: the zip archive's signature, and the old format's magic number as a pickle.
ZIP = b"PK\x03\x04"
OLD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
INNER = ("model", "state_dict")


def read(path: Path, called: str | None = None) -> Any:
    """What a checkpoint holds: nested dictionaries and lists of tensors, numbers and text.

    Objects of unknown classes are replaced by `tagbox.weights.safe_unpickler.Inert`.

    Args:
        called: what errors call it; its path, if not given.

    Raises:
        TagBoxError: it cannot be read, is no checkpoint or only a part of one, or would run code.
    """
    import torch

    called = called or str(path)
    try:
        with path.open("rb") as file:
            start = file.read(len(OLD))
    except OSError as error:
        raise TagBoxError(f"cannot read {called} ({error.strerror})") from error
    if start.startswith((ZIP, OLD)):
        # Its errors and warnings advise to switch the safety off; ours come from the second reading.
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    try:
        if start.startswith(ZIP):
            return _read_zip(path)
        if start.startswith(OLD):
            return _read_old(path)
        _refuse_bare_pickle(path)
    except WouldRunCodeError as error:
        raise TagBoxError(
            f"{called} would run code when loaded ({error}) and was refused; get the published file"
        ) from error
    except Exception as error:
        # A damaged pickle raises whatever its bytes happen to mean: IndexError, KeyError, MemoryError...
        raise TagBoxError(f"{called} is a damaged checkpoint, or only a part of one; get it again") from error
    raise TagBoxError(f"{called} is not a PyTorch checkpoint{_looks_like(start)}")


def state_dict(path: Path, called: str | None = None) -> dict[str, "Tensor"]:
    """The weights in a checkpoint, by name; it may hold them under ``model`` beside other things.

    Raises:
        TagBoxError: as `read`, or there are no weights in it.
    """
    import torch

    called = called or str(path)
    data = read(path, called)
    for name in INNER:
        if isinstance(data, Mapping) and isinstance(data.get(name), Mapping):
            data = data[name]
            break
    if not isinstance(data, Mapping) or not data:
        raise TagBoxError(f"{called} holds no weights by name; give a checkpoint with a state dict")
    # Models trained on several GPUs are saved inside a wrapper's `module`.
    weights = {str(name).removeprefix("module."): value for name, value in data.items()}
    for name, value in weights.items():
        if not isinstance(value, torch.Tensor):
            raise TagBoxError(
                f"{called} holds more than weights ({name}); give a checkpoint with a state dict"
            )
    return weights


def _looks_like(start: bytes) -> str:
    if start.lstrip().startswith(b"<"):
        return ", but a web page"
    return "; it is empty" if not start else ""


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        listed = next(name for name in names if name.endswith("/data.pkl"))
        folder = listed.removesuffix("data.pkl")
        if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("numbers in the other byte order")
        data = InertUnpickler(io.BytesIO(_stored(archive, listed))).load()

        def memory(storage: Storage) -> bytes:
            return _stored(archive, f"{folder}data/{storage.key}")

        return _Tensors(memory).within(data)


def _refuse_bare_pickle(path: Path) -> None:
    """A pickle without PyTorch's frame is no checkpoint; one with code in it is worth a word of its own."""
    with path.open("rb") as file:
        try:
            InertUnpickler(file).load()
        except WouldRunCodeError:
            raise
        except Exception:
            # Most files are no pickles at all.
            return


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    entry = archive.getinfo(name)
    # PyTorch never compresses: whoever did wants a small file to fill the memory.
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError("compressed numbers")
    return archive.read(entry)


def _read_old(path: Path) -> Any:
    """Five pickles (magic number, version, the machine, the data, the storages' keys), then the numbers."""
    with path.open("rb") as file:
        _, _, machine, data = (InertUnpickler(file).load() for _ in range(4))
        if not machine.get("little_endian", True):
            raise ValueError("numbers in the other byte order")
        keys = InertUnpickler(file).load()
        sizes = _storages(data)
        numbers = {str(key): _numbers(file, sizes.get(str(key))) for key in keys}
    return _Tensors(lambda storage: numbers[storage.key]).within(data)


def _numbers(file: IO[bytes], storage: Storage | None) -> bytes:
    """One storage: how many numbers (8 bytes, little-endian), and the numbers."""
    import torch

    if storage is None:
        raise ValueError("numbers that nothing uses")
    numel = int.from_bytes(file.read(8), "little")
    if numel != storage.numel:
        raise ValueError("a storage of another size")
    size = numel * torch.empty(0, dtype=getattr(torch, storage.dtype)).element_size()
    found = file.read(size)
    if len(found) != size:
        raise EOFError
    return found


def _storages(data: Any) -> dict[str, Storage]:
    """All storages that tensors in `data` are views of."""
    found: dict[str, Storage] = {}
    seen: set[int] = set()
    left = [data]
    while left:
        each = left.pop()
        if isinstance(each, Description):
            found[each.storage.key] = each.storage
        elif isinstance(each, dict | list | tuple) and id(each) not in seen:
            seen.add(id(each))
            left.extend(each.values() if isinstance(each, dict) else each)
    return found


class _Tensors:
    """Makes tensors of descriptions, each piece of memory once."""

    def __init__(self, memory: Any) -> None:
        self._memory = memory
        self._made: dict[str, Tensor] = {}

    def within(self, data: Any) -> Any:
        """The same nest with tensors in it."""
        if isinstance(data, Description):
            return self._tensor(data)
        if isinstance(data, dict):
            return {key: self.within(value) for key, value in data.items()}
        if isinstance(data, list | tuple):
            inner = [self.within(value) for value in data]
            return inner if isinstance(data, list) else tuple(inner)
        return data

    def _tensor(self, described: Description) -> "Tensor":
        import torch

        storage = described.storage
        if storage.key not in self._made:
            dtype = getattr(torch, storage.dtype)
            held = bytearray(self._memory(storage))
            flat = torch.frombuffer(held, dtype=dtype) if held else torch.empty(0, dtype=dtype)
            if flat.numel() != storage.numel:
                raise ValueError("a storage of another size")
            self._made[storage.key] = flat
        flat = self._made[storage.key]
        last = sum((n - 1) * step for n, step in zip(described.size, described.stride, strict=True))
        # A stride of 0 could make a terabyte of one number.
        if math.prod(described.size) > max(flat.numel(), 1) or described.offset + last >= max(
            flat.numel(), 1
        ):
            raise pickle.UnpicklingError("a tensor beyond its storage")
        return flat.as_strided(described.size, described.stride, described.offset).clone()
