"""Threads that wait for each other: by default they spin, which saves microseconds on an idle machine.

Where others want the same cores, those who spin hold up those who are waited for: with ten processes on two
cores, steps took nine times as long. Those who sleep at once lose a quarter of an idle machine's pace, for a
step has thousands of such waits. So they spin for some tens of microseconds and then sleep. PyTorch's OpenMP
reads how to wait as it is loaded, so this has to be said before. The program does it as it starts; whoever
uses TagBox as a library decides.
"""

import os
from collections.abc import MutableMapping

# GNU's OpenMP counts turns; others know the policy alone.
PASSIVE_WAIT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "20000"}


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Sleep soon while waiting, from when PyTorch is loaded on; where the user has said how, do nothing."""
    if not any(name in environment for name in PASSIVE_WAIT):
        environment.update(PASSIVE_WAIT)
