"""Standard streams that never end a run: consoles that lack a letter, closed streams, readers that left.

A result takes minutes to compute and a line about it microseconds to print. So what cannot be printed is
escaped or dropped, the work goes on, and only at the end is a stream that failed reported.
"""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from tagbox.errors import FailedWriteError

STANDARD_DESCRIPTORS = (0, 1, 2)
NOBODY_READS = (errno.EPIPE, errno.EBADF)
"""What is no fault: the reader has left (`| head -1`), or there never was one (`>&-`)."""


class LenientRawWriter(io.RawIOBase):
    """A file descriptor that is written to until that fails, and takes everything from then on.

    Attributes:
        failure: the first error that was a fault, such as a full disk.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_dead = False
        self.failure: OSError | None = None

    def writable(self) -> bool:
        """Return True."""
        return True

    def fileno(self) -> int:
        """Return the file descriptor."""
        return self._descriptor

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        """Write what the descriptor takes of `data`; drop all of it once that has failed."""
        if not self._is_dead:
            try:
                return os.write(self._descriptor, data)
            except BlockingIOError:
                raise
            except OSError as error:
                self._is_dead = True
                if error.errno not in NOBODY_READS:
                    self.failure = error
        return memoryview(data).nbytes


@contextmanager
def lenient_streams() -> Iterator[None]:
    """Make standard output and standard error lenient until the block ends.

    Streams that a program or a test has put in their places are only made to escape letters they lack.

    Raises:
        FailedWriteError: standard output could not be written to during the block, which ended well.
    """
    _open_closed_descriptors()
    before = sys.stdout, sys.stderr
    raw = None
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        raw, sys.stdout = _lenient(sys.stdout, 1)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        _, sys.stderr = _lenient(sys.stderr, 2)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        yield
        sys.stdout.flush()
        if raw is not None and raw.failure is not None:
            reason = raw.failure.strerror or str(raw.failure)
            raise FailedWriteError(
                f"standard output cannot be written ({reason}); what was to be printed is lost, and files "
                "that were written are whole"
            )
    finally:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        if raw is None:
            sys.stdout, sys.stderr = before


def _lenient(stream: TextIO | None, descriptor: int) -> tuple[LenientRawWriter, TextIO]:
    """Return a writer of `descriptor`, and a text stream on it with the encoding of `stream`."""
    raw = LenientRawWriter(descriptor)
    text = io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="backslashreplace",
        line_buffering=descriptor == 2 or bool(getattr(stream, "line_buffering", False)),
        write_through=bool(getattr(stream, "write_through", False)),
    )
    return raw, text


def _open_closed_descriptors() -> None:
    """Open the null device where a standard stream is closed, lest a result's file take its number."""
    for descriptor in STANDARD_DESCRIPTORS:
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is this one.
            os.open(os.devnull, os.O_RDWR)


def print_line(text: object = "", error: bool = False) -> None:
    """Print a line to standard output or, with `error`, to standard error, at once."""
    stream = sys.stderr if error else sys.stdout
    try:
        print(text, file=stream, flush=True)
    except UnicodeEncodeError:
        # A stream that somebody else has put in the place of ours.
        encoding = stream.encoding or "ascii"
        print(str(text).encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)


def is_terminal(stream: TextIO | None) -> bool:
    """Return whether a stream, which may be closed, is a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False
