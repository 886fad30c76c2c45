"""``tagbox reproduce``."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tagbox.cli import completion
from tagbox.cli.checks import check_folder
from tagbox.cli.console import is_terminal, print_line
from tagbox.cli.options import Device
from tagbox.cli.output import Output, Quiet
from tagbox.errors import OutputExistsError

if TYPE_CHECKING:
    from tagbox.evaluation.reproduction.report import TableText
    from tagbox.evaluation.reproduction.run import Reproduction

WIDTH_WITHOUT_TERMINAL = 120
"""Characters."""


def reproduce(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)],
    slakh: Annotated[
        Path | None, typer.Option(help="Slakh2100, or a folder that `tagbox dataset` wrote.")
    ] = None,
    musdb: Annotated[Path | None, typer.Option(help="MUSDB18 or MUSDB18-HQ.")] = None,
    generator: Annotated[
        str,
        typer.Option(
            help="Generator: jukebox (the paper's), embedded or a file.", autocompletion=completion.generators
        ),
    ] = "jukebox",
    limit: Annotated[int | None, typer.Option(help="Maximum number of tracks of each data set.")] = None,
    seconds: Annotated[
        float, typer.Option(help="Length of each excerpt in seconds; 0 takes whole tracks.")
    ] = 20.0,
    steps: Annotated[
        int | None, typer.Option(help="Steps of the steering loop; if left out, the paper's 100.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    jobs: Annotated[int, typer.Option(help="Number of processes.")] = 1,
    device: Device = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue with the results in the folder.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Print the paper's Table 1 and Table 2 with our results beside the published ones.

    Evaluates the presets paper and published-code with the paper's four
    taggers, HPSS, REPET-SIM and the controls on the data sets given, and says
    for every other cell why it was not run. Writes reproduction.md and
    reproduction.csv; more data or weights can be added later with --resume.

    Examples:

      tagbox reproduce -o tables --slakh slakh2100 --musdb musdb18

      tagbox reproduce -o tables --slakh data/small --generator embedded --limit 2 --seconds 8 --steps 30
    """
    output = Output(quiet)
    check_folder(out)

    from tagbox.evaluation.reproduction import report
    from tagbox.evaluation.reproduction.run import ReproductionOptions
    from tagbox.evaluation.reproduction.run import reproduce as run

    if any((out / name).exists() for name in ("slakh", "musdb", report.CSV_FILE)) and not resume:
        raise OutputExistsError(
            f"{out} holds results already; continue with --resume, or give another folder with -o"
        )
    options = ReproductionOptions(
        folders={name: path for name, path in (("MUSDB18", musdb), ("Slakh2100", slakh)) if path is not None},
        generator=generator,
        steps=steps,
        limit=limit,
        seconds=seconds or None,
        seed=seed,
        device=device,
        jobs=jobs,
    )
    reproduction = run(
        options, out, lambda what, done, total: output.print_note(f"{what}: {done} of {total} cases")
    )
    if output.prints_text:
        _print_tables(reproduction)
    for path in report.write_report(reproduction, out):
        output.print_result(path)


def _print_tables(reproduction: "Reproduction") -> None:
    from tagbox.evaluation.reproduction import report
    from tagbox.evaluation.summary import ALL_SOURCES

    for table in report.table_texts(reproduction):
        _print_table(table)
    print_line(f"Improvement over the mixture in dB; ours as {report.MEASURES}.")
    print_line(report.describe_runs(reproduction))
    for line in report.differences_from_paper(reproduction):
        print_line(line)
    for each in reproduction.verdicts:
        if each.verdict.source == ALL_SOURCES:
            print_line(each.sentence)


def _print_table(table: "TableText") -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from tagbox.evaluation.reproduction.report import EMPTY_CELL, HEADER

    print_line(f"{table.title} (data: {table.data})")
    shown = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for name in HEADER:
        shown.add_column(name, justify="left" if name in ("source", "system") else "right")
    for row in table.rows:
        # A cell that is empty in the paper, and here, would only be in the way.
        if any(text != EMPTY_CELL for text in row[2:]):
            shown.add_row(*(escape(text) for text in row))
    Console(width=None if is_terminal(sys.stdout) else WIDTH_WITHOUT_TERMINAL).print(shown)
    for number, note in enumerate(table.notes, 1):
        print_line(f"[{number}] {note}")
    print_line()
