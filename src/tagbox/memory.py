"""Recognise the errors by which Python, NumPy and PyTorch say that there is too little memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from tagbox.errors import OutOfMemoryError

ALLOCATION_FAILURES = (
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "Cannot allocate memory",
    "ALLOC_FAILED",
    "failed to allocate",
    "cannot allocate memory",
    "failed to map segment",
)
"""Words of PyTorch's allocators, of C++, of the system, of cuBLAS and of what loads libraries."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory could not be had."""
    if isinstance(error, MemoryError):
        return True
    # A library that finds no memory cannot be imported.
    return isinstance(error, (RuntimeError, ImportError)) and any(
        words in str(error) for words in ALLOCATION_FAILURES
    )


@contextmanager
def explain_out_of_memory() -> Iterator[None]:
    """Say what to do where the block needs more memory than there is.

    Raises:
        OutOfMemoryError: it does.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemoryError(
            "there is not enough memory; give shorter segments (--segment 10), fewer --factorisations, or an "
            "excerpt (--duration 30)"
        ) from error
