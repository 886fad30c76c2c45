"""Temporary files and folders beside results, which no killed program leaves for long.

Each is locked for as long as the program that made it lives; the operating system releases the lock when the
program dies, however it dies. What nobody holds is removed when the next temporary file is made in the same
folder. On systems without `fcntl.flock` nothing is locked, and nothing is removed.
"""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PREFIX = ".tagbox-"
_NAME = re.compile(rf"{re.escape(PREFIX)}[a-z0-9_]{{8}}(\.[^.]*)?")
"""As `tempfile` makes names of the prefix and an ending."""

GUARD_SECONDS = 2.0
"""For as long another program's making of a temporary file is waited for; it takes milliseconds."""
_POLL_SECONDS = 0.01


@contextmanager
def temporary_file(folder: Path, suffix: str = "") -> Iterator[Path]:
    """Yield an empty file in `folder`, and remove it at the end unless it was moved away.

    Raises:
        OSError: `folder` cannot be written.
    """
    with _guard(folder):
        handle, name = tempfile.mkstemp(prefix=PREFIX, suffix=suffix, dir=folder)
        locked = _try_lock(handle)
    if not locked:
        # Windows renames no file that is open.
        os.close(handle)
    try:
        yield Path(name)
    finally:
        with suppress(OSError):
            Path(name).unlink(missing_ok=True)
        if locked:
            os.close(handle)


@contextmanager
def temporary_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder in `folder`, and remove it and what is left in it at the end.

    Raises:
        OSError: `folder` cannot be written.
    """
    with _guard(folder):
        path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
        handle = _open(path)
        if handle is not None:
            _try_lock(handle)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def remove_abandoned(folder: Path) -> None:
    """Remove the temporary files and folders in `folder` whose programs have died."""
    with _guard(folder):
        pass


@contextmanager
def _guard(folder: Path) -> Iterator[None]:
    """Remove what is abandoned in `folder`, and keep other programs from doing so during the block.

    A temporary file that another program has just made and not locked yet would seem abandoned.
    """
    # A temporary folder is locked by its own program already, and goes as a whole.
    handle = None if _NAME.fullmatch(folder.name) else _open(folder.resolve())
    if handle is None:
        yield
        return
    try:
        deadline = time.monotonic() + GUARD_SECONDS
        while not (locked := _try_lock(handle)) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        if locked:
            _remove_abandoned(folder)
        yield
    finally:
        os.close(handle)


def _remove_abandoned(folder: Path) -> None:
    with suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _NAME.fullmatch(entry.name)]
        for name in names:
            path = folder / name
            handle = _open(path)
            if handle is None:
                continue
            try:
                if _try_lock(handle):
                    if path.is_dir():
                        shutil.rmtree(path, ignore_errors=True)
                    else:
                        path.unlink(missing_ok=True)
            finally:
                os.close(handle)


def _open(path: Path) -> int | None:
    """Open a file or folder to lock it; None where that is not possible, or it is a link."""
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return None


def _try_lock(handle: int) -> bool:
    """Lock an open file or folder; return whether that succeeded."""
    try:
        import fcntl
    except ImportError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
