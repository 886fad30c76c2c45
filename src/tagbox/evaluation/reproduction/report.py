"""Write the reproduced tables as Markdown and CSV, and as rows for the terminal."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from tagbox.atomic_files import write_atomically
from tagbox.evaluation.bootstrap import CONFIDENCE, Interval
from tagbox.evaluation.reports.markdown import render_table
from tagbox.evaluation.reproduction.published_tables import CITATION, PUBLISHED_STEPS, TABLES
from tagbox.evaluation.reproduction.run import (
    PRESETS,
    RUNS,
    WITHOUT_PRESET,
    Cell,
    CellResult,
    Reproduction,
)

MARKDOWN_FILE, CSV_FILE = "reproduction.md", "reproduction.csv"
EMPTY_CELL = "–"
HEADER = ("source", "system", "published", *(f"ours, {run}" for run in RUNS), "cases")
MEASURES = "SDR / SI-SDR"


@dataclass(frozen=True)
class TableText:
    """A reproduced table as text.

    Attributes:
        title: number and data set.
        data: what was run on.
        rows: of cells, below `HEADER`.
        notes: the reasons that numbers in brackets in `rows` refer to, from 1.
    """

    title: str
    data: str
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def table_texts(reproduction: Reproduction) -> list[TableText]:
    """Format Table 1 and Table 2; a reason that several cells share is one note."""
    texts = []
    for table in TABLES:
        notes: dict[str, int] = {}
        rows = tuple(_format_row(cell, notes) for cell in reproduction.cells if cell.table == table.number)
        title = f"Table {table.number}: {table.dataset}"
        texts.append(TableText(title, reproduction.data[table.dataset], rows, tuple(notes)))
    return texts


def _format_row(cell: Cell, notes: dict[str, int]) -> tuple[str, ...]:
    """Format a row; reasons that are not in `notes` yet are added to them with the next number."""
    published = EMPTY_CELL if cell.published is None else f"{cell.published:.1f}"
    cases = [result.sdri.cases for result in cell.results.values() if result.sdri is not None]
    results = (
        _format_result(cell.results[run], notes) if run in cell.results else EMPTY_CELL for run in RUNS
    )
    return (cell.source, cell.system.name, published, *results, str(max(cases)) if cases else EMPTY_CELL)


def _format_result(result: CellResult, notes: dict[str, int]) -> str:
    if result.sdri is None or result.si_sdri is None:
        return f"not run [{notes.setdefault(result.why, len(notes) + 1)}]"
    text = f"{result.sdri.mean:+.1f} / {result.si_sdri.mean:+.1f}"
    if result.missing:
        note = f"cases without an estimate: {result.missing}; they are in no mean"
        text += f" [{notes.setdefault(note, len(notes) + 1)}]"
    return text


def differences_from_paper(reproduction: Reproduction) -> list[str]:
    """List in what our runs differ from the paper's, as far as the options tell."""
    options = reproduction.options
    differences = []
    if options.generator != "jukebox":
        differences.append(f"the generator is {Path(options.generator).name}, the paper's is Jukebox")
    if options.steps not in (None, PUBLISHED_STEPS):
        differences.append(f"steps of the loop: {options.steps}, the paper's {PUBLISHED_STEPS}")
    if options.limit is not None:
        differences.append(f"of each data set the first tracks alone, at most {options.limit}")
    if options.seconds is not None:
        differences.append(
            f"excerpts of {options.seconds:g} s where the source plays; the paper does not say which"
        )
    return differences


def describe_runs(reproduction: Reproduction) -> str:
    """Describe our runs in two sentences."""
    options = reproduction.options
    steps = "the preset's steps" if options.steps is None else f"steps: {options.steps}"
    return (
        f"Ours are the presets {' and '.join(PRESETS)} with the generator {Path(options.generator).name}, "
        f"{steps}, seed {options.seed}. '{WITHOUT_PRESET}' is a system without presets."
    )


def render_markdown(reproduction: Reproduction) -> str:
    """Render both tables with their notes, the differences from the paper, and the verdicts."""
    parts = [
        "# The paper's tables, and ours beside them",
        f"Published figures: {CITATION}.",
        f"Mean improvement over the mixture, dB: the published in SDR, ours as {MEASURES}. Silence is no "
        "separation, so a figure in SDR that does not clear silence's row shows none; SI-SDR tells.",
    ]
    for table in table_texts(reproduction):
        parts += [f"## {table.title}", f"Data: {table.data}.", render_table(HEADER, table.rows)]
        if table.notes:
            parts.append("\n".join(f"{number}. {note}" for number, note in enumerate(table.notes, 1)))
    differences = differences_from_paper(reproduction)
    if differences:
        parts += ["## Not as in the paper", "\n".join(f"- {line}" for line in differences)]
    if reproduction.verdicts:
        verdicts = "\n".join(f"- {verdict.sentence}" for verdict in reproduction.verdicts)
        parts += ["## What separates", verdicts]
    parts.append(f"{describe_runs(reproduction)} Intervals ({CONFIDENCE:.0%}) are in {CSV_FILE}.")
    return "\n\n".join(parts) + "\n"


def render_csv(reproduction: Reproduction) -> str:
    """Render a line for each cell and run; a cell that the paper leaves empty has one line without a run."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    measures = [f"{name}{part}" for name in ("sdri", "si_sdri") for part in ("", "_low", "_high")]
    counts = ["cases", "tracks", "missing", "why_not_run"]
    rows.writerow(["table", "dataset", "source", "system", "published_sdri", "run", *measures, *counts])
    for cell in reproduction.cells:
        published = "" if cell.published is None else f"{cell.published:.1f}"
        start = [cell.table, cell.dataset, cell.source, cell.system.name, published]
        for run, result in cell.results.items() or [("", CellResult())]:
            counted = (result.sdri.cases, result.sdri.tracks) if result.sdri else (0, 0)
            values = [*_format_interval(result.sdri), *_format_interval(result.si_sdri)]
            rows.writerow([*start, run, *values, *counted, result.missing, result.why])
    return out.getvalue()


def _format_interval(interval: Interval | None) -> list[str]:
    if interval is None:
        return ["", "", ""]
    return [f"{value:.3f}" for value in (interval.mean, interval.low, interval.high)]


def write_report(reproduction: Reproduction, folder: Path) -> list[Path]:
    """Write the Markdown and the CSV into `folder`, over earlier ones, and return the files.

    Raises:
        UnwritableOutputError: the folder cannot be written.
    """
    texts = {MARKDOWN_FILE: render_markdown(reproduction), CSV_FILE: render_csv(reproduction)}
    for name, text in texts.items():
        with write_atomically(folder / name, force=True) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
