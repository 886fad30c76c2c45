"""Hand items out to workers, such as processes, and take up again what those that die had in their hands."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from tagbox.errors import MachineError
from tagbox.parallel.engine import Died, Events, Finished, OnProgress, Started

MAX_FAILED_STARTS = 3
"""Of workers one after the other, after which no more are started."""


class Worker(Protocol):
    """Does one item at a time. Its first answer is that it is ready.

    Attributes:
        index: of the item in its hands.
    """

    index: int | None

    def give(self, item: Any) -> None:
        """Have it do `item`, whose number is in `index`."""
        ...

    def answer(self) -> tuple[str, Any] | None:
        """Return what it has to say, as a kind and a value; None where it is dead.

        Kinds are "ready"; "finished" with the result; "raised" with the exception; "progress" with how far
        the item in its hands has come, or None.
        """
        ...

    def bury(self) -> str:
        """Free what belonged to it, and return how it died, to follow "the process that worked on it"."""
        ...


AnyWorker = TypeVar("AnyWorker", bound=Worker)


class Waiting:
    """Items that wait for a worker.

    Args:
        items: all; they may take time to be made, which is done while the workers work.
        ahead: how many are made in advance.
    """

    def __init__(self, items: Iterable[Any], ahead: int) -> None:
        self._items = iter(enumerate(items))
        self._ahead = ahead
        self._made: deque[tuple[int, Any]] = deque()
        self._is_exhausted = False

    def __len__(self) -> int:
        """Return how many are made."""
        return len(self._made)

    @property
    def may_make(self) -> bool:
        """Whether another one may be made in advance."""
        return not self._is_exhausted and len(self._made) < self._ahead

    def make(self) -> None:
        """Make another one, if there is one."""
        made = next(self._items, None)
        if made is None:
            self._is_exhausted = True
        else:
            self._made.append(made)

    def fill(self) -> bool:
        """Return whether there is one, made now if need be."""
        if not self._made and not self._is_exhausted:
            self.make()
        return bool(self._made)

    def take(self) -> tuple[int, Any]:
        """Return the next one with its number."""
        return self._made.popleft()

    def put_back(self, index: int, item: Any) -> None:
        """Have one wait again, before all others."""
        self._made.appendleft((index, item))


def dispatch(
    waiting: Waiting,
    workers: list[AnyWorker],
    count: int,
    start: Callable[[], AnyWorker],
    ready: Callable[[Sequence[AnyWorker], Waiting], Sequence[AnyWorker]],
    on_progress: OnProgress,
    max_tries: int = 1,
    max_failed_starts: int = MAX_FAILED_STARTS,
) -> Events:
    """Have workers do all that is waiting, and yield what happens.

    Args:
        waiting: the items.
        workers: those that live; whoever calls ends them.
        count: how many are wanted.
        start: starts one.
        ready: waits until some have something to say, and returns them.
        on_progress: called with the progress of items.
        max_tries: how many workers may die of an item before it is given up.
        max_failed_starts: how many may die one after the other before any is ready.

    Raises:
        Exception: whatever the work raises.
        MachineError: no worker can be started.
    """
    failed_starts = 0
    given: dict[int, Any] = {}
    idle: list[AnyWorker] = []
    tries: Counter[int] = Counter()

    def give(worker: AnyWorker) -> None:
        worker.index, item = waiting.take()
        given[worker.index] = item
        worker.give(item)

    while waiting.fill() or given:
        # What another worker died of waits again.
        while idle and waiting.fill():
            give(worker := idle.pop())
            yield Started(_index_of(worker))
        starting = sum(worker.index is None for worker in workers) - len(idle)
        for _ in range(min(count - len(workers), len(waiting) - starting)):
            workers.append(start())
        for worker in ready(workers, waiting):
            message = worker.answer()
            if message is None:
                workers.remove(worker)
                reason = worker.bury()
                if worker.index is not None:
                    item = given.pop(worker.index)
                    tries[worker.index] += 1
                    if tries[worker.index] < max_tries:
                        waiting.put_back(worker.index, item)
                    else:
                        others = f", as {max_tries - 1} others before it" if max_tries > 1 else ""
                        yield Died(worker.index, reason + others)
                elif worker in idle:
                    idle.remove(worker)
                else:
                    failed_starts += 1
                    if failed_starts >= max_failed_starts:
                        raise MachineError(f"no process can be started: each one {reason}")
                continue
            kind, value = message
            if kind == "raised":
                raise value
            if kind == "progress":
                if worker.index is not None and value is not None:
                    on_progress(worker.index, value)
                continue
            failed_starts = 0
            finished, worker.index = worker.index, None
            # Before anything is printed, lest the worker wait for that.
            if waiting.fill():
                give(worker)
            else:
                idle.append(worker)
            if finished is not None:
                del given[finished]
                yield Finished(finished, value)
            if worker.index is not None:
                yield Started(worker.index)


def _index_of(worker: Worker) -> int:
    assert worker.index is not None
    return worker.index
