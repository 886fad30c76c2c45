"""A run in a thread of its own, one at a time, watched from outside while it waits and while it goes on."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from tagbox.errors import TagBoxError
from tagbox.methods.steering import OnStep, Step
from tagbox.pipeline.streaming import OnSegment
from tagbox.ui.session_files import Signals

T = TypeVar("T")
Work = Callable[[OnStep, OnSegment], T]


@dataclass(frozen=True)
class JobStatus:
    """What there is to see of a run.

    Attributes:
        begun: whether it has its turn.
        before: how many runs have to end first.
        loops: how many loops began; a generator's latents take one for each source and segment.
        steps: of the loop that goes on.
        segments: how many are done, of how many; None where there is one.
        seconds: since it was asked for.
    """

    begun: bool
    before: int
    loops: int
    steps: tuple[Step, ...]
    segments: tuple[int, int] | None
    seconds: float


class JobQueue:
    """One thread that runs what is asked for in its order, whatever becomes of those who asked.

    Args:
        waiting: how many may wait.
    """

    def __init__(self, waiting: int) -> None:
        self._waiting = waiting
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="run")
        self._asked: list[Future[Any]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def ask(self, work: Callable[[], T]) -> Future[T]:
        """Run `work` when all before it have ended.

        Raises:
            TagBoxError: too many wait already.
        """
        with self._lock:
            self._asked = [future for future in self._asked if not future.done()]
            if len(self._asked) > self._waiting:
                raise TagBoxError(f"too many wait already ({self._waiting}); come back in a while")
            future = self._executor.submit(work)
            self._asked.append(future)
        return future

    def before(self, future: Future[Any]) -> int:
        """How many runs have to end before this one begins."""
        with self._lock:
            earlier = self._asked[: self._asked.index(future)] if future in self._asked else []
        return sum(not one.done() for one in earlier)


class Job(Generic[T]):
    """`work` at its turn; iterating gives moments until it ends, `outcome` what came of it."""

    def __init__(self, work: Work[T], signals: Signals, turns: JobQueue, every: float = 0.4) -> None:
        self._signals = signals
        self._every = every
        self._begin = time.monotonic()
        self._begun = False
        self._loops = 0
        self._steps: list[Step] = []
        self._segments: tuple[int, int] | None = None
        self._turns = turns
        self._future: Future[T] = turns.ask(lambda: self._run(work))

    def __iter__(self) -> Iterator[JobStatus]:
        try:
            while not self._future.done():
                if self._signals.cancel.is_set() and self._future.cancel():
                    return
                yield self._moment()
                wait([self._future], self._every)
        finally:
            # Whoever stops watching before the end has gone.
            if not self._future.done():
                self._signals.cancel.set()

    def outcome(self) -> T:
        """What the work returned.

        Raises:
            CancelledError: it was cancelled.
            Exception: whatever it raised.
        """
        return self._future.result()

    def last(self) -> JobStatus:
        """The moment at which it ended."""
        return self._moment()

    def _moment(self) -> JobStatus:
        seconds = time.monotonic() - self._begin
        before = 0 if self._begun else self._turns.before(self._future)
        return JobStatus(self._begun, before, self._loops, tuple(self._steps), self._segments, seconds)

    def _run(self, work: Work[T]) -> T:
        self._begun = True
        self._leave_if_cancelled()
        return work(self._step, self._segment)

    def _step(self, step: Step) -> bool:
        self._leave_if_cancelled()
        if step.index == 0:
            self._loops += 1
            self._steps = []
        self._steps.append(step)
        return self._signals.stop.is_set()

    def _segment(self, done: int, count: int) -> None:
        self._leave_if_cancelled()
        self._segments = (done, count)

    def _leave_if_cancelled(self) -> None:
        if self._signals.cancel.is_set():
            raise CancelledError
