"""``tagbox tag``: the tags that taggers predict for recordings."""

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from tagbox.cli import completion
from tagbox.cli.batch import Outcome, choose_engine, finish_batch, is_on_ray, run_batch
from tagbox.cli.checks import check_recordings
from tagbox.cli.console import is_terminal
from tagbox.cli.options import Address, Device, EngineOption, Input, Jobs, PartOption, Start
from tagbox.cli.output import Json, Output, Quiet, Verbose
from tagbox.cli.recordings import expand_addresses
from tagbox.errors import TagBoxError
from tagbox.parallel.parts import parse_part
from tagbox.parallel.storage import Place
from tagbox.settings import CHOICES
from tagbox.taggers.names import TaggerName

if TYPE_CHECKING:
    from rich.console import Console

    from tagbox.cli.tag_recording import TaggedRecording
    from tagbox.tagging import TagPredictions

DEFAULT_TAGGER = TaggerName("mtat", "pons-musicnn")
DEFAULT_COUNT = 10
DEFAULT_COUNT_OVER_TIME = 4
BAR_CHARACTERS = 24


def tag(
    files: Input,
    tagger: Annotated[
        list[str] | None,
        typer.Option(
            "--tagger",
            help="Tagger, such as fcn or mtat/fcn; repeat for several. See: tagbox models",
            autocompletion=completion.taggers,
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            "--data",
            help="Data that taggers named without it were trained on: mtat (if left out), jamendo or msd.",
            autocompletion=completion.data,
        ),
    ] = None,
    word: Annotated[
        list[str] | None,
        typer.Option(
            "--word",
            help="What a tagger that understands text listens for, beside common sounds; repeat for several.",
            show_default=False,
        ),
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Number of tags; if left out {DEFAULT_COUNT}, or {DEFAULT_COUNT_OVER_TIME} over time.",
            show_default=False,
        ),
    ] = None,
    over_time: Annotated[
        bool, typer.Option("--over-time", help="Print the tags of each of the tagger's windows.")
    ] = False,
    padding: Annotated[
        str,
        typer.Option(help="What fills up the last window: repeat (the audio) or zeros (as published)."),
    ] = "repeat",
    jobs: Jobs = None,
    engine: EngineOption = "processes",
    address: Address = None,
    part: PartOption = None,
    device: Device = "auto",
    start: Start = 0.0,
    duration: Annotated[
        float | None, typer.Option(help="Length of the excerpt in seconds; to the end if left out.")
    ] = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
    json: Json = False,
) -> None:
    """Name what can be heard in recordings, each tag with the probability that taggers predict.

    Works offline with the tagger that ships with TagBox. Several taggers get a
    column each, and one for their mean.

    Examples:

      tagbox tag song.flac

      tagbox tag song.flac --over-time

      curl -s https://example.org/song.mp3 | tagbox tag -

      tagbox tag *.mp3 --tagger fcn --tagger musicnn --data jamendo --top 5
    """
    output = Output(quiet, verbose, json)
    names = tagger_names(tagger, data)
    words = tuple(word or ())
    if words:
        from tagbox.free_text import check_words

        check_words(words, list(map(str, names)))
    if padding not in CHOICES["padding"]:
        raise TagBoxError(f"--padding cannot be {padding!r}; choose {' or '.join(CHOICES['padding'])}")
    on_ray = is_on_ray(engine, address)
    places = expand_addresses(files)
    if len(places) == 1 and not on_ray:
        check_recordings(places)

    from rich.console import Console

    from tagbox.cli.tag_recording import TaggedRecording, TagRecordings

    count = top or (DEFAULT_COUNT_OVER_TIME if over_time else DEFAULT_COUNT)
    console = Console(highlight=False, soft_wrap=not is_terminal(sys.stdout), quiet=not output.prints_text)
    chosen_part = None if part is None else parse_part(part)
    places = places if chosen_part is None else chosen_part.of(places)
    is_batch = len(places) > 1 or chosen_part is not None or on_ray
    work = TagRecordings(
        tuple(names), words, device, padding, start, duration, count, over_time, output, is_batch
    )
    tagged: dict[int, TaggedRecording | None] = {}

    position = 0

    def print_in_order(index: int, outcome: Outcome) -> None:
        """Print all that is next in the order of the command line, in which nothing may be left out."""
        nonlocal position
        tagged[index] = outcome.value
        while position in tagged:
            if (ready := tagged.pop(position)) is not None:
                _print_predictions(console, places[position], ready, count, over_time)
            position += 1

    chosen_engine = choose_engine(places, jobs, True, device, on_ray, address, output)
    given = [str(place) for place in places]
    report = run_batch(given, places, work, chosen_engine, output, print_in_order, is_batch)
    finish_batch(report, output)


