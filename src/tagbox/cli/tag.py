"""``tagbox tag``: what taggers hear in recordings."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tagbox.cli import completion
from tagbox.cli.error_messages import check_files
from tagbox.cli.options import Device, Taggers
from tagbox.cli.output import Json, Output, Quiet, Verbose, error
from tagbox.errors import TagBoxError
from tagbox.models import load_tagger

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from tagbox.tagging import TagPredictions


EMBEDDED = "pons-musicnn"
BAR = 24  # characters
LINE_EVERY_SECONDS = 10.0


def tag(
    files: Annotated[
        list[Path], typer.Argument(help="Recordings: wav, flac, ogg, mp3 or aiff.", show_default=False)
    ],
    tagger: Taggers = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="What taggers named without data learnt: mtat, jamendo, msd. mtat if left out.",
            autocompletion=completion.data,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(min=1, help="How many tags; if left out 10, over time 4.", show_default=False),
    ] = None,
    over_time: Annotated[
        bool, typer.Option("--over-time", help="The tags of each window of a tagger.")
    ] = False,
    padding: Annotated[
        str,
        typer.Option(help="Fill a window with the recording again (repeat) or with zeros (as published)."),
    ] = "repeat",
    device: Device = "auto",
    start: Annotated[float, typer.Option(help="Begin at this second of the recording.")] = 0.0,
    duration: Annotated[
        float | None, typer.Option(help="Listen for so many seconds; to the end when left out.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Name what is heard in recordings, with the probability that taggers give it.

    Works offline with the tagger that ships inside. Several taggers give a column each, and their mean.

    Examples:

      tagbox tag song.flac

      tagbox tag song.flac --over-time

      tagbox tag *.mp3 --tagger fcn --tagger musicnn --data jamendo --top 5
    """
    feel = Output(quiet, verbose, json)
    words = names(tagger, data)
    if len(files) == 1:
        check_files(files)

    from rich.console import Console

    from tagbox import audio
    from tagbox.kernels import devices
    from tagbox.tagging import average_by_vocabulary, predict_windows

    if padding not in ("repeat", "zeros"):
        raise TagBoxError(f"nothing is called padding {padding!r}; choose repeat or zeros")
    where = str(devices.select_device(device))
    taggers = [load_tagger(name, learnt, where) for learnt, name in words]
    for tagger_ in taggers:
        known = f"{tagger_.data}/{tagger_.name}, weights {tagger_.weights_hash[:12]}"
        feel.detail(f"loaded {known}, on {where}")
    count = top or (4 if over_time else 10)
    console = Console(highlight=False, soft_wrap=not sys.stdout.isatty(), quiet=not feel.prints)
    wrong: list[str] = []
    results: list[dict[str, Any]] = []
    for path in files:
        try:
            begin = time.monotonic()
            recording = audio.read(path, start, duration)
            with _progress(path.name, feel) as on_progress:
                try:
                    heard = predict_windows(recording.samples, recording.rate, taggers, padding, on_progress)
                except TagBoxError as refused:
                    raise TagBoxError(f"{path} {refused}") from refused
        except TagBoxError as refused:
            wrong.append(str(refused))
            results.append({"file": str(path), "error": str(refused)})
            continue
        feel.detail(f"{path}: {time.monotonic() - begin:.1f} s")
        if json:
            about = {"file": str(path), "rate": recording.rate, "channels": recording.channels}
            results.append({**about, "duration": recording.duration, **_as_data(heard, count, over_time)})
            continue
        described = f"{recording.duration:.1f} s, {recording.rate} Hz, {_channels(recording.channels)}"
        console.print(f"[bold]{_escaped(str(path))}[/bold]  {described}")
        if over_time:
            for one in heard:
                _print_windows(console, one, count)
        else:
            for columns in _columns(heard, average_by_vocabulary(heard)):
                _print_table(console, columns, count)
    feel.document(lambda: results)
    for line in wrong:
        error(line)
    if wrong:
        raise typer.Exit(2)


