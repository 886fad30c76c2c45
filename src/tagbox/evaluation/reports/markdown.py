"""Render the report as Markdown, for repositories and notes."""

from collections.abc import Mapping, Sequence
from typing import Any

from tagbox.evaluation.case import Record
from tagbox.evaluation.reports import content
from tagbox.evaluation.reports.plots import loss_correlations
from tagbox.evaluation.summary import Summary


def render_markdown(request: Mapping[str, Any], records: Sequence[Record], summary: Summary) -> str:
    """Render the report.

    Args:
        request: as run.json has it.
        records: in the order of the plan.
        summary: of the records.
    """
    parts = [f"# {content.report_title(request)}", content.ABOUT_SI_SDR, content.ABOUT_CONTROLS]
    parts.append("## Does it separate?")
    verdicts = [f"- **{answer}**: {_escape(sentence)}" for answer, sentence in content.verdict_lines(summary)]
    parts.append("\n".join(verdicts) or "Only controls were evaluated.")
    parts.append("## SI-SDR improvement, dB")
    parts.append(render_table(*content.overview_table(summary)))
    for source in summary.sources:
        parts += [f"### {_escape(source)}", render_table(*content.source_table(summary, source))]
    parts.append(f"{content.ABOUT_CEILING} {content.ABOUT_JUDGE}")
    correlations = loss_correlations(records)
    if correlations:
        parts += ["## Loss and separation", _render_list(correlations)]
    unmeasured = content.unmeasured_lines(request, summary)
    if unmeasured:
        parts += ["## Not measured", _render_list(unmeasured)]
    if summary.notes:
        parts += ["## Files that are not as they say", _render_list(summary.notes)]
    parts.append("## How it was made")
    for pairs in (content.run_facts(request), content.system_settings(request)):
        parts.append("\n".join(f"- {_escape(name)}: {_escape(value)}" for name, value in pairs))
    return "\n\n".join(parts) + "\n"


def render_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Render a Markdown table whose first column is flush left and whose others are flush right."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(_escape(cell) for cell in line) + " |" for line in lines)


def _render_list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {_escape(line)}" for line in lines)


def _escape(text: str) -> str:
    """Escape the characters that have a meaning in Markdown."""
    for character in "\\`*_<[|":
        text = text.replace(character, "\\" + character)
    return text.replace("\n", " ")
