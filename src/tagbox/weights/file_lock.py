"""One process at a time: a lock that the system takes back when its holder dies."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

POLL_SECONDS = 0.2


@contextmanager
def locked(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Hold the lock file `path` for the length of the block; calls `waiting` once if another holds it.

    The file stays behind, empty: to delete it would let a third process lock a new one beside a second.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        told = False
        while not _take(file):
            if not told:
                waiting()
                told = True
            time.sleep(POLL_SECONDS)
        yield
    finally:
        # Closing gives the lock back on every system.
        os.close(file)


def _take(file: int) -> bool:
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
