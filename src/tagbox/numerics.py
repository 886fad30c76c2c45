"""Compute alike whatever the calling program has set: in float32, with gradients where they are needed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def _use_one_thread() -> None:
    """Compute on one thread: the others of a process that has computed before do not survive a fork.

    GNU's OpenMP would wait for them forever.
    """
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_use_one_thread)


@contextmanager
def standard_numerics() -> Iterator[None]:
    """Leave `no_grad` and `inference_mode`, and take float32 as default type, until the block ends.

    The default type is the process's: other threads of a program that has set another one see float32 for as
    long as the block runs.
    """
    default = torch.get_default_dtype()
    with torch.inference_mode(False), torch.enable_grad():
        if default != torch.float32:
            torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            if default != torch.float32:
                torch.set_default_dtype(default)
