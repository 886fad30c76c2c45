"""An unpickler that cannot run anything: what a pickle names becomes an inert stand-in, or a refusal.

A pickle is a program: it names functions of installed modules and has them called. Nothing is looked up in
any module here. Tensors become descriptions, unknown classes become objects that swallow whatever is done to
them, and whoever names a function that does things (`os.system`, `builtins.eval`) is refused with its name.
"""

import pickle
import sys
from collections.abc import Callable, Mapping
from typing import IO, Any, NamedTuple

# PyTorch names the type of numbers by the class of the memory that holds them.
NUMBERS = {
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

# Python 2 called some of them otherwise, and checkpoints outlive Python 2.
STANDARD = sys.stdlib_module_names | {
    *("__builtin__", "copy_reg", "commands", "popen2", "exceptions", "cPickle", "urllib2", "httplib", "nt"),
}

# Of the standard library, what only holds data and is found in honest checkpoints.
PLAIN: Mapping[str, frozenset[str]] = {
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

# Lower-case names elsewhere that only make values.
MAKERS = frozenset({"dtype", "ndarray", "scalar", "_reconstruct", "_frombuffer"})


class WouldRunCodeError(Exception):
    """The pickle names this function, which does more than hold data."""


class InertObject:
    """Stands for an object whose class we do not import: takes everything, keeps nothing."""

    def __new__(cls, *_: object, **__: object) -> "InertObject":
        return object.__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __setstate__(self, state: object = None) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        """Forget it."""

    extend = add = append


class Table(dict[Any, Any]):
    """A dictionary of whatever kind; attributes that a pickle wants to hang on it are left out."""

    def __init__(self, *given: object) -> None:
        super().__init__(*(each for each in given if isinstance(each, list | dict)))

    def __setstate__(self, state: object = None) -> None:
        pass


# Tuples below, since nothing that a pickle does can change a tuple once it is checked.
class Numbers(NamedTuple):
    """A kind of memory, by the name of its numbers' type."""

    dtype: str


class Storage(NamedTuple):
    """A piece of memory that the file keeps under `key`."""

    dtype: str
    key: str
    numel: int


class Description(NamedTuple):
    """A tensor that is still to be made: a view of `storage`."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]


class Maker:
    """A function of PyTorch that rebuilds tensors, here without PyTorch."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., object]) -> None:
        self._make = make

    def __call__(self, *given: object) -> object:
        return self._make(*given)

    def __setstate__(self, state: object = None) -> None:
        pass


class Function:
    """A function that the pickle may name, as settings do, but not call."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, *_: object, **__: object) -> object:
        raise WouldRunCodeError(self._path)

    def __setstate__(self, state: object = None) -> None:
        pass


def _tensor(storage: object, offset: Any, size: object, stride: object, *_: object) -> Description:
    if not (isinstance(storage, Storage) and isinstance(size, tuple) and isinstance(stride, tuple)):
        raise pickle.UnpicklingError("a tensor of no storage")
    if not all(isinstance(n, int) and n >= 0 for n in (offset, *size, *stride)) or len(size) != len(stride):
        raise pickle.UnpicklingError("a tensor of impossible size")
    return Description(storage, offset, size, stride)


MADE: Mapping[tuple[str, str], object] = {
    ("torch._utils", "_rebuild_tensor"): Maker(_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): Maker(_tensor),
    ("torch._utils", "_rebuild_parameter"): Maker(lambda value, *_: value),
    ("collections", "OrderedDict"): Table,
    ("collections", "defaultdict"): Table,
}


def resolve_stub(module: str, name: str) -> object:
    """What a pickle gets where it names `module.name`; nothing is imported.

    Raises:
        WouldRunCodeError: it is something of the standard library that does more than hold data.
    """
    if (module, name) in MADE:
        return MADE[module, name]
    if module == "torch" and name in NUMBERS:
        return Numbers(NUMBERS[name])
    if module.split(".")[0] in STANDARD:
        if name not in PLAIN.get(module, ()):
            raise WouldRunCodeError(f"{module}.{name}")
        return type("InertObject", (InertObject,), {})
    last = name.split(".")[-1]
    # Classes are written in capitals. A function that is only named, as settings name an activation, does no
    # harm; to call it is another matter.
    if last.lstrip("_")[:1].isupper() or last in MAKERS:
        return type("InertObject", (InertObject,), {})
    return Function(f"{module}.{name}")


class InertUnpickler(pickle.Unpickler):
    """Reads one pickle of a checkpoint; see the module."""

    def __init__(self, file: IO[bytes]) -> None:
        # Strings of Python 2 may be anything; latin-1 takes every byte.
        super().__init__(file, encoding="latin1")

    def find_class(self, module: str, name: str) -> Any:
        """Never a class of any module: what stands in for it."""
        return resolve_stub(module, name)

    def persistent_load(self, pid: Any) -> object:
        """The description of a storage, by which pickles of PyTorch refer to memory beside them."""
        if not isinstance(pid, tuple) or not pid or pid[0] != "storage":
            return InertObject()
        if len(pid) < 5 or not isinstance(pid[1], Numbers) or not isinstance(pid[4], int):
            raise pickle.UnpicklingError("a storage of no type")
        if len(pid) > 5 and pid[5] is not None:
            raise pickle.UnpicklingError("a view of a storage")
        return Storage(pid[1].dtype, str(pid[2]), pid[4])
