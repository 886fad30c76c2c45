"""``tagbox reproduce``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tagbox.cli import completion
from tagbox.cli.error_messages import check_folder
from tagbox.cli.options import Device
from tagbox.cli.output import Output, Quiet
from tagbox.errors import TagBoxError


def reproduce(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.", show_default=False)],
    slakh: Annotated[
        Path | None, typer.Option(help="Slakh2100, or a folder that `tagbox dataset` made.")
    ] = None,
    musdb: Annotated[Path | None, typer.Option(help="MUSDB18 or MUSDB18-HQ.")] = None,
    generator: Annotated[
        str,
        typer.Option(help="jukebox (the paper's), embedded or a file.", autocompletion=completion.generators),
    ] = "jukebox",
    limit: Annotated[int | None, typer.Option(help="At most so many tracks of each data set.")] = None,
    seconds: Annotated[float, typer.Option(help="Of each excerpt; 0 takes whole tracks.")] = 20.0,
    steps: Annotated[int | None, typer.Option(help="Of the loop; the paper's 100 when left out.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    jobs: Annotated[int, typer.Option(help="Processes.")] = 1,
    device: Device = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with what is in the folder.")] = False,
    quiet: Quiet = False,
) -> None:
    """Lay out the paper's Table 1 and Table 2 with our figures beside the published ones.

    Runs the presets paper and published-code with the paper's four taggers, HPSS, REPET-SIM and the controls
    on whatever data are given, and says of every other cell why it was not run. Writes reproduction.md and
    reproduction.csv; more data or weights can be added later with --resume.

    Examples:

      tagbox reproduce -o tables --slakh slakh2100 --musdb musdb18

      tagbox reproduce -o tables --slakh data/small --generator embedded --limit 2 --seconds 8 --steps 30
    """
    feel = Output(quiet)
    check_folder(out)

    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from tagbox.evaluation.reproduction import report, run
    from tagbox.evaluation.summary import ALL

    if any((out / name).exists() for name in ("slakh", "musdb", report.CSV)) and not resume:
        raise TagBoxError(f"{out} holds results already; go on with --resume, or give another folder with -o")
    folders = {name: path for name, path in (("MUSDB18", musdb), ("Slakh2100", slakh)) if path is not None}
    request = run.Request(
        folders=folders,
        generator=generator,
        steps=steps,
        limit=limit,
        seconds=seconds or None,
        seed=seed,
        device=device,
        jobs=jobs,
    )

    def tell(what: str, done: int, total: int) -> None:
        feel.note(f"{what}: {done} of {total} cases")

    found = run.reproduce(request, out, tell)
    console = Console(width=None if sys.stdout.isatty() else 120, quiet=quiet)
    for written in report.tables(found):
        feel.result(f"{written.title} (data: {written.data})")
        shown = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
        for name in report.HEADER:
            shown.add_column(name, justify="left" if name in ("source", "system") else "right")
        for row in written.rows:
            # A cell that is empty in the paper, and here, would only be in the way.
            if any(text != report.NOTHING for text in row[2:]):
                shown.add_row(*(escape(text) for text in row))
        console.print(shown)
        for number, why in enumerate(written.notes, 1):
            feel.result(f"[{number}] {why}")
        feel.result("")
    feel.result(f"Improvement over the mixture in dB; ours as {report.RATIOS}.")
    feel.result(report.settings(found))
    together = [told.words for told in found.verdicts if told.verdict.source == ALL]
    for line in (*report.differences(found), *together):
        feel.result(line)
    for path in report.write(found, out):
        feel.result(path)
