"""Unpickle without running code: what a pickle names is replaced by an inert stand-in, or refused.

A pickle is a program: it names functions of installed modules and has them called. Here no module is
imported. Tensors become descriptions, unknown classes become objects that ignore whatever is done to them,
and a pickle that names a function with effects (`os.system`, `builtins.eval`) is refused with the function's
name.
"""

import pickle
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple

DTYPE_BY_STORAGE = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
"""PyTorch states a storage's dtype by the name of a class."""

STANDARD_MODULES = sys.stdlib_module_names | {
    *("__builtin__", "copy_reg", "commands", "popen2", "exceptions", "cPickle", "urllib2", "httplib", "nt"),
}
"""The standard library's modules, with Python 2's names for some, because checkpoints outlive Python 2."""

DATA_CLASSES: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(
        ("builtins", "__builtin__"),
        frozenset(
            {"set", "frozenset", "list", "tuple", "dict", "int", "long", "float", "complex", "bool", "str"}
            | {"unicode", "bytes", "bytearray", "slice", "range", "xrange", "object", "Ellipsis"}
        ),
    ),
    **dict.fromkeys(("copyreg", "copy_reg"), frozenset({"_reconstructor", "__newobj__", "__newobj_ex__"})),
    "_codecs": frozenset({"encode"}),
    "argparse": frozenset({"Namespace"}),
    "collections": frozenset({"Counter", "deque", "ChainMap"}),
    "datetime": frozenset({"date", "time", "datetime", "timedelta", "timezone"}),
    "decimal": frozenset({"Decimal"}),
    "fractions": frozenset({"Fraction"}),
    "functools": frozenset({"partial"}),
    "pathlib": frozenset({"Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"}),
    "types": frozenset({"SimpleNamespace"}),
    "uuid": frozenset({"UUID"}),
}
"""By module of the standard library: what only holds data and occurs in honest checkpoints."""

VALUE_FUNCTIONS = frozenset({"dtype", "ndarray", "scalar", "_reconstruct", "_frombuffer"})
"""Names of other libraries that are in lower case, as functions are, but only make values."""


class WouldRunCodeError(Exception):
    """A pickle names a function that does more than hold data; the message is the function's name."""


class InertObject:
    """Stand-in for an object of a class that is not imported: accepts all operations and keeps nothing."""

    def __new__(cls, *_: object, **__: object) -> "InertObject":
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: object = None) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        """Ignore `item`."""

    extend = add = append


class PlainDict(dict[Any, Any]):
    """Stand-in for an `OrderedDict` or `defaultdict`; attributes that a pickle sets are ignored."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(each for each in arguments if isinstance(each, list | dict)))

    def __setstate__(self, state: object = None) -> None:
        pass


# The following are tuples because a pickle cannot change a tuple after it has been checked.
class StorageType(NamedTuple):
    """The type of a storage, by the name of its dtype."""

    dtype: str


class Storage(NamedTuple):
    """Memory of `numel` numbers, which the file keeps under `key`."""

    dtype: str
    key: str
    numel: int


class TensorDescription(NamedTuple):
    """A tensor to be built: a view of `storage`."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Rebuilder:
    """Stand-in for a function of PyTorch that rebuilds tensors."""

    __slots__ = ("_rebuild",)

    def __init__(self, rebuild: Callable[..., object]) -> None:
        self._rebuild = rebuild

    def __call__(self, *arguments: object) -> object:
        return self._rebuild(*arguments)

    def __setstate__(self, state: object = None) -> None:
        pass


class UncallableFunction:
    """Stand-in for a function that a pickle may name, as settings name an activation, but not call."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, *_: object, **__: object) -> object:
        raise WouldRunCodeError(self._path)

    def __setstate__(self, state: object = None) -> None:
        pass


def _describe_tensor(
    storage: object, offset: Any, size: object, stride: object, *_: object
) -> TensorDescription:
    if not (isinstance(storage, Storage) and isinstance(size, tuple) and isinstance(stride, tuple)):
        raise pickle.UnpicklingError("a tensor of no storage")
    if not all(isinstance(n, int) and n >= 0 for n in (offset, *size, *stride)) or len(size) != len(stride):
        raise pickle.UnpicklingError("a tensor of impossible size")
    return TensorDescription(storage, offset, size, stride)


REBUILT: Mapping[tuple[str, str], object] = {
    ("torch._utils", "_rebuild_tensor"): Rebuilder(_describe_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Rebuilder(_describe_tensor),
    ("torch._utils", "_rebuild_parameter"): Rebuilder(lambda value, *_: value),
    ("collections", "OrderedDict"): PlainDict,
    ("collections", "defaultdict"): PlainDict,
}


def resolve_stub(module: str, name: str) -> object:
    """Return the stand-in for what a pickle calls `module.name`; nothing is imported.

    Raises:
        WouldRunCodeError: the standard library's object of that name does more than hold data.
    """
    if (module, name) in REBUILT:
        return REBUILT[module, name]
    if module == "torch" and name in DTYPE_BY_STORAGE:
        return StorageType(DTYPE_BY_STORAGE[name])
    if module.split(".")[0] in STANDARD_MODULES:
        if name not in DATA_CLASSES.get(module, ()):
            raise WouldRunCodeError(f"{module}.{name}")
        return type("InertObject", (InertObject,), {})
    last = name.split(".")[-1]
    # Classes begin with a capital. Naming a function does no harm; calling it might.
    if last.lstrip("_")[:1].isupper() or last in VALUE_FUNCTIONS:
        return type("InertObject", (InertObject,), {})
    return UncallableFunction(f"{module}.{name}")


class InertUnpickler(pickle.Unpickler):
    """An unpickler that imports nothing and runs nothing (see the module)."""

    def __init__(self, file: IO[bytes]) -> None:
        # Python 2's strings are bytes of any encoding; latin-1 accepts every byte.
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        """Return the stand-in for a class or function."""
        return resolve_stub(module, name)

    def persistent_load(self, pid: Any) -> object:
        """Return the storage to which a pickle of PyTorch refers by `pid`."""
        if not isinstance(pid, tuple) or not pid or pid[0] != "storage":
            return InertObject()
        if len(pid) < 5 or not isinstance(pid[1], StorageType) or not isinstance(pid[4], int):
            raise pickle.UnpicklingError("a storage of no type")
        if len(pid) > 5 and pid[5] is not None:
            raise pickle.UnpicklingError("a view of a storage")
        return Storage(pid[1].dtype, str(pid[2]), pid[4])
