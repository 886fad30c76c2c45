"""End a program cleanly when it is told to end.

Ctrl-C is Python's own KeyboardInterrupt, on which the steering loop keeps the best result so far. SIGTERM and
SIGHUP come from a system that does not wait: the work stops at once, temporary files are removed, and nothing
is written.

An exception that is raised while libsndfile calls back into Python is printed and lost, and the program would
go on; one that is raised while a temporary file is made or removed would leave it there. A signal that comes
at such a moment is raised again a little later.
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
UNINTERRUPTED = (
    ("soundfile", "vio_"),  # which libsndfile calls
    ("tagbox.temporary_files", "temporary_"),  # which are not at work while the block is that they are for
)
"""Modules, and how the names begin of their functions in which no signal is acted on."""
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
    if _is_uninterrupted(frame):
        _raise_later(number)
        return
    # The clean-up is not interrupted again.
    for each in SIGNALS:
        signal.signal(each, signal.SIG_IGN)
    raise EndedBySignal(number)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if _is_uninterrupted(frame):
        _raise_later(number)
        return
    signal.default_int_handler(number, frame)


def _is_uninterrupted(frame: FrameType | None) -> bool:
    """Return whether a function of `UNINTERRUPTED` is at work."""
    while frame is not None:
        module, name = frame.f_globals.get("__name__"), frame.f_code.co_name
        if any(module == own and name.startswith(prefix) for own, prefix in UNINTERRUPTED):
            return True
        frame = frame.f_back
    return False


def _raise_later(number: int) -> None:
    timer = threading.Timer(RETRY_SECONDS, _raise_in_main_thread, (number,))
    timer.daemon = True
    timer.start()


def _raise_in_main_thread(number: int) -> None:
    """Raise a signal where it also ends what the main thread waits for."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill"):
        signal.pthread_kill(main, number)
    else:
        signal.raise_signal(number)
