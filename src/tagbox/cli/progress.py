"""Show how far work has come, and about how long the rest takes once the work itself has shown it."""

import time
from collections.abc import Callable
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tagbox.cli.output import Output

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn, TaskID

    from tagbox.generators.training.train import Progress as TrainingProgress
    from tagbox.methods.steering import Step
    from tagbox.settings import Settings

LINE_INTERVAL_SECONDS = 10.0


class Display:
    """A display of progress, whose bars are shown on a terminal until the block ends.

    Args:
        output: prints the lines that are shown elsewhere.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._bars: Progress | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.stop()

    @cached_property
    def _on_terminal(self) -> bool:
        from rich.console import Console

        return Console(stderr=True).is_terminal

    def _start_bars(self, *columns: "ProgressColumn") -> "Progress":
        from rich.console import Console
        from rich.progress import Progress

        self._bars = Progress(*columns, console=Console(stderr=True), transient=True)
        self._bars.start()
        return self._bars


class ProgressDisplay(Display):
    """Progress on standard error: a bar on a terminal, a line now and then elsewhere, nothing with --quiet.

    Args:
        name: of what is worked on; begins every line.
        output: prints the lines; quiet, it shows nothing.
    """

    def __init__(self, name: str, output: Output) -> None:
        super().__init__(output)
        self._name = name
        self._task: TaskID | None = None
        self._last_line = time.monotonic()

    def show(self, text: str, done: float = 0, total: float | None = None, at_once: bool = False) -> None:
        """Show `text` with a bar at `done` of `total`.

        Without a terminal it is a line, printed if `at_once`, or if the line before is old enough.
        """
        if self._output.quiet:
            return
        if self._on_terminal:
            self._update_bar(text, done, total)
        elif at_once or time.monotonic() - self._last_line >= LINE_INTERVAL_SECONDS:
            self._last_line = time.monotonic()
            self._output.print_note(f"{self._name}: {text}")

    def _update_bar(self, text: str, done: float, total: float | None) -> None:
        from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

        bars = self._bars
        if bars is None or self._task is None:
            # It begins with the first progress: work that is done already shows no bar.
            bars = self._start_bars(
                TextColumn("{task.description}", markup=False),
                BarColumn(20),
                TimeElapsedColumn(),
                TextColumn("{task.fields[text]}", markup=False),
            )
            self._task = bars.add_task(self._name, total=total, text=text)
        bars.update(self._task, completed=done, total=total, text=text)


class RunReporter(ProgressDisplay):
    """Progress of a separation or a transfer: steps of the loop, segments of a long recording.

    Args:
        name: of the recording.
        sources: how many are separated.
        is_long: whether the recording is cut into segments.
        forward: is called with the text and the share of the segments that is done, instead of showing them.
    """

    def __init__(
        self,
        name: str,
        output: Output,
        settings: "Settings",
        sources: int = 1,
        is_long: bool = False,
        forward: Callable[[str, float | None], None] | None = None,
    ) -> None:
        from tagbox.methods.registry import find_method

        super().__init__(name, output)
        self._forward = forward
        self._share: float | None = None
        steers_latents = find_method(settings.steer).needs_generator
        self._steps = settings.steps
        self._is_long = is_long
        self._loops_per_segment = sources if steers_latents else 1
        # Gates that are steered are steered before the first segment, for all of them.
        self._steps_in_each_segment = steers_latents or settings.steps == 1
        self._loops = 0
        self._last_step_seconds = 0.0
        self._timed_seconds = 0.0
        self._timed_steps = 0
        self._segments_began: float | None = None
        self._untimed_segments = 0
        self._segments = ""

    def __enter__(self) -> Self:
        self.show("processing", at_once=True)
        return self

    def show(self, text: str, done: float = 0, total: float | None = None, at_once: bool = False) -> None:
        """Show `text` with a bar at `done` of `total`, or forward it."""
        if self._forward is None:
            super().show(text, done, total, at_once)
        else:
            self._forward(text, self._share)

    def step(self, step: "Step") -> None:
        """Show one step; the steering loop's callback."""
        if step.index == 0:
            self._loops += 1
            if self._segments_began is None and self._steps_in_each_segment:
                self._segments_began = time.monotonic() - step.seconds
        else:
            # The first step of a loop warms up, and is not timed.
            self._timed_seconds += step.seconds - self._last_step_seconds
            self._timed_steps += 1
        self._last_step_seconds = step.seconds
        if self._steps == 1:
            return
        loops_left = -self._loops % self._loops_per_segment
        steps_left = loops_left * self._steps + self._steps - 1 - step.index
        left = time_left(self._timed_seconds, self._timed_steps, self._timed_steps + steps_left)
        if left and self._is_long:
            left += " in this segment" if self._steps_in_each_segment else " before the first segment"
        text = f"step {step.index + 1} of {self._steps}{left}, loss {step.loss:.4f}"
        text = f"{self._segments}; {text}" if self._segments else text
        self.show(text, step.index + 1, self._steps, at_once=self._loops == 1 and step.index == 0)

    def segment(self, done: int, count: int) -> None:
        """Show how many segments of a long recording are done; the callback of the stream."""
        now = time.monotonic()
        if self._segments_began is None:
            # What came before the first segment ended, such as steering, comes only once.
            self._segments_began, self._untimed_segments = now, done
        left = time_left(
            now - self._segments_began, done - self._untimed_segments, count - self._untimed_segments
        )
        self._segments = f"segment {done} of {count} done{left}"
        self._share = done / count
        self.show(self._segments, done, count, at_once=done in (1, count))


class TrainingReporter(ProgressDisplay):
    """Progress of the training of one level of a generator."""

    def __init__(self, level: int, steps: int, output: Output) -> None:
        super().__init__(f"level {level}", output)
        self._steps = steps
        self._snr: float | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if kind is KeyboardInterrupt:
            self._output.print_note("training stopped; the same command with --resume continues it")

    def step(self, progress: "TrainingProgress") -> None:
        """Show one step; the training's callback."""
        # A batch's SNR jumps with the music in it; a moving average can be read.
        self._snr = progress.snr if self._snr is None else 0.98 * self._snr + 0.02 * progress.snr
        left = time_left(progress.seconds, progress.step, self._steps)
        text = f"step {progress.step} of {self._steps}, SNR {self._snr:.1f} dB{left}"
        self.show(text, progress.step, self._steps, at_once=progress.step == self._steps)


def time_left(seconds: float, done: float, total: float) -> str:
    """Say about how long the rest takes if `done` of `total` took `seconds`; nothing before or after that.

    >>> time_left(6.0, 3, 9), time_left(0.0, 0, 9), time_left(9.0, 9, 9)
    (', about 12 s left', '', '')
    """
    return f", about {format_seconds(seconds / done * (total - done))} left" if 0 < done < total else ""


def format_seconds(seconds: float) -> str:
    """Round a time as people do.

    >>> [format_seconds(each) for each in (3.2, 44, 75, 400, 9000)]
    ['3 s', '45 s', '75 s', '7 min', '2.5 h']
    """
    if seconds < 20:
        return f"{max(1, round(seconds))} s"
    if seconds < 100:
        return f"{5 * round(seconds / 5)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
