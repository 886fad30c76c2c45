"""Read PyTorch checkpoints as data, without running code from them.

PyTorch's own reader is tried first, with ``weights_only``. It refuses checkpoints that hold objects of
classes it does not know (settings, optimisers); those are read by `tagbox.weights.safe_unpickler`, which
imports and runs nothing. Both of PyTorch's formats are read: the legacy one (before 1.6), a sequence of
pickles and then the numbers, and zip archives.
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

from tagbox.errors import InvalidWeightsError
from tagbox.weights.safe_unpickler import InertUnpickler, Storage, TensorDescription, WouldRunCodeError

if TYPE_CHECKING:
    from torch import Tensor

ZIP_SIGNATURE = b"PK\x03\x04"
LEGACY_SIGNATURE = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The legacy format's magic number, as a pickle."""
STATE_DICT_KEYS = ("model", "state_dict")
"""Under which checkpoints keep the weights beside other things."""


def read_checkpoint(path: Path, subject: str | None = None) -> Any:
    """Read the contents of a checkpoint: nested dictionaries and lists of tensors, numbers and text.

    Objects of unknown classes are replaced by `tagbox.weights.safe_unpickler.InertObject`.

    Args:
        path: in one of PyTorch's two formats.
        subject: what error messages call the file; its path unless given.

    Raises:
        InvalidWeightsError: the file cannot be read, is not a checkpoint or only a part of one, or would run
            code.
    """
    import torch

    subject = subject or str(path)
    try:
        with path.open("rb") as file:
            start = file.read(len(LEGACY_SIGNATURE))
    except OSError as error:
        raise InvalidWeightsError(f"cannot read {subject} ({error.strerror})") from error
    if start.startswith((ZIP_SIGNATURE, LEGACY_SIGNATURE)):
        # PyTorch's errors and warnings advise to load unsafely; the reading below has its own.
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    try:
        if start.startswith(ZIP_SIGNATURE):
            return _read_zip(path)
        if start.startswith(LEGACY_SIGNATURE):
            return _read_legacy(path)
        _refuse_code_in_pickle(path)
    except WouldRunCodeError as error:
        raise InvalidWeightsError(
            f"{subject} would run code when loaded ({error}) and was refused; get the published file"
        ) from error
    except Exception as error:
        # A damaged pickle raises whatever its bytes happen to mean: IndexError, KeyError, MemoryError...
        raise InvalidWeightsError(
            f"{subject} is a damaged checkpoint, or only a part of one; get it again"
        ) from error
    raise InvalidWeightsError(f"{subject} is not a PyTorch checkpoint{_explanation(start)}")


def read_state_dict(path: Path, subject: str | None = None) -> dict[str, "Tensor"]:
    """Read the weights of a checkpoint by name, whether it holds them alone or beside other things.

    Raises:
        InvalidWeightsError: the checkpoint cannot be read (see `read_checkpoint`) or holds no state dict.
    """
    import torch

    subject = subject or str(path)
    data = read_checkpoint(path, subject)
    for key in STATE_DICT_KEYS:
        if isinstance(data, Mapping) and isinstance(data.get(key), Mapping):
            data = data[key]
            break
    if not isinstance(data, Mapping) or not data:
        raise InvalidWeightsError(f"{subject} holds no weights by name; give a checkpoint with a state dict")
    # Models trained on several GPUs are saved inside a wrapper's `module`.
    weights = {str(name).removeprefix("module."): value for name, value in data.items()}
    for name, value in weights.items():
        if not isinstance(value, torch.Tensor):
            raise InvalidWeightsError(
                f"{subject} holds more than weights ({name}); give a checkpoint with a state dict"
            )
    return weights


def _explanation(start: bytes) -> str:
    """Explain what a file that begins like this is instead of a checkpoint, where that is plain."""
    if start.lstrip().startswith(b"<"):
        return ", but a web page"
    return "; it is empty" if not start else ""