def names(taggers: Sequence[str] | None, data: Sequence[str] | None) -> list[tuple[str, str]]:
    """(data, architecture) of each tagger asked for, once: "fcn" in all of `data`, "msd/fcn" as it says."""
    from tagbox.tags.resolve import check_vocabulary

    found = []
    for name in taggers or (EMBEDDED,):
        learnt, slash, architecture = name.rpartition("/")
        for one in (learnt,) if slash else data or ("mtat",):
            check_vocabulary(one)
            found.append((one, architecture))
    return list(dict.fromkeys(found))


def _columns(
    heard: "list[TagPredictions]", means: "list[TagPredictions]"
) -> "Iterator[list[TagPredictions]]":
    """Of each vocabulary what goes into one table, what its rows are ordered by first."""
    for data in dict.fromkeys(one.data for one in heard):
        yield [one for one in (*means, *heard) if one.data == data]


def _print_table(console: "Console", columns: "list[TagPredictions]", count: int) -> None:
    from rich.table import Table

    from tagbox.tags.resolve import short

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"  {columns[0].data}", no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in columns:
        table.add_column(one.name.split("/", 1)[1], justify="right", no_wrap=True)
    for name, probability in columns[0].top(count).items():
        row = columns[0].tags.index(name)
        figures = (f"{float(one.probabilities[row]):.2f}" for one in columns)
        table.add_row("  " + short(name), f"[cyan]{_bar(console, probability)}[/cyan]", *figures)
    console.print(table)
    console.print()


def _print_windows(console: "Console", heard: "TagPredictions", count: int) -> None:
    from tagbox.tags.resolve import short

    console.print(f"  [dim]{heard.name}[/dim]")
    for i, (begin, end) in enumerate(heard.spans):
        best = "  ".join(f"{short(name)} [cyan]{p:.2f}[/cyan]" for name, p in heard.top(count, i).items())
        console.print(f"  {_clock(begin):>7} to {_clock(end):<7} {best}")
    console.print()


def _as_data(heard: "list[TagPredictions]", count: int, over_time: bool) -> dict[str, Any]:
    from tagbox.tagging import average_by_vocabulary

    listeners = []
    for one in heard:
        entry: dict[str, Any] = {"tagger": one.name, "tags": _rounded(one.top(count))}
        if over_time:
            entry["windows"] = [
                {"start": round(begin, 3), "end": round(end, 3), "tags": _rounded(one.top(count, i))}
                for i, (begin, end) in enumerate(one.spans)
            ]
        listeners.append(entry)
    return {
        "taggers": listeners,
        "mean": {one.data: _rounded(one.top(count)) for one in average_by_vocabulary(heard)},
    }


def _rounded(tags: dict[str, float]) -> dict[str, float]:
    return {name: round(probability, 6) for name, probability in tags.items()}


def _bar(console: "Console", probability: float) -> str:
    full = round(probability * BAR)
    if (console.encoding or "").lower().startswith("utf"):
        return "█" * full + "░" * (BAR - full)
    return "#" * full + "." * (BAR - full)


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60)}:{seconds % 60:04.1f}"


def _channels(count: int) -> str:
    return {1: "mono", 2: "stereo"}.get(count, f"{count} channels")


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


@contextmanager
def _progress(name: str, feel: Output) -> "Iterator[Callable[[float], None]]":
    """Something that is told the share done: a line in place on a terminal, one now and then elsewhere."""
    from rich.console import Console

    console = Console(stderr=True, quiet=feel.quiet)
    if console.is_terminal:
        with console.status(f"{_escaped(name)}: listening") as status:
            yield lambda share: status.update(f"{_escaped(name)}: heard {share:.0%}")
        return
    said = time.monotonic()

    def line(share: float) -> None:
        nonlocal said
        if share < 1 and time.monotonic() - said > LINE_EVERY_SECONDS:
            said = time.monotonic()
            feel.note(f"{name}: heard {share:.0%}")

    yield line
