"""A run in a thread of its own, watched from outside while it goes on."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass
from typing import Generic, TypeVar

from tagbox.loop import OnStep, Step
from tagbox.streaming import OnSegment
from tagbox.ui.folder import Signals

T = TypeVar("T")
Work = Callable[[OnStep, OnSegment], T]


class CancelledError(Exception):
    """Whoever asked for a run does not want it any more."""


@dataclass(frozen=True)
class Moment:
    """What there is to see of a run.

    Attributes:
        begun: whether it has its turn.
        loops: how many loops began; a generator's latents take one for each source and segment.
        steps: of the loop that goes on.
        segments: how many are done, of how many; None where there is one.
        seconds: since it was asked for.
    """

    begun: bool
    loops: int
    steps: tuple[Step, ...]
    segments: tuple[int, int] | None
    seconds: float


class Watched(Generic[T]):
    """`work`, run by `executor`; iterating gives moments until it ends, `outcome` what came of it.

    One thread in the executor means one run at a time, whatever becomes of those who watch.
    """

    def __init__(self, work: Work[T], signals: Signals, executor: Executor, every: float = 0.4) -> None:
        self._signals = signals
        self._every = every
        self._begin = time.monotonic()
        self._begun = False
        self._loops = 0
        self._steps: list[Step] = []
        self._segments: tuple[int, int] | None = None
        self._future: Future[T] = executor.submit(self._run, work)

    def __iter__(self) -> Iterator[Moment]:
        try:
            while not self._future.done():
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

    def last(self) -> Moment:
        """The moment at which it ended."""
        return self._moment()

    def _moment(self) -> Moment:
        seconds = time.monotonic() - self._begin
        return Moment(self._begun, self._loops, tuple(self._steps), self._segments, seconds)

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
