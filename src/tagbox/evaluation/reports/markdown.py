"""The report as Markdown, for repositories and notes."""

from collections.abc import Mapping, Sequence
from typing import Any

from tagbox.evaluation.case import Record
from tagbox.evaluation.reports import content, plots
from tagbox.evaluation.summary import Summary


def render(request: Mapping[str, Any], records: Sequence[Record], summary: Summary) -> str:
    """The whole file."""
    parts = [f"# {content.title(request)}", content.MEASURE, content.CONTROLS]
    parts.append("## Does it separate?")
    said = [f"- **{answer}**: {_plain(words)}" for answer, words in content.verdicts(summary)]
    parts.append("\n".join(said) or "No method was asked: controls alone.")
    parts.append("## SI-SDR improvement, dB")
    parts.append(table(*content.overview(summary)))
    for source in summary.sources:
        parts += [f"### {_plain(source)}", table(*content.details(summary, source))]
    parts.append(f"{content.CEILING} {content.HEARD}")
    told = plots.losses_in_words(records)
    if told:
        parts += ["## Loss and separation", "\n".join(f"- {_plain(line)}" for line in told)]
    missed = content.left_out(request, summary)
    if missed:
        parts += ["## Not measured", "\n".join(f"- {_plain(line)}" for line in missed)]
    parts += ["## How it was made", "\n".join(f"- {name}: {_plain(v)}" for name, v in content.facts(request))]
    parts.append("\n".join(f"- {_plain(name)}: {_plain(about)}" for name, about in content.methods(request)))
    return "\n\n".join(parts) + "\n"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column flush left."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(_plain(cell) for cell in line) + " |" for line in lines)


def _plain(text: str) -> str:
    """Text that Markdown takes for nothing else."""
    for letter in "\\`*_<[|":
        text = text.replace(letter, "\\" + letter)
    return text.replace("\n", " ")
