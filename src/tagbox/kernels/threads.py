"""How threads wait for each other: the same numbers, without spinning that holds up other processes.

By default OpenMP's threads spin while they wait, which saves microseconds on an idle machine. Where other
processes want the same cores, spinning threads hold up the very threads that they wait for: with ten
processes on two cores, steps took nine times as long. Threads that sleep at once make an idle machine a
quarter slower, because a step waits thousands of times. So they spin for some tens of microseconds and then
sleep.

OpenMP reads this setting when PyTorch is loaded, so it has to be set before. Only the `tagbox` program sets
it; a program that uses TagBox as a library decides for itself.

Plain twin: not calling it. Parity test: tests/test_threads.py.
"""

import os
from collections.abc import MutableMapping

PASSIVE_WAIT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "20000"}
"""Environment variables. GNU's OpenMP counts iterations of the spinning loop; others know only the policy."""


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let threads sleep soon while they wait, unless the user has set either variable."""
    if not any(name in environment for name in PASSIVE_WAIT):
        environment.update(PASSIVE_WAIT)
