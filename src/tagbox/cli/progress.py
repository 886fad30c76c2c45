"""Progress of the loop, for people: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import typer
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

if TYPE_CHECKING:
    from tagbox.generator.training.loop import Progress as TrainingProgress
    from tagbox.loop import Step

LINE_EVERY_SECONDS = 10.0


class _Live:
    """A bar that is there on a terminal alone, with the columns that its owner wants."""

    def __init__(self, *columns: ProgressColumn) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._task: TaskID | None = None
        self._said = 0.0

    def _begin(self, total: int | None, **fields: Any) -> bool:
        """Show the bar; false where there is no terminal to show it on."""
        if self._console.is_terminal:
            self._progress.start()
            self._task = self._progress.add_task("", total=total, **fields)
        return self._console.is_terminal

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._progress.stop()


class StepReporter(_Live):
    """Shows steps while the loop runs, and what came of them at the end."""

    def __init__(self, name: str) -> None:
        shown = TextColumn("{task.fields[shown]}")
        super().__init__(TextColumn(escape(name)), BarColumn(), shown, TimeElapsedColumn())
        self._name = name
        self._segment_said = 0.0

    def __enter__(self) -> Self:
        if not self._begin(None, shown="loading models"):
            typer.echo(f"{self._name}: loading models", err=True)
        return self

    def step(self, step: "Step") -> None:
        """Show one step; the loop's callback."""
        if self._task is not None:
            self._progress.update(self._task, shown=f"step {step.index + 1} loss {step.loss:.4f}")
        elif step.index == 0 or step.seconds - self._said >= LINE_EVERY_SECONDS:
            self._said = step.seconds
            typer.echo(f"{self._name}: step {step.index + 1}, loss {step.loss:.4f}", err=True)

    def segment(self, done: int, count: int) -> None:
        """Show how far a long recording has come; the stream's callback."""
        self._said = 0.0
        now = time.monotonic()
        if self._task is not None:
            shown = f"segment {done} of {count}"
            self._progress.update(self._task, total=count, completed=done, shown=shown)
        elif done in (1, count) or now - self._segment_said >= LINE_EVERY_SECONDS:
            self._segment_said = now
            typer.echo(f"{self._name}: segment {done} of {count}", err=True)

    def report(self, manifest: Mapping[str, Any], written: Sequence[Path]) -> None:
        """Where the files are, and what the taggers hear before and after."""
        for run in manifest["runs"]:
            _say_why_it_stopped(run)
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
                typer.echo(line)
        for path in written:
            typer.echo(path)
        if manifest.get("generator", {}).get("licence", "").lower().find("noncommercial") >= 0:
            typer.echo(
                "made with weights under a noncommercial licence, which covers this result too", err=True
            )
        sys.stdout.flush()


def _strongest(probabilities: Mapping[str, float], tags: Sequence[str]) -> float:
    return max(probabilities[tag] for tag in tags)


def _say_why_it_stopped(run: Mapping[str, Any]) -> None:
    words = {
        "interrupted": "stopped by Ctrl-C; the best so far is written",
        "request": "stopped on request; the best so far is written",
        "patience": "nothing improved any more",
        "non-finite": "the loss or its gradient is no longer a finite number; the last finite result is "
        "written. Try a smaller --lr",
    }
    if run["stopped"] in words:
        typer.echo(f"{', '.join(run['sources'])}: step {run['steps']}: {words[run['stopped']]}", err=True)


class TrainingReporter(_Live):
    """Shows the training of one level: a bar on a terminal, a line now and then elsewhere."""

    def __init__(self, level: int, steps: int) -> None:
        super().__init__(
            TextColumn(f"level {level}"),
            BarColumn(),
            TextColumn("step {task.completed} of {task.total}, SNR {task.fields[snr]} dB"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
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
            typer.echo("training stopped; the same command with --resume goes on", err=True)

    def step(self, progress: "TrainingProgress") -> None:
        """Show one step; the training's callback."""
        # A batch's SNR jumps with the music in it; a moving average can be read.
        self._snr = progress.snr if self._snr is None else 0.98 * self._snr + 0.02 * progress.snr
        if self._task is not None:
            self._progress.update(self._task, completed=progress.step, snr=f"{self._snr:.1f}")
        elif progress.seconds - self._said >= LINE_EVERY_SECONDS or progress.step == self._steps:
            self._said = progress.seconds
            typer.echo(
                f"level {self._level}: step {progress.step} of {self._steps}, SNR {self._snr:.1f} dB",
                err=True,
            )