def tagger_names(taggers: Sequence[str] | None, data: Sequence[str] | None) -> list[TaggerName]:
    """Complete the names of the taggers asked for, each once.

    Args:
        taggers: as data/architecture, or the architecture, which stands for one tagger of each of `data`.
        data: of taggers named without; mtat if left out.

    Raises:
        TagBoxError: there is no such vocabulary.
    """
    from tagbox.tags.resolve import check_vocabulary
    from tagbox.weights.hub import is_address

    names: list[TaggerName] = []
    for name in taggers or (DEFAULT_TAGGER.architecture,):
        is_full = "/" in name or is_address(name)
        full = [name] if is_full else [f"{each}/{name}" for each in data or (DEFAULT_TAGGER.data,)]
        names += map(TaggerName.parse, full)
    for each in names:
        if each.data:
            check_vocabulary(each.data)
    return list(dict.fromkeys(names))


def _print_predictions(
    console: "Console",
    path: Place,
    recording: "TaggedRecording",
    count: int,
    over_time: bool,
) -> None:
    from rich.markup import escape

    from tagbox.tagging import average_by_vocabulary

    channels = {1: "mono", 2: "stereo"}.get(recording.channels, f"{recording.channels} channels")
    console.print(
        f"[bold]{escape(str(path))}[/bold]  {recording.duration:.1f} s, {recording.rate} Hz, {channels}"
    )
    predictions = recording.predictions
    if over_time:
        for each in predictions:
            _print_windows(console, each, count)
    else:
        for columns in _tables(predictions, average_by_vocabulary(predictions)):
            _print_table(console, columns, count)


def _tables(
    predictions: "Sequence[TagPredictions]", means: "Sequence[TagPredictions]"
) -> "Iterator[list[TagPredictions]]":
    """Yield the columns of one table for each vocabulary; the first of them orders its rows."""
    for data in dict.fromkeys(each.data for each in predictions):
        yield [each for each in (*means, *predictions) if each.data == data]


def _print_table(console: "Console", columns: "Sequence[TagPredictions]", count: int) -> None:
    from rich.table import Table

    from tagbox.tags.resolve import short_name

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column(f"  {columns[0].data}", no_wrap=True)
    table.add_column("", no_wrap=True)
    for each in columns:
        table.add_column(each.name.split("/", 1)[1], justify="right", no_wrap=True)
    for tag_name, probability in columns[0].top(count).items():
        row = columns[0].tags.index(tag_name)
        figures = (f"{float(each.probabilities[row]):.2f}" for each in columns)
        bar = f"[cyan]{_draw_bar(console, probability)}[/cyan]"
        table.add_row("  " + short_name(tag_name), bar, *figures)
    console.print(table)
    console.print()


def _print_windows(console: "Console", predictions: "TagPredictions", count: int) -> None:
    from tagbox.tags.resolve import short_name

    console.print(f"  [dim]{predictions.name}[/dim]")
    start, end = predictions.spans[0]
    decimals = 1 if end - start >= 0.1 else 2
    for i, (start, end) in enumerate(predictions.spans):
        best = "  ".join(
            f"{short_name(tag_name)} [cyan]{probability:.2f}[/cyan]"
            for tag_name, probability in predictions.top(count, i).items()
        )
        console.print(f"  {_format_clock(start, decimals):>7} to {_format_clock(end, decimals):<7} {best}")
    console.print()


def _draw_bar(console: "Console", share: float) -> str:
    full = round(share * BAR_CHARACTERS)
    if (console.encoding or "").lower().startswith("utf"):
        return "█" * full + "░" * (BAR_CHARACTERS - full)
    return "#" * full + "." * (BAR_CHARACTERS - full)


def _format_clock(seconds: float, decimals: int) -> str:
    # Rounded first, or 59.99 s would be 0:60.0.
    minutes, rest = divmod(round(seconds, decimals), 60)
    return f"{int(minutes)}:{rest:0{3 + decimals}.{decimals}f}"
