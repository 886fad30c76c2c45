"""What people read of an evaluation: a table for spreadsheets, reports with words, plots and players."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tagbox.atomic_files import write_atomically
from tagbox.evaluation.case import Record
from tagbox.evaluation.reports import html, markdown, spreadsheet
from tagbox.evaluation.summary import Summary

TABLE, MARKDOWN, HTML = "table.csv", "report.md", "report.html"


def write(
    folder: Path, request: Mapping[str, Any], records: Sequence[Record], summary: Summary
) -> list[Path]:
    """Write all reports into `folder`, over earlier ones.

    Args:
        folder: of the results; the players' audio lies below it.
        request: what was asked, as in run.json.
        records: in the plan's order.
        summary: of the records.

    Raises:
        TagBoxError: the folder cannot be written.
    """
    texts = {
        TABLE: spreadsheet.render(summary),
        MARKDOWN: markdown.render(request, records, summary),
        HTML: html.render(request, records, summary, folder),
    }
    for name, text in texts.items():
        with write_atomically(folder / name, force=True) as beside:
            beside.write_text(text, encoding="utf-8", newline="")
    return [folder / name for name in texts]
