"""Generate the parts of the documentation that the program determines: commands, presets, tags, weights.

Nothing of it is committed. `make docs` (by scripts/site_pages.py) puts the commands on a page of their own,
and each table where a page has its marker, such as ``<!-- table of presets -->``.
"""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import typer

from tagbox.cli import app
from tagbox.cli.tags import words_as_markdown
from tagbox.presets import PRESETS, Settings
from tagbox.tags.vocabularies import TAGS
from tagbox.weights.catalogue import GENERATORS, TAGGERS

HEAD = """# All commands

The output of `tagbox COMMAND --help`. [The command line](command-line.md) describes what all commands share.
"""


def commands() -> str:
    """Return the page of all commands with their arguments and options."""
    program = typer.main.get_command(app)
    return "\n".join([HEAD, *(_section(*each) for each in walk(program))])


def walk(command: Any, names: Sequence[str] = ("tagbox",), parent: Any = None) -> Iterator[tuple[Any, Any]]:
    """Yield every command below `command` with its context, groups that can be called themselves included."""
    context = type(command).context_class(command, info_name=names[-1], parent=parent)
    if parent is not None:
        yield command, context
    for name, each in getattr(command, "commands", {}).items():
        yield from walk(each, (*names, name), context)


def presets() -> str:
    """Return the table of presets: what each is for, and how its settings differ from the default's."""
    rows = ["| preset | what it is | differs from `default` in |", "|---|---|---|"]
    for preset in PRESETS.values():
        changed = [
            f"{field.name} {_format(getattr(preset.settings, field.name))}"
            for field in dataclasses.fields(Settings)
            if getattr(preset.settings, field.name) != getattr(Settings(), field.name)
        ]
        rows.append(f"| `{preset.name}` | {preset.help} | {'; '.join(changed) or '-'} |")
    return "\n".join(rows)


def tags() -> str:
    """Return the table of words and the tags that they select in each vocabulary."""
    return words_as_markdown(tuple(TAGS))


def weights() -> str:
    """Return the table of models that can be downloaded or imported, with their checksums."""
    rows = ["| model | licence | git blob id | SHA-256 |", "|---|---|---|---|"]
    for model in (*TAGGERS, *GENERATORS):
        if not model.inside:
            checksums = [f"`{value}`" if value else "" for value in (model.git_blob, model.sha256)]
            rows.append(f"| `{model.identifier}` | {model.licence} | {' | '.join(checksums)} |")
    return "\n".join(rows)


TABLES: dict[str, Callable[[], str]] = {"presets": presets, "tags": tags, "weights": weights}


def marker(table: str) -> str:
    """Return the comment that stands for a table in a page."""
    return f"<!-- table of {table} -->"


def with_tables(page: str) -> str:
    """Replace the markers in `page` by their tables."""
    for name, table in TABLES.items():
        if marker(name) in page:
            page = page.replace(marker(name), table())
    return page


def _section(command: Any, context: Any) -> str:
    path = context.command_path
    lines = [f"{'#' * len(path.split())} {path}", "", *_help(inspect.cleandoc(command.help or "")), ""]
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    lines += ["```text", usage, "```", ""]
    records = [(each, each.get_help_record(context)) for each in command.params]
    for kind in ("argument", "option"):
        own = [record for each, record in records if record and each.param_type_name == kind]
        if own:
            lines += [f"| {kind} | meaning |", "|---|---|"]
            lines += [f"| `{_cell(name)}` | {_escape(_cell(meaning))} |" for name, meaning in own]
            lines.append("")
    return "\n".join(lines)


def _help(text: str) -> Iterator[str]:
    """Yield the lines of help as Markdown: paragraphs, and indented examples as blocks of code."""
    examples: list[str] = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("  "):
            examples.append(inspect.cleandoc(paragraph))
            continue
        yield from _fence(examples)
        examples = []
        yield from (_escape(paragraph), "")
    yield from _fence(examples)


def _fence(lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from ("```", *lines, "```", "")


def _cell(text: str) -> str:
    """Put text on one line, as a table's cell has to be."""
    return " ".join(text.split()).replace("|", "\\|")


def _escape(text: str) -> str:
    """Escape what Markdown would interpret: help is plain text."""
    for sign in "*_[":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;")


def _format(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


if __name__ == "__main__":
    print(commands())
