"""One progress display for a batch: how many are done, what is worked on, and how long the rest takes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tagbox.cli.output import Output
from tagbox.cli.progress import LINE_INTERVAL_SECONDS, Display, format_seconds, time_left
from tagbox.parallel.engine import Progress

if TYPE_CHECKING:
    from rich.progress import TaskID

MAX_LINE_INTERVAL_SECONDS = 120.0
"""Without a terminal, lines become rarer up to this: a night's log is to be read."""


class BatchDisplay(Display):
    """Progress of a batch on standard error: bars on a terminal, a line now and then elsewhere.

    Attributes:
        done: how many are done, those of an earlier run included.
        failed: how many failed.

    Args:
        total: how many recordings there are.
        noun: what they are called, in the plural.
        output: quiet, it shows nothing.
    """

    def __init__(self, total: int, noun: str, output: Output) -> None:
        super().__init__(output)
        self.done = self.failed = 0
        self._total, self._noun = total, noun
        self._earlier = 0
        self._began: float | None = None
        self._running: dict[int, tuple[str, Progress]] = {}
        self._rows: dict[int | None, TaskID] = {}
        self._next_line = time.monotonic() + LINE_INTERVAL_SECONDS
        self._interval = LINE_INTERVAL_SECONDS

    def start(self, index: int, name: str) -> None:
        """Show that work on an item has begun."""
        if self._began is None:
            self._began = time.monotonic()
        self._running[index] = (name, Progress("", 0.0))
        self._show()

    def progress(self, index: int, progress: Progress) -> None:
        """Show how far the work on an item has come."""
        name, before = self._running[index]
        share = before.share if progress.share is None else progress.share
        self._running[index] = (name, Progress(progress.text, share))
        self._show()

    def finish(self, index: int, failed: bool = False, of_earlier_run: bool = False) -> None:
        """Show that an item is done or failed."""
        self._running.pop(index, None)
        self.failed += failed
        self.done += not failed
        if of_earlier_run:
            self._earlier += 1
            if self.done + self.failed == self._earlier:
                # Time is measured from the first that takes any.
                self._began = time.monotonic()
        self._show()

    def conclude(self) -> None:
        """Print how far the batch has come, where it took so long that somebody may wonder."""
        if self._began is not None and time.monotonic() - self._began >= LINE_INTERVAL_SECONDS:
            self._output.print_note(self.describe())

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Hide the bars in the block, in which lines are printed."""
        if self._bars is None:
            yield
            return
        self._bars.stop()
        yield
        self._bars.start()

    def describe(self) -> str:
        """Say how far the batch has come, in a line.

        >>> BatchDisplay(9, "recordings", Output()).describe()
        '0 of 9 recordings done'
        """
        failed = f", {self.failed} failed" if self.failed else ""
        return f"{self.done} of {self._total} {self._noun} done{failed}{self._describe_pace()}"

    def _describe_pace(self) -> str:
        ended = self.done + self.failed
        new = ended - self._earlier
        if self._began is None or not new:
            return ""
        seconds = max(1e-3, time.monotonic() - self._began)
        # What is half done counts as half, lest an hour-long recording make the estimate jump.
        partly = new + sum(progress.share or 0.0 for _, progress in self._running.values())
        left = time_left(seconds, partly, self._total - self._earlier)
        hourly = 3600 * new / seconds
        return f", {hourly:.{0 if hourly >= 10 else 1}f} an hour{left or f' (in {format_seconds(seconds)})'}"

    def _show(self) -> None:
        if self._output.quiet:
            return
        if self._on_terminal:
            self._show_bars()
        elif time.monotonic() >= self._next_line:
            self._interval = min(MAX_LINE_INTERVAL_SECONDS, 2 * self._interval)
            self._next_line = time.monotonic() + self._interval
            self._output.print_note(f"{self.describe()}{self._describe_running()}")

    def _describe_running(self) -> str:
        if len(self._running) != 1:
            return ""
        ((name, progress),) = self._running.values()
        return f"; {name}: {progress.text}" if progress.text else f"; {name}"

    def _show_bars(self) -> None:
        from rich.progress import BarColumn, TextColumn

        bars = self._bars
        if bars is None:
            bars = self._start_bars(
                BarColumn(20),
                TextColumn("{task.description}", markup=False),
                TextColumn("{task.fields[text]}", markup=False),
            )
            self._rows[None] = bars.add_task("", total=self._total, text="")
        bars.update(self._rows[None], completed=self.done + self.failed, text=self.describe())
        for index in [each for each in self._rows if each is not None and each not in self._running]:
            bars.remove_task(self._rows.pop(index))
        for index, (name, progress) in self._running.items():
            if index not in self._rows:
                self._rows[index] = bars.add_task(name, total=1.0, text="")
            bars.update(self._rows[index], completed=progress.share or 0.0, text=progress.text)
