"""What works through a list of items: in this process, in several, or on several machines.

An engine calls `prepare` once in each of its processes, which loads what all items share, such as models, and
returns the work: a function of one item. `prepare`, items and results have to be picklable.
"""

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol


@dataclass(frozen=True)
class Progress:
    """How far the work on one item has come.

    Attributes:
        text: for people.
        share: that is done, 0 to 1; None where it is not known.
    """

    text: str
    share: float | None = None


ENGINES = ("processes", "ray")
"""Names of engines on the command line: several processes of this machine, or actors of a Ray cluster."""

Report = Callable[[Progress], None]
Work = Callable[[Any, Report], Any]
"""Do one item, reporting progress; return its result."""
Prepare = Callable[[int | None], Work]
"""Make the work, given how many threads it may compute on; None where that is the work's own affair."""
OnProgress = Callable[[int, Progress], None]
"""Called with the number of an item."""


@dataclass(frozen=True)
class Started:
    """Work on an item has begun; it begins again where the process died and the engine tries once more.

    Attributes:
        index: of the item.
    """

    index: int


@dataclass(frozen=True)
class Finished:
    """An item is done.

    Attributes:
        index: of the item.
        result: what the work returned.
    """

    index: int
    result: Any


@dataclass(frozen=True)
class Died:
    """The process that worked on an item died, as often as the engine tries; the item is not done again.

    Attributes:
        index: of the item.
        reason: why, as far as the system tells.
    """

    index: int
    reason: str


Event = Started | Finished | Died
Events = Generator[Event, None, None]
"""Closing them ends all work."""


class Engine(Protocol):
    """Does items, in any order."""

    def run(self, prepare: Prepare, items: Iterable[Any], on_progress: OnProgress) -> Events:
        """Do `items`, numbered from 0, and yield what happens; closing the iterator ends all work.

        Raises:
            Exception: whatever the work raises.
            MachineError: no process can be started.
        """
        ...


class ThisProcess:
    """Does one item after the other, here."""

    def run(self, prepare: Prepare, items: Iterable[Any], on_progress: OnProgress) -> Events:
        """Do `items`, numbered from 0, and yield what happens.

        Raises:
            Exception: whatever the work raises.
        """
        work = prepare(None)
        for index, item in enumerate(items):
            yield Started(index)
            yield Finished(index, work(item, partial(on_progress, index)))
