"""The reproduced tables for people and for spreadsheets: one content, written as Markdown, CSV and rows."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from tagbox.atomic_files import write_atomically
from tagbox.evaluation.bootstrap import LEVEL, Interval
from tagbox.evaluation.reports.markdown import table as markdown_table
from tagbox.evaluation.reproduction.published_tables import CITATION, STEPS, TABLES
from tagbox.evaluation.reproduction.run import AS_IT_IS, PRESETS, RUNS, Cell, Outcome, Reproduction

MARKDOWN, CSV = "reproduction.md", "reproduction.csv"
NOTHING = "–"
HEADER = ("source", "system", "published", *(f"ours, {run}" for run in RUNS), "cases")
RATIOS = "SDR / SI-SDR"


@dataclass(frozen=True)
class Written:
    """A table as text: its title, its data, rows under `HEADER`, and what the numbers in brackets say."""

    title: str
    data: str
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...]


def tables(found: Reproduction) -> list[Written]:
    """Table 1 and Table 2. Each reason stands once below its table."""
    written = []
    for table in TABLES:
        notes: dict[str, int] = {}
        rows = tuple(_row(cell, notes) for cell in found.cells if cell.table == table.number)
        title = f"Table {table.number}: {table.dataset}"
        written.append(Written(title, found.data[table.dataset], rows, tuple(notes)))
    return written


def _row(cell: Cell, notes: dict[str, int]) -> tuple[str, ...]:
    published = NOTHING if cell.published is None else f"{cell.published:.1f}"
    ran = [outcome for outcome in cell.outcomes.values() if outcome.sdri is not None]
    cases = str(max(outcome.sdri.cases for outcome in ran if outcome.sdri)) if ran else NOTHING
    runs = (_text(cell.outcomes[run], notes) if run in cell.outcomes else NOTHING for run in RUNS)
    return (cell.source, cell.system.name, published, *runs, cases)


def _text(outcome: Outcome, notes: dict[str, int]) -> str:
    if outcome.sdri is None or outcome.si_sdri is None:
        return f"not run [{notes.setdefault(outcome.why, len(notes) + 1)}]"
    text = f"{outcome.sdri.mean:+.1f} / {outcome.si_sdri.mean:+.1f}"
    if outcome.missing:
        left_out = f"cases without an estimate: {outcome.missing}; they are in no mean"
        text += f" [{notes.setdefault(left_out, len(notes) + 1)}]"
    return text


def differences(found: Reproduction) -> list[str]:
    """In what our runs differ from the paper's, as far as the settings tell."""
    request = found.request
    said = []
    if request.generator != "jukebox":
        said.append(f"the generator is {Path(request.generator).name}, the paper's is Jukebox")
    if request.steps not in (None, STEPS):
        said.append(f"steps of the loop: {request.steps}, the paper's {STEPS}")
    if request.limit is not None:
        said.append(f"of each data set the first tracks alone, at most {request.limit}")
    if request.seconds is not None:
        said.append(f"excerpts of {request.seconds:g} s where the source plays; the paper does not say which")
    return said


def settings(found: Reproduction) -> str:
    """What our runs are, in two sentences."""
    request = found.request
    steps = "the preset's steps" if request.steps is None else f"steps: {request.steps}"
    return (
        f"Ours are the presets {' and '.join(PRESETS)} with the generator {Path(request.generator).name}, "
        f"{steps}, seed {request.seed}. '{AS_IT_IS}' is a system without presets."
    )


def markdown(found: Reproduction) -> str:
    """Both tables, the reasons, and what separates."""
    parts = [
        "# The paper's tables, and ours beside them",
        f"Published figures: {CITATION}.",
        f"Mean improvement over the mixture, dB: the published in SDR, ours as {RATIOS}. Silence is no "
        "separation, so a figure in SDR that does not clear silence's row shows none; SI-SDR tells.",
    ]
    for table in tables(found):
        parts += [f"## {table.title}", f"Data: {table.data}.", markdown_table(HEADER, table.rows)]
        if table.notes:
            parts.append("\n".join(f"{number}. {why}" for number, why in enumerate(table.notes, 1)))
    differ = differences(found)
    if differ:
        parts += ["## Not as in the paper", "\n".join(f"- {line}" for line in differ)]
    if found.verdicts:
        parts += ["## What separates", "\n".join(f"- {told.words}" for told in found.verdicts)]
    parts.append(f"{settings(found)} Intervals ({LEVEL:.0%}) are in {CSV}.")
    return "\n\n".join(parts) + "\n"


def spreadsheet(found: Reproduction) -> str:
    """One line for each cell and run; cells that the paper leaves empty have one line without a run."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    measured = [f"{name}{part}" for name in ("sdri", "si_sdri") for part in ("", "_low", "_high")]
    counted = ["cases", "tracks", "missing", "why_not_run"]
    rows.writerow(["table", "dataset", "source", "system", "published_sdri", "run", *measured, *counted])
    for cell in found.cells:
        published = "" if cell.published is None else f"{cell.published:.1f}"
        start = [cell.table, cell.dataset, cell.source, cell.system.name, published]
        for run, outcome in cell.outcomes.items() or [("", Outcome())]:
            counts = (outcome.sdri.cases, outcome.sdri.tracks) if outcome.sdri else (0, 0)
            values = [*_numbers(outcome.sdri), *_numbers(outcome.si_sdri), *counts, outcome.missing]
            rows.writerow([*start, run, *values, outcome.why])
    return out.getvalue()


def _numbers(interval: Interval | None) -> list[str]:
    if interval is None:
        return ["", "", ""]
    return [f"{value:.3f}" for value in (interval.mean, interval.low, interval.high)]


def write(found: Reproduction, folder: Path) -> list[Path]:
    """Write the Markdown and the CSV, over earlier ones: the folder is this reproduction's own."""
    written = []
    for name, text in ((MARKDOWN, markdown(found)), (CSV, spreadsheet(found))):
        with write_atomically(folder / name, force=True) as beside:
            beside.write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written
