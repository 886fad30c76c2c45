"""Do items in several processes of this machine. A process that dies costs the item in its hands, no more.

Python's own pools give everything up when one of their processes dies.
"""

import multiprocessing
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from tagbox.errors import MachineError
from tagbox.kernels import allocator
from tagbox.kernels.threads import are_threads_given, available_cores, limit_spinning
from tagbox.parallel.dispatch import Waiting, dispatch
from tagbox.parallel.engine import Events, OnProgress, Prepare, Progress
from tagbox.signals import ended_by_signals

END_SECONDS = 10.0
"""For as long a process may remove its temporary files before it is killed."""
PROGRESS_SECONDS = 0.5
"""Progress is told no more often."""


@dataclass
class _Worker:
    """A process.

    Attributes:
        index: of the item in its hands.
    """

    process: BaseProcess
    connection: Connection
    index: int | None = None

    def give(self, item: Any) -> None:
        """Have it do `item`."""
        _send(self.connection, ("item", item))

    def answer(self) -> tuple[str, Any] | None:
        """Return what it has to say; None where it has ended."""
        return _receive(self.connection)

    def bury(self) -> str:
        """Wait for the end of the process, whose connection has closed; return how it ended."""
        self.connection.close()
        self.process.join(END_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        code = self.process.exitcode or 0
        if code >= 0:
            return f"ended with exit code {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        hint = ", perhaps for want of memory" if name == "SIGKILL" else ""
        return f"was killed by {name}{hint}"


class Processes:
    """Does items in several processes.

    Args:
        jobs: how many processes.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        self._threads = None if are_threads_given() else max(1, available_cores() // jobs)

    def run(self, prepare: Prepare, items: Iterable[Any], on_progress: OnProgress) -> Events:
        """Do `items`, numbered from 0, and yield what happens; closing the iterator ends all processes.

        Raises:
            Exception: whatever the work raises.
            MachineError: no process can be started.
        """
        waiting = Waiting(items, self._jobs)
        workers: list[_Worker] = []
        try:
            yield from dispatch(
                waiting, workers, self._jobs, partial(self._start, prepare), _ready, on_progress
            )
            _dismiss(workers)
        finally:
            _end(workers)

    def _start(self, prepare: Prepare) -> _Worker:
        # A forked process would inherit PyTorch's threads in whatever state they are.
        context = multiprocessing.get_context("spawn")
        limit_spinning()
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, prepare, self._threads), daemon=True)
        try:
            with _interrupts_held():
                process.start()
        except OSError as error:
            ours.close()
            raise MachineError(f"no process can be started ({error.strerror or error})") from error
        finally:
            theirs.close()
        return _Worker(process, ours)


def _serve(connection: Connection, prepare: Prepare, threads: int | None) -> None:
    """Do the items that come through `connection`, until it closes: the main function of a process."""
    # Ctrl-C reaches every process of a terminal; only the main process is to act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _release_interrupts()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    allocator.keep_freed_memory()
    with ended_by_signals():
        _do_items(connection, prepare, threads)


def _do_items(connection: Connection, prepare: Prepare, threads: int | None) -> None:
    """Do the items that come through `connection`, until it closes; send what becomes of them."""
    last = 0.0

    def report(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_SECONDS:
            last = time.monotonic()
            _send(connection, ("progress", progress))

    try:
        work = prepare(threads)
        message: tuple[str, Any] = ("ready", None)
        while True:
            _send(connection, message)
            received = _receive(connection)
            if received is None:
                break
            message = ("finished", work(received[1], report))
    except Exception as error:
        error.add_note("".join(traceback.format_exception(error)))
        _send(connection, ("raised", error))


def _end_with_parent() -> None:
    """End when the main process does: where that is killed, nobody wants the results."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(END_SECONDS)
        os._exit(1)


def _send(connection: Connection, message: Any) -> None:
    # Pickled here, because PyTorch teaches multiprocessing to send tensors through shared memory, which is
    # small in containers.
    with suppress(BrokenPipeError, ConnectionResetError):  # of a process that has ended, which reading tells
        connection.send_bytes(pickle.dumps(message))


def _receive(connection: Connection) -> tuple[str, Any] | None:
    """Receive a message; None where the other process has ended, perhaps in the middle of one."""
    try:
        return pickle.loads(connection.recv_bytes())  # type: ignore[no-any-return]
    except (EOFError, OSError):
        return None


def _ready(workers: Sequence[_Worker], waiting: Waiting) -> list[_Worker]:
    """Wait until processes have something to say; make items in advance for as long as they do not."""
    connections = [worker.connection for worker in workers]
    ready = wait(connections, 0)
    while not ready and waiting.may_make:
        waiting.make()
        ready = wait(connections, 0)
    ready = ready or wait(connections)
    return [worker for worker in workers if worker.connection in ready]


def _dismiss(workers: Sequence[_Worker]) -> None:
    """Let processes without work end by themselves."""
    for worker in workers:
        worker.connection.close()
    _wait_for_ends(workers)


def _end(workers: Sequence[_Worker]) -> None:
    """End processes, which remove their temporary files first; kill those that take long."""
    try:
        for worker in workers:
            worker.process.terminate()
            worker.connection.close()
        _wait_for_ends(workers)
    finally:
        for worker in workers:
            if worker.process.exitcode is None:
                worker.process.kill()
                worker.process.join()


def _wait_for_ends(workers: Sequence[_Worker]) -> None:
    """Wait for processes to end, for `END_SECONDS` in all."""
    deadline = time.monotonic() + END_SECONDS
    for worker in workers:
        worker.process.join(max(0.0, deadline - time.monotonic()))


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back in the block, and in a process that it starts until that has a handler."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _release_interrupts() -> None:
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
