"""batch.jsonl: what became of each recording of a batch, a line each, appended as it happens.

Several programs may write into one file: each line is appended under a lock, in one piece. A line that a kill
or a full disk cut short is closed or taken back, so that all others stay readable.

On storage, where nothing can be appended to, the file is copied there now and then, and at the end.
"""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from tagbox.atomic_files import failed_write, make_folder
from tagbox.errors import TagBoxError
from tagbox.parallel.parts import Part
from tagbox.parallel.storage import Address, Place
from tagbox.temporary_files import temporary_folder

MIN_SECONDS_BETWEEN_COPIES = 20.0
MIN_TIMES_BETWEEN_COPIES = 20.0
"""As long as copying takes, which then is a small part of the time."""


def records_path(out: Place, part: Part | None) -> Place:
    """Return the path of the records below `out`.

    Parts of a job array have a file each: they may run on several machines, and not every network's file
    system locks.
    """
    return out / ("batch.jsonl" if part is None else f"batch-{part.number}-of-{part.count}.jsonl")


@contextmanager
def recording_to(
    place: Place | None, tell: Callable[[str], None]
) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Yield a function that records what became of a recording; a fault is told once and stops nothing.

    Args:
        place: of the records; None for none.
        tell: called with a line.
    """
    fails = False

    def attempt(action: Callable[[], None]) -> None:
        nonlocal fails
        if fails:
            return
        try:
            action()
        except TagBoxError as error:
            # The recordings themselves are what matters.
            fails = True
            tell(f"{error}; what becomes of the recordings is only printed")

    if isinstance(place, Address):
        with temporary_folder(Path(tempfile.gettempdir())) as folder:
            copied = _CopiedRecords(place, folder / place.name)
            try:
                yield lambda record: attempt(partial(copied.append, record))
            finally:
                attempt(copied.send)
    elif place is None:
        yield lambda record: None
    else:
        yield lambda record: attempt(partial(append_record, place, record))


class _CopiedRecords:
    """Records that are written to a file of this machine and copied to storage.

    Args:
        place: on storage; what is there is kept.
        path: of the file.
    """

    def __init__(self, place: Address, path: Path) -> None:
        self._place, self._path = place, path
        self._next = 0.0
        self._is_sent = True

    def append(self, record: Mapping[str, Any]) -> None:
        """Append `record`, and copy the file unless that was done a short while ago."""
        if not self._path.exists() and self._place.exists():
            self._place.fetch(self._path)
        append_record(self._path, record)
        self._is_sent = False
        if time.monotonic() >= self._next:
            self.send()

    def send(self) -> None:
        """Copy the file to storage, if there is something new in it."""
        if self._is_sent:
            return
        began = time.monotonic()
        self._place.send(self._path)
        self._is_sent = True
        # Of a million recordings, it takes long.
        now = time.monotonic()
        self._next = now + max(MIN_SECONDS_BETWEEN_COPIES, MIN_TIMES_BETWEEN_COPIES * (now - began))


def append_record(path: Path, record: Mapping[str, Any]) -> None:
    """Append `record` as a line.

    Raises:
        FailedWriteError: the disk is full, or fails; the file is then as it was.
        UnwritableOutputError: the file cannot be written.
    """
    # Names that are no UTF-8 are escaped, as JSON has it.
    line = json.dumps(record).encode() + b"\n"
    make_folder(path.parent)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            with _locked(handle):
                size = os.fstat(handle).st_size
                if size:
                    os.lseek(handle, size - 1, os.SEEK_SET)
                    if os.read(handle, 1) != b"\n":
                        line = b"\n" + line
                try:
                    _write_all(handle, line)
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(handle, size)
                    raise
        finally:
            os.close(handle)
    except OSError as error:
        raise failed_write(path, error) from error


def _write_all(handle: int, data: bytes) -> None:
    while data:
        data = data[os.write(handle, data) :]


@contextmanager
def _locked(handle: int) -> Iterator[None]:
    try:
        import fcntl
    except ImportError:
        yield
        return
    with suppress(OSError):  # of file systems without locks
        fcntl.flock(handle, fcntl.LOCK_EX)
    yield  # closing the file unlocks it
