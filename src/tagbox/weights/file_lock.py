"""Lock a file for one process at a time; the operating system releases the lock when its holder dies."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.2


@contextmanager
def hold_lock(path: Path, on_wait: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file `path` for the length of the block; call `on_wait` once if another process holds it.

    The file stays behind, empty: if it were deleted, a third process could lock a new one beside a second.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if not _try_lock(file):
            on_wait()
            while not _try_lock(file):
                time.sleep(POLL_SECONDS)
        yield
    finally:
        # Closing releases the lock on every system.
        os.close(file)


def _try_lock(file: int) -> bool:
    """Try to lock an open file; return whether that succeeded."""
    try:
        try:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except ImportError:
            import msvcrt

            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
    except (BlockingIOError, PermissionError):
        return False
    return True
