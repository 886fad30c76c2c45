"""batch.jsonl: what became of each recording of a batch, a line each, appended as it happens.

Several programs may write into one file: each line is appended under a lock, in one piece. A line that a kill
or a full disk cut short is closed or taken back, so that all others stay readable.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tagbox.atomic_files import failed_write, make_folder
from tagbox.parallel.parts import Part


def records_path(out: Path, part: Part | None) -> Path:
    """Return the path of the records below `out`.

    Parts of a job array have a file each: they may run on several machines, and not every network's file
    system locks.
    """
    return out / ("batch.jsonl" if part is None else f"batch-{part.number}-of-{part.count}.jsonl")


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
