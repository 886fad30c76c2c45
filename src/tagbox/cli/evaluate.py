"""``tagbox evaluate``."""

import dataclasses
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from tagbox.audio.validation import is_address, regular_file
from tagbox.cli import completion
from tagbox.cli.error_messages import check_folder
from tagbox.cli.options import Device
from tagbox.cli.output import Json, Output, Quiet, Verbose, error
from tagbox.errors import TagBoxError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

    from tagbox.evaluation.runner import Plan
    from tagbox.evaluation.summary import Summary

LINE_EVERY_SECONDS = 10.0
MOST_COLUMNS = 8
"""Of sources in the terminal's table; the reports have all."""
STYLES = {"control": "dim", "ceiling": "yellow", "preset": "bold"}


def evaluate(
    dataset: Annotated[Path, typer.Argument(help="Its folder.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)],
    layout: Annotated[
        str | None, typer.Option(help="slakh, musdb or stems; recognised when left out.")
    ] = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(
            help="Of TagBox, perhaps changed (paper:steps=50,lr=5); repeat for several. "
            "default when no method is named at all.",
            autocompletion=completion.presets,
        ),
    ] = None,
    baseline: Annotated[list[str] | None, typer.Option(help="hpss or repet-sim; repeat for several.")] = None,
    estimates: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=FOLDER", help="Stems that another system wrote, a folder for each track."),
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Only this folder of the data set: train, test.")
    ] = None,
    sources: Annotated[
        list[str] | None,
        typer.Option(help="Only this source; repeat for several.", autocompletion=completion.tags),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many tracks.")] = None,
    seconds: Annotated[
        float | None,
        typer.Option(help="Length of excerpts, chosen where the source plays; whole tracks when left out."),
    ] = None,
    together: Annotated[
        bool,
        typer.Option("--together/--alone", help="Ask for all sources of a track at once, or one by one."),
    ] = False,
    judge: Annotated[
        str | None,
        typer.Option(
            help="A tagger that no preset steers by (mtat/pons-vgg), or none; chosen if left out.",
            autocompletion=completion.taggers,
        ),
    ] = None,
    window_sdr: Annotated[
        bool,
        typer.Option("--window-sdr/--no-window-sdr", help="Also BSS Eval v4's median, by museval."),
    ] = False,
    players: Annotated[int, typer.Option(min=0, help="Cases to hear in the report.")] = 4,
    seed: Annotated[int, typer.Option(help="Of excerpts and random masks.")] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a run was interrupted.")] = False,
    device: Device = "auto",
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Judge separation on recordings whose sources are known, against controls that separate nothing.

    DATASET lies as Slakh2100 or MUSDB18 does, or holds folders of mixture.wav and stems.

    Writes OUT/results.jsonl case by case, then table.csv, report.md and report.html.

    Examples:

      tagbox evaluate examples -o out/examples

      tagbox evaluate slakh2100 -o out/slakh --split test --limit 20 --seconds 20 --preset default

      tagbox evaluate musdb18hq -o out/peers --split test --estimates demucs=separated/htdemucs
    """
    feel = Output(quiet, verbose, json)
    if is_address(dataset):
        regular_file(dataset)
    check_folder(out)

    from tagbox.evaluation.datasets import registry
    from tagbox.evaluation.evaluate import choose, plan, run
    from tagbox.evaluation.external_stems import parse

    peers = [parse(text) for text in estimates or []]
    twice = {peer.name for peer in peers if [p.name for p in peers].count(peer.name) > 1}
    if twice:
        raise TagBoxError(f"two estimates are called {', '.join(sorted(twice))}; give each its own name")
    methods = choose(preset or (), baseline or (), {peer.name: peer.folder for peer in peers}, device)
    found = registry.find(dataset, layout, split or (), sources or (), limit)
    for line in found.skipped:
        feel.note(f"skipped: {line}")
    made = plan(found, methods, sources or (), seconds, together, judge, window_sdr, players, seed, device)
    for method in methods:
        feel.detail(f"{method.name}: {method.describe()}")
    _estimate(feel, made, jobs, device)
    reporter = _Reporter(out, feel)
    try:
        with reporter:
            summary = run(made, out, jobs, resume, reporter.records)
    except KeyboardInterrupt:
        if not (out / "run.json").exists():
            raise
        error(
            f"stopped; {reporter.done} of {reporter.total or '?'} cases are in {out}, "
            "and the same command with --resume goes on"
        )
        raise typer.Exit(130) from None
    written = [out / name for name in ("table.csv", "report.md", "report.html")]
    if feel.prints:
        _show(summary)
    for path in written:
        feel.result(path)
    feel.document(lambda: {"written": [str(path) for path in written], **dataclasses.asdict(summary)})


def _estimate(feel: Output, made: "Plan", jobs: int, device: str) -> None:
    """What TagBox's own presets are about to take; controls and measures are a small part of it."""
    from tagbox.cli import cost_estimate
    from tagbox.evaluation.systems import Separator

    if not cost_estimate.on_cpu(device):
        return
    own = [method.settings for method in made.methods if isinstance(method, Separator)]
    cores = max(1, (os.cpu_count() or 1) // jobs) if jobs > 1 else None
    parts = [
        cost_estimate.expect(settings, seconds, 2, sources, cores)
        for settings in own
        for seconds, sources in _cases(made)
    ]
    if parts:
        less = "take fewer --jobs" if jobs > 1 else "take excerpts, for example --seconds 10"
        cost_estimate.say(feel, cost_estimate.together(parts, jobs), less)


def _cases(made: "Plan") -> "list[tuple[float, int]]":
    """Seconds and sources of each case."""
    cases = []
    for track in made.dataset.tracks:
        seconds = min(track.seconds, made.seconds or track.seconds)
        cases += [(seconds, len(track.sources))] if made.together else [(seconds, 1)] * len(track.sources)
    return cases


class _Reporter:
    """A bar on a terminal, a line now and then elsewhere."""

    def __init__(self, folder: Path, feel: Output) -> None:
        self._feel = feel
        self.done = 0
        self.total = 0
        self._folder = folder
        self._said = 0.0
        self._progress: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        console = Console(stderr=True)
        if console.is_terminal and not self._feel.quiet:
            case = TextColumn("{task.fields[case]}")
            count = TextColumn("{task.completed}/{task.total}")
            columns = (BarColumn(20), count, TimeElapsedColumn(), TimeRemainingColumn(), case)
            self._progress = Progress(*columns, console=console, transient=True)
            self._progress.start()
            self._task = self._progress.add_task("", total=None, case="reading")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.stop()

    def records(self, done: int, total: int, records: Sequence[Mapping[str, Any]]) -> None:
        """Show one case; the run's callback."""
        self.done, self.total = done, total
        case = " ".join(str(records[0][name]) for name in ("track", "source", "method")) if records else ""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, total=total, case=case)
            return
        now = time.monotonic()
        if now - self._said >= LINE_EVERY_SECONDS or done == total:
            self._said = now
            self._feel.note(f"{done} of {total} cases: {case}")


def _show(summary: "Summary") -> None:
    """The table and the verdicts on all sources, for a terminal of a hundred columns."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        # Whoever reads it from a file or a pipe has no window that it must fit in.
        console = Console(highlight=False, width=160)
    console.print(_improvements(summary))
    console.print(_whole(summary))
    _say(console, summary)


def _improvements(summary: "Summary") -> Any:
    from rich.table import Table

    from tagbox.evaluation.reports.content import decibel

    sources = [source for source in summary.sources if source != "all"] or list(summary.sources)
    shown = sources[:MOST_COLUMNS]
    more = f" ({len(sources) - len(shown)} more sources in the reports)" if len(sources) > len(shown) else ""
    table = Table(title=f"SI-SDR improvement, dB{more}", title_justify="left")
    table.add_column("method")
    for source in shown:
        table.add_column(source, justify="right")
    for method in summary.methods:
        rows = [summary.row(source, method) for source in shown]
        cells = [decibel(row.si_sdri.mean) if row and row.si_sdri else "-" for row in rows]
        kinds = [row.kind for row in rows if row]
        table.add_row(_name(method), *cells, style=STYLES.get(kinds[0], "") if kinds else "")
    return table


def _whole(summary: "Summary") -> Any:
    from rich.table import Table

    from tagbox.evaluation.reports.content import decibel, seconds_text, with_interval

    source = summary.sources[-1]
    title = "All sources" if source == "all" else source
    table = Table(title=f"{title}: improvement in dB with its 95 % interval", title_justify="left")
    rows = [row for method in summary.methods if (row := summary.row(source, method)) is not None]
    windows = any(row.window_sdri is not None for row in rows)
    table.add_column("method")
    for name in ("cases", "SI-SDR", "residual", "SDR", *["windows"] * windows, "heard", "s a case"):
        table.add_column(name, justify="right")
    for row in rows:
        cases = f"{row.measured}" + (f" of {row.measured + row.missing}" if row.missing else "")
        heard = (
            f"{row.heard_before:.2f} > {row.heard_after:.2f}"
            if row.heard_before is not None and row.heard_after is not None
            else "-"
        )
        table.add_row(
            _name(row.method),
            cases,
            with_interval(row.si_sdri) or "-",
            decibel(row.residual) or "-",
            decibel(row.sdri.mean if row.sdri else None) or "-",
            *[decibel(row.window_sdri) or "-"] * windows,
            heard,
            seconds_text(row.took) or "-",
            style=STYLES.get(row.kind, ""),
        )
    return table


def _say(console: "Console", summary: "Summary") -> None:
    from rich.markup import escape

    last = summary.sources[-1]
    for verdict in summary.verdicts:
        if verdict.source == last:
            console.print(escape(verdict.words), style="green" if verdict.separates else "", soft_wrap=True)
    by_method: dict[str, list[str]] = {}
    for verdict in summary.verdicts:
        if verdict.source != "all" and verdict.separates:
            by_method.setdefault(verdict.method, []).append(verdict.source)
    for method, won in by_method.items():
        console.print(f"{escape(method)} beats every control on: {', '.join(won)}.", soft_wrap=True)
    if summary.not_measured:
        count = len(summary.not_measured)
        console.print(f"Not measured: {count} line{'s' * (count != 1)} in the reports.", soft_wrap=True)


def _name(method: str) -> str:
    from rich.markup import escape

    return escape(method if len(method) <= 24 else f"{method[:23]}…")
