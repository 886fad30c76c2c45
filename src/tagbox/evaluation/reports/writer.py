"""Write all reports of an evaluation."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tagbox.atomic_files import write_atomically
from tagbox.evaluation.case import Record
from tagbox.evaluation.reports.html import render_html
from tagbox.evaluation.reports.markdown import render_markdown
from tagbox.evaluation.reports.spreadsheet import render_csv
from tagbox.evaluation.summary import Summary

CSV_FILE, MARKDOWN_FILE, HTML_FILE = "table.csv", "report.md", "report.html"


def write_reports(
    folder: Path, request: Mapping[str, Any], records: Sequence[Record], summary: Summary
) -> list[Path]:
    """Write all reports into `folder`, over earlier ones.

    Args:
        folder: of the results; audio for the players is read from below it.
        request: as run.json has it.
        records: in the order of the plan.
        summary: of the records.

    Returns:
        the files.

    Raises:
        UnwritableOutputError: the folder cannot be written.
    """
    texts = {
        CSV_FILE: render_csv(summary),
        MARKDOWN_FILE: render_markdown(request, records, summary),
        HTML_FILE: render_html(request, records, summary, folder),
    }
    for name, text in texts.items():
        with write_atomically(folder / name, force=True) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    return [folder / name for name in texts]
