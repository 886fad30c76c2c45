"""End a program cleanly when it is told to end.

Ctrl-C is Python's own KeyboardInterrupt, on which the steering loop keeps the best result so far. SIGTERM and
SIGHUP come from a system that does not wait: the work stops at once, temporary files are removed, and nothing
is written.

An exception that is raised while libsndfile calls back into Python is printed and lost, and the program would
go on. So a signal that comes there is raised again a moment later.
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
CALLBACK_PREFIX = "vio_"
"""Of the names of soundfile's functions that libsndfile calls."""
RETRY_SECONDS = 0.01


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
    """Raise `EndedBySignal` in the block when one of `SIGNALS` comes, and KeyboardInterrupt on Ctrl-C.

    A signal that is ignored, as by nohup, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (*SIGNALS, signal.SIGINT)}
    handled = [number for number in SIGNALS if before[number] is signal.SIG_DFL]
    if before[signal.SIGINT] is signal.default_int_handler:
        handled.append(signal.SIGINT)
    for number in handled:
        signal.signal(number, _interrupt if number == signal.SIGINT else _end)
    try:
        yield
    finally:
        for number in handled:
            if signal.getsignal(number) in (_end, _interrupt, signal.SIG_IGN):
                signal.signal(number, before[number])


def _end(number: int, frame: FrameType | None) -> None:
    if _is_in_callback(frame):
        _raise_later(number)
        return
    # The clean-up is not interrupted again.
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise EndedBySignal(number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _is_in_callback(frame):
        _raise_later(number)
        return
    signal.default_int_handler(number, frame)


def _is_in_callback(frame: FrameType | None) -> bool:
    """Return whether libsndfile has called what runs."""
    while frame is not None:
        name = frame.f_code.co_name
        if name.startswith(CALLBACK_PREFIX) and frame.f_globals.get("__name__") == "soundfile":
            return True
        frame = frame.f_back
    return False


def _raise_later(number: int) -> None:
    timer = threading.Timer(RETRY_SECONDS, signal.raise_signal, (number,))
    timer.daemon = True
    timer.start()
