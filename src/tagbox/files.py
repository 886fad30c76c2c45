"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tagbox.errors import TagBoxError


def refuse_to_overwrite(path: Path, force: bool) -> None:
    """Raise `TagBoxError` where `path` exists and `force` is not given."""
    if path.exists() and not force:
        raise TagBoxError(f"{path} exists already; give --force to replace it, or another name")


@contextmanager
def whole(path: Path, force: bool = False) -> Iterator[Path]:
    """Yield a path beside `path` to write to; it takes `path`'s name only once the block ends without error.

    The neighbour keeps the suffix, since libraries choose the format by it.

    Raises:
        TagBoxError: `path` exists and `force` is not given, or its folder cannot be written.
    """
    refuse_to_overwrite(path, force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise TagBoxError(
            f"cannot write to {path.parent} ({error.strerror}); choose a folder that you can write"
        ) from error
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        # mkstemp makes files that only their owner can read; a result is an ordinary file.
        mask = os.umask(0)
        os.umask(mask)
        beside.chmod(0o666 & ~mask)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
