"""End the program cleanly when it is told to end.

Ctrl-C is Python's own KeyboardInterrupt, on which the steering loop keeps the best result so far. SIGTERM and
SIGHUP come from a system that does not wait: the work stops at once, temporary files are removed, and nothing
is written.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = tuple(
    number for name in ("SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None
)
EXIT_CODE_BASE = 128
"""A program that a signal has ended exits with this number plus the signal's, as shells have it."""


class EndedBySignal(SystemExit):
    """A signal has told the program to end; no `except Exception` takes it for a fault.

    Attributes:
        name: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(EXIT_CODE_BASE + number)
        self.name = signal.Signals(number).name


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Raise `EndedBySignal` in the block when one of `SIGNALS` comes.

    A signal that is ignored, as by nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handled = [number for number in SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in handled:
            if signal.getsignal(number) in (_end, signal.SIG_IGN):
                signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> None:
    # The clean-up is not interrupted again.
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise EndedBySignal(number)
