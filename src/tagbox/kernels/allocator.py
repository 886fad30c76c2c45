"""Memory of the process: the C library gives big blocks back to the system as soon as they are free, and asks
for them again at the next step, when every page has to be cleared anew. Steering takes and frees the same
blocks at each step, so keeping them makes memory-bound steps several times faster.

This changes how the whole process allocates. The program does it as it starts; whoever uses TagBox as a
library decides.
"""

import contextlib
import ctypes
import sys

# Parameters of glibc's mallopt, from its <malloc.h>.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_NEVER = 2**31 - 1
_AT_ONCE = 256 << 20


def trim() -> None:
    """Give freed memory back to the system: what preparations left in pieces is of no use to the steps."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def keep_freed_memory() -> bool:
    """Keep freed memory for the next step; true where the C library (glibc) can be told so."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    # One arena: the way back runs in a thread of its own, and is to use what the way there has freed.
    wanted = (
        (_MMAP_THRESHOLD, _NEVER),
        (_TRIM_THRESHOLD, _NEVER),
        (_TOP_PAD, _AT_ONCE),
        (_ARENA_MAX, 1),
    )
    return all(mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in wanted)
