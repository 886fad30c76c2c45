"""Settings of the C library's allocator: the same numbers, without clearing memory anew at every step.

Steps that are limited by memory become several times faster.

By default the C library returns large blocks to the operating system as soon as they are freed. The next step
asks for the same blocks again, and the system clears every page anew. Kept, freed memory is simply used
again.

`keep_freed_memory` changes how the whole process allocates, so only the `tagbox` program calls it; a program
that uses TagBox as a library decides for itself.

Plain twin: not calling them. Parity test: tests/test_threads.py.
"""

import contextlib
import ctypes
import sys

# Parameters of glibc's mallopt, from its <malloc.h>.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_NEVER_BYTES = 2**31 - 1
_GROWTH_BYTES = 256 << 20


def trim() -> None:
    """Return freed memory to the system: what preparations left fragmented is no use to the steps."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> bool:
    """Keep freed memory for the next step. Return whether the C library (glibc) supports that."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # One arena: the backward pass runs in a thread of its own, and is to use what the forward pass has freed.
    settings = (
        (_MMAP_THRESHOLD, _NEVER_BYTES),
        (_TRIM_THRESHOLD, _NEVER_BYTES),
        (_TOP_PAD, _GROWTH_BYTES),
        (_ARENA_MAX, 1),
    )
    return all(mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings)
