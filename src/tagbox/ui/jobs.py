"""Jobs in a background thread, one at a time, that report their progress and can be stopped or cancelled."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Literal, Self, TypeVar

from tagbox.errors import TagBoxError
from tagbox.methods.steering import OnStep, Step
from tagbox.pipeline.streaming import OnSegment
from tagbox.ui.session_files import JobSignals

T = TypeVar("T")
Work = Callable[[OnStep, OnSegment], T]
"""What a job does; it calls the first function after every step, the second after every segment."""

State = Literal["waiting", "running", "done", "failed", "cancelled"]

STATUS_INTERVAL_SECONDS = 0.4


@dataclass(frozen=True)
class JobStatus:
    """The progress of a job at one moment.

    Attributes:
        started: whether its work has begun.
        jobs_before: how many jobs have to end before it starts.
        loops: how many steering loops have begun; latents take one for each source and segment.
        steps: of the current loop so far.
        segments: how many are done, of how many; None where the recording is one segment.
        seconds: since the job was submitted.
    """

    started: bool
    jobs_before: int
    loops: int
    steps: tuple[Step, ...]
    segments: tuple[int, int] | None
    seconds: float


class JobQueue:
    """A thread that does one piece of work at a time, in the order in which they were submitted.

    Args:
        max_waiting: how many may wait.
    """

    def __init__(self, max_waiting: int) -> None:
        self._max_waiting = max_waiting
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="job")
        self._submitted: list[Future[Any]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Call `work` once everything submitted before it has ended.

        Raises:
            TagBoxError: too many wait already.
        """
        with self._lock:
            self._submitted = [future for future in self._submitted if not future.done()]
            if len(self._submitted) > self._max_waiting:
                raise TagBoxError(f"too many runs wait already ({self._max_waiting}); come back in a while")
            future = self._executor.submit(work)
            self._submitted.append(future)
        return future

    def jobs_before(self, future: Future[Any]) -> int:
        """Count the submitted works that have to end before that of `future` starts."""
        with self._lock:
            earlier = self._submitted[: self._submitted.index(future)] if future in self._submitted else []
        return sum(not other.done() for other in earlier)


class Job(Generic[T]):
    """Work submitted to a queue. Iterating yields its status until it ends.

    Args:
        work: what to do.
        signals: from whoever submitted it.
        queue: in which it waits.
        interval: between two statuses, seconds.

    Raises:
        TagBoxError: too many jobs wait already.
    """

    def __init__(
        self,
        work: Work[T],
        signals: JobSignals,
        queue: JobQueue,
        interval: float = STATUS_INTERVAL_SECONDS,
    ) -> None:
        self._work = work
        self._signals = signals
        self._queue = queue
        self._interval = interval
        self._submitted_at = time.monotonic()
        self._started = False
        self._loops = 0
        self._steps: list[Step] = []
        self._segments: tuple[int, int] | None = None
        self._future: Future[T] = queue.submit(self._run)

    def __iter__(self) -> Iterator[JobStatus]:
        try:
            while not self._future.done():
                if self._signals.cancel.is_set() and self._future.cancel():
                    return
                yield self.status()
                wait([self._future], self._interval)
        finally:
            # The iteration ends early when the page is closed: nobody waits for the result any more.
            if not self._future.done():
                self._signals.cancel.set()

    @property
    def state(self) -> State:
        """Return how far the job is."""
        if not self._future.done():
            return "running" if self._started else "waiting"
        if self._future.cancelled() or isinstance(self._future.exception(), CancelledError):
            return "cancelled"
        return "failed" if self._future.exception() else "done"

    @property
    def error(self) -> BaseException | None:
        """Return what ended a job that failed."""
        return self._future.exception() if self.state == "failed" else None

    def cancel(self) -> None:
        """Ask the job to end without a result: after its current step, or at once while it waits."""
        self._signals.cancel.set()
        self._future.cancel()

    def when_ended(self, act: Callable[[], None]) -> None:
        """Call `act` once the job has ended, whether well or not; at once where it has ended."""
        self._future.add_done_callback(lambda _: act())

    def result(self) -> T:
        """Wait for the work and return its result.

        Raises:
            CancelledError: it was cancelled.
            Exception: whatever the work raised.
        """
        return self._future.result()

    def status(self) -> JobStatus:
        """Return the status now; once the job has ended, its final one."""
        seconds = time.monotonic() - self._submitted_at
        before = 0 if self._started else self._queue.jobs_before(self._future)
        return JobStatus(self._started, before, self._loops, tuple(self._steps), self._segments, seconds)

    def _run(self) -> T:
        self._started = True
        self._raise_if_cancelled()
        result = self._work(self._on_step, self._on_segment)
        # Work of one step may report nothing while it goes on.
        self._raise_if_cancelled()
        return result

    def _on_step(self, step: Step) -> bool:
        self._raise_if_cancelled()
        if step.index == 0:
            self._loops += 1
            self._steps = []
        self._steps.append(step)
        return self._signals.stop.is_set()

    def _on_segment(self, done: int, count: int) -> None:
        self._raise_if_cancelled()
        self._segments = (done, count)

    def _raise_if_cancelled(self) -> None:
        if self._signals.cancel.is_set():
            raise CancelledError
