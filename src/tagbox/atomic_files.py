"""Write files that appear whole or not at all."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tagbox.errors import OutputExistsError, UnwritableOutputError


def refuse_to_overwrite(path: Path, force: bool) -> None:
    """Check that `path` may be written.

    Raises:
        OutputExistsError: `path` exists and `force` is not given.
    """
    if path.exists() and not force:
        raise OutputExistsError(f"{path} exists already; give --force to replace it, or another name")


@contextmanager
def write_atomically(path: Path, force: bool = False) -> Iterator[Path]:
    """Yield the path of a temporary file, which is renamed to `path` if the block ends without an error.

    The temporary file has the ending of `path`, by which libraries choose the format.

    Raises:
        OutputExistsError: `path` exists and `force` is not given.
        UnwritableOutputError: its folder cannot be written.
    """
    refuse_to_overwrite(path, force)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    except OSError as error:
        raise UnwritableOutputError(
            f"cannot write to {path.parent} ({error.strerror}); choose a folder that you can write"
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files that only their owner can read, unlike other new files.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(data: Mapping[str, Any], path: Path, force: bool) -> None:
    """Write `data` as indented JSON in UTF-8, whole or not at all.

    Raises:
        OutputExistsError: `path` exists and `force` is not given.
        UnwritableOutputError: its folder cannot be written.
    """
    with write_atomically(path, force) as temporary:
        temporary.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
