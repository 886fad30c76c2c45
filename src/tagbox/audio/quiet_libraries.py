"""Keep libraries in C from writing to the terminal past Python.

libmpg123, through which libsndfile decodes mp3, remarks on every damaged frame, and libsndfile's decoder of
SDS on every damaged packet, to standard output. Neither can be told not to. What TagBox has to say of a
damaged recording is said in one line, by `tagbox.audio.files`.
"""

import ctypes
import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

CHATTY_FORMATS = ("MP3", "SDS")
"""libsndfile's formats whose decoders write to the terminal."""

_REMARK = re.compile(rb"\s*(\[[^]]*libmpg123/|(Note|Warning): |Error [A-Z0-9] : ).*|\s*")
_LOCK = threading.RLock()
"""Standard output and error are the process's: two threads must not redirect them at once."""


@contextmanager
def decoders_silenced() -> Iterator[None]:
    """Drop the remarks of decoders until the block ends; what others write meanwhile appears at its end."""
    with _LOCK, ExitStack() as stack:
        for stream in (1, 2):
            stack.enter_context(_filtered(stream))
        yield


@contextmanager
def _filtered(stream: int) -> Iterator[None]:
    _flush_c()
    try:
        saved = os.dup(stream)
    except OSError:
        # It is closed.
        yield
        return
    try:
        with tempfile.TemporaryFile() as written:
            os.dup2(written.fileno(), stream)
            try:
                yield
            finally:
                _flush_c()
                os.dup2(saved, stream)
                if written.seek(0, os.SEEK_END):
                    written.seek(0)
                    others = [line for line in written if not _REMARK.fullmatch(line.rstrip())]
                    with suppress(OSError):
                        os.write(stream, b"".join(others))
    finally:
        os.close(saved)


def _flush_c() -> None:
    """Write out what the C library holds back."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).fflush(None)