def _read_zip(path: Path) -> Any:
    """Read a zip archive: a pickle, and the numbers of each storage in a file of their own."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        pickle_name = next(name for name in names if name.endswith("/data.pkl"))
        folder = pickle_name.removesuffix("data.pkl")
        if f"{folder}byteorder" in names and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("numbers in the other byte order")
        data = InertUnpickler(io.BytesIO(_read_uncompressed(archive, pickle_name))).load()
        numbers = {key: _read_uncompressed(archive, f"{folder}data/{key}") for key in _storages_by_key(data)}
    return _TensorBuilder(numbers).build(data)


def _refuse_code_in_pickle(path: Path) -> None:
    """Raise `WouldRunCodeError` where the file is a bare pickle, which is no checkpoint, with code in it."""
    with path.open("rb") as file:
        try:
            InertUnpickler(file).load()
        except WouldRunCodeError:
            raise
        except Exception:
            # Most files are not pickles at all.
            return


def _read_uncompressed(archive: zipfile.ZipFile, name: str) -> bytes:
    entry = archive.getinfo(name)
    # PyTorch never compresses; a compressed entry may be a small file made to fill the memory.
    if entry.compress_type != zipfile.ZIP_STORED:
        raise ValueError("compressed numbers")
    return archive.read(entry)


def _read_legacy(path: Path) -> Any:
    """Read five pickles (magic number, version, machine, data, keys of the storages), then the numbers."""
    with path.open("rb") as file:
        _, _, machine, data = (InertUnpickler(file).load() for _ in range(4))
        if not machine.get("little_endian", True):
            raise ValueError("numbers in the other byte order")
        keys = InertUnpickler(file).load()
        storages = _storages_by_key(data)
        numbers = {str(key): _read_numbers(file, storages.get(str(key))) for key in keys}
    return _TensorBuilder(numbers).build(data)


def _read_numbers(file: IO[bytes], storage: Storage | None) -> bytes:
    """Read one storage: how many numbers it has (8 bytes, little-endian), and the numbers."""
    import torch

    if storage is None:
        raise ValueError("numbers that nothing uses")
    numel = int.from_bytes(file.read(8), "little")
    if numel != storage.numel:
        raise ValueError("a storage of another size")
    size = numel * torch.empty(0, dtype=getattr(torch, storage.dtype)).element_size()
    numbers = file.read(size)
    if len(numbers) != size:
        raise EOFError
    return numbers


def _storages_by_key(data: Any) -> dict[str, Storage]:
    """Collect all storages of which tensors in `data` are views."""
    storages: dict[str, Storage] = {}
    seen: set[int] = set()
    pending = [data]
    while pending:
        each = pending.pop()
        if isinstance(each, TensorDescription):
            storages[each.storage.key] = each.storage
        elif isinstance(each, dict | list | tuple) and id(each) not in seen:
            seen.add(id(each))
            pending.extend(each.values() if isinstance(each, dict) else each)
    return storages


class _TensorBuilder:
    """Builds tensors from their descriptions and the bytes of the storages."""

    def __init__(self, numbers: Mapping[str, bytes]) -> None:
        self._numbers = numbers
        self._storages: dict[str, Tensor] = {}

    def build(self, data: Any) -> Any:
        """Replace every description in nested `data` by its tensor."""
        if isinstance(data, TensorDescription):
            return self._tensor(data)
        if isinstance(data, dict):
            return {key: self.build(value) for key, value in data.items()}
        if isinstance(data, list | tuple):
            items = [self.build(value) for value in data]
            return items if isinstance(data, list) else tuple(items)
        return data

    def _tensor(self, described: TensorDescription) -> "Tensor":
        flat = self._flat(described.storage)
        last = sum((n - 1) * step for n, step in zip(described.size, described.stride, strict=True))
        # A stride of 0 could make a terabyte of one number.
        room = max(flat.numel(), 1)
        if math.prod(described.size) > room or described.offset + last >= room:
            raise pickle.UnpicklingError("a tensor beyond its storage")
        return flat.as_strided(described.size, described.stride, described.offset).clone()

    def _flat(self, storage: Storage) -> "Tensor":
        """Return a storage as a tensor (numbers,)."""
        import torch

        if storage.key not in self._storages:
            dtype = getattr(torch, storage.dtype)
            numbers = bytearray(self._numbers[storage.key])
            flat = torch.frombuffer(numbers, dtype=dtype) if numbers else torch.empty(0, dtype=dtype)
            if flat.numel() != storage.numel:
                raise ValueError("a storage of another size")
            self._storages[storage.key] = flat
        return self._storages[storage.key]
