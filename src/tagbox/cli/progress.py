"""Progress of the loop, for people: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from tagbox.cli.cost_estimate import peak_memory, spoken_bytes, spoken_seconds
from tagbox.cli.output import Output, error

if TYPE_CHECKING:
    from tagbox.generators.training.train import Progress as TrainingProgress
    from tagbox.methods.steering import Step

LINE_EVERY_SECONDS = 10.0


class _Live:
    """A bar that is there on a terminal alone, with the columns that its owner wants."""

    def __init__(self, *columns: ProgressColumn, feel: Output) -> None:
        self._feel = feel
        self._console = Console(stderr=True, quiet=feel.quiet)
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._task: TaskID | None = None
        self._said = 0.0

    def _begin(self, total: int | None, **fields: Any) -> bool:
        """Show the bar; false where there is no terminal to show it on, or nobody wants one."""
        shows = self._console.is_terminal and not self._feel.quiet
        if shows:
            self._progress.start()
            self._task = self._progress.add_task("", total=total, **fields)
        return shows

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._progress.stop()


class StepReporter(_Live):
    """Shows steps while the loop runs, and how long it will go on at the speed of those that were."""

    def __init__(self, name: str, feel: Output, steps: int) -> None:
        shown = TextColumn("{task.fields[shown]}")
        super().__init__(TextColumn(escape(name)), BarColumn(), shown, TimeElapsedColumn(), feel=feel)
        self._name = name
        self._steps = steps
        self._first = 0.0
        self._begun = time.monotonic()
        self._segment_said = 0.0

    def __enter__(self) -> Self:
        if not self._begin(None, shown="loading models"):
            self._feel.note(f"{self._name}: loading models")
        return self

    def step(self, step: "Step") -> None:
        """Show one step; the loop's callback."""
        if step.index == 0:
            self._first = step.seconds
        left = remaining(step.seconds - self._first, step.index, self._steps - 1)
        if self._task is not None:
            told = f"step {step.index + 1} of {self._steps}, loss {step.loss:.4f}{left}"
            self._progress.update(self._task, total=self._steps, completed=step.index + 1, shown=told)
        elif step.index == 0 or step.seconds - self._said >= LINE_EVERY_SECONDS:
            self._said = step.seconds
            self._feel.note(f"{self._name}: step {step.index + 1}, loss {step.loss:.4f}{left}")

    def segment(self, done: int, count: int) -> None:
        """Show how far a long recording has come; the stream's callback."""
        self._said = 0.0
        now = time.monotonic()
        if done == 1:
            # What came before the first segment (survey, steering) comes only once.
            self._begun = now
        told = f"segment {done} of {count}{remaining(now - self._begun, done - 1, count - 1)}"
        if self._task is not None:
            self._progress.update(self._task, total=count, completed=done, shown=told)
        elif done in (1, count) or now - self._segment_said >= LINE_EVERY_SECONDS:
            self._segment_said = now
            self._feel.note(f"{self._name}: {told}")


def remaining(seconds: float, done: int, count: int) -> str:
    """How long the rest takes where `done` of `count` took `seconds`; nothing before the first or at the end.

    >>> remaining(6.0, 3, 9), remaining(0.0, 0, 9)
    (', about 12 s left', '')
    """
    return f", about {spoken_seconds(seconds / done * (count - done))} left" if 0 < done < count else ""


def report(feel: Output, manifest: Mapping[str, Any], written: Sequence[Path]) -> None:
    """Where the files are, and what the taggers hear before and after."""
    for run in manifest["runs"]:
        _say_why_it_stopped(feel, run)
    for word, meant in manifest["tags"].items():
        for tagger, tags in meant.items():
            before, after = (
                _strongest(manifest["probabilities"][signal][tagger], tags)
                for signal in ("mixture", word if word in manifest["probabilities"] else "result")
            )
            line = f"{tagger} hears {word}: {before:.2f} in the recording, {after:.2f} in the result"
            residual = manifest["probabilities"].get("residual")
            if residual is not None:
                line += f", {_strongest(residual[tagger], tags):.2f} in the residual"
            feel.result(line)
    for path in written:
        feel.result(path)
    if manifest.get("generator", {}).get("licence", "").lower().find("noncommercial") >= 0:
        feel.note("made with weights under a noncommercial licence, which covers this result too")
    for tagger in (*manifest["taggers"], *filter(None, [manifest.get("generator")])):
        feel.detail(f"loaded {tagger['name']}, weights {tagger['weights'][:12]}, on {manifest['device']}")
    took = ", ".join(f"{name} {value:.1f}" for name, value in manifest["seconds"].items())
    feel.detail(f"seconds: {took}; memory at the most: {spoken_bytes(peak_memory())}")
    sys.stdout.flush()


def _strongest(probabilities: Mapping[str, float], tags: Sequence[str]) -> float:
    return max(probabilities[tag] for tag in tags)


def _say_why_it_stopped(feel: Output, run: Mapping[str, Any]) -> None:
    words = {
        "interrupted": "stopped by Ctrl-C; the best so far is written",
        "request": "stopped on request; the best so far is written",
        "patience": "nothing improved any more",
        "non-finite": "the loss or its gradient is no longer a finite number; the last finite result is "
        "written. Try a smaller --lr",
    }
    if run["stopped"] in words:
        line = f"{', '.join(run['sources'])}: step {run['steps']}: {words[run['stopped']]}"
        if run["stopped"] == "non-finite":
            error(line)
        else:
            feel.note(line)


class TrainingReporter(_Live):
    """Shows the training of one level: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, level: int, steps: int, feel: Output) -> None:
        super().__init__(
            TextColumn(f"level {level}"),
            BarColumn(),
            TextColumn("step {task.completed} of {task.total}, SNR {task.fields[snr]} dB"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            feel=feel,
        )
        self._level = level
        self._steps = steps
        self._snr: float | None = None

    def __enter__(self) -> Self:
        self._begin(self._steps, snr="?")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if kind is KeyboardInterrupt:
            self._feel.note("training stopped; the same command with --resume goes on")

    def step(self, progress: "TrainingProgress") -> None:
        """Show one step; the training's callback."""
        # A batch's SNR jumps with the music in it; a moving average can be read.
        self._snr = progress.snr if self._snr is None else 0.98 * self._snr + 0.02 * progress.snr
        if self._task is not None:
            self._progress.update(self._task, completed=progress.step, snr=f"{self._snr:.1f}")
        elif progress.seconds - self._said >= LINE_EVERY_SECONDS or progress.step == self._steps:
            self._said = progress.seconds
            left = remaining(progress.seconds, progress.step, self._steps)
            self._feel.note(
                f"level {self._level}: step {progress.step} of {self._steps}, SNR {self._snr:.1f} dB{left}"
            )
