"""Threads that wait for each other: by default they spin, which saves microseconds on an idle machine.

Where others want the same cores, those who spin hold up those who are waited for: with ten processes on two
cores, steps took nine times as long. PyTorch's OpenMP reads how to wait as it is loaded, so this has to be
said before. The program does it as it starts; whoever uses TagBox as a library decides.
"""

import os

PATIENT = {"OMP_WAIT_POLICY": "PASSIVE"}


def patiently() -> None:
    """Sleep while waiting, from when PyTorch is loaded on; what the user has set stays."""
    for name, value in PATIENT.items():
        os.environ.setdefault(name, value)
