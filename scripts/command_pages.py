#!/usr/bin/env python3
"""Write what the documentation says of commands and presets from the program itself.

    command_pages.py [--check]

docs/commands.md holds every command's help, and docs/presets.md between two comments the table of presets.
Tests check that both are current; --check does, too, and writes nothing.
"""

import argparse
import dataclasses
import inspect
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from tagbox.cli import app
from tagbox.presets import PRESETS, Settings

DOCS = Path(__file__).resolve().parents[1] / "docs"
BEGIN, END = "<!-- written by scripts/command_pages.py -->", "<!-- as far as here -->"

HEAD = """# All commands

Written from the program itself by `scripts/command_pages.py`. `tagbox COMMAND --help` says the same, and
[the command line](command-line.md) what all of them have in common.
"""


def commands() -> str:
    """docs/commands.md: every command with its arguments and options."""
    program = typer.main.get_command(app)
    parts = [HEAD, *(_section(*each) for each in walk(program))]
    return "\n".join(parts)


def walk(command: Any, names: Sequence[str] = ("tagbox",), above: Any = None) -> Iterator[tuple[Any, Any]]:
    """Every command below `command` with its context, groups that do something by themselves too."""
    context = type(command).context_class(command, info_name=names[-1], parent=above)
    inner = getattr(command, "commands", {})
    if above is not None:
        yield command, context
    for name, each in inner.items():
        yield from walk(each, (*names, name), context)


def presets() -> str:
    """The table of presets: what each is for, and in which settings it differs from the default."""
    rows = ["| preset | what it is | differs from `default` in |", "|---|---|---|"]
    for preset in PRESETS.values():
        changed = [
            f"{field.name} {_spoken(getattr(preset.settings, field.name))}"
            for field in dataclasses.fields(Settings)
            if getattr(preset.settings, field.name) != getattr(Settings(), field.name)
        ]
        rows.append(f"| `{preset.name}` | {preset.help} | {'; '.join(changed) or '-'} |")
    return "\n".join(rows)


def with_presets(page: str) -> str:
    """docs/presets.md with the table of today between its two comments."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{presets()}\n\n{END}{after}"


def pages() -> dict[Path, str]:
    """What is written by this script, as it should be."""
    page = DOCS / "presets.md"
    return {DOCS / "commands.md": commands(), page: with_presets(page.read_text(encoding="utf-8"))}


def _section(command: Any, context: Any) -> str:
    path = context.command_path
    lines = [f"{'#' * len(path.split())} {path}", "", *_prose(inspect.cleandoc(command.help or "")), ""]
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    lines += ["```text", usage, "```", ""]
    records = [(each, each.get_help_record(context)) for each in command.params]
    for title, kind in (("argument", "argument"), ("option", "option")):
        own = [record for each, record in records if record and each.param_type_name == kind]
        if own:
            lines += [f"| {title} | meaning |", "|---|---|"]
            lines += [f"| `{_cell(name)}` | {_cell(meaning, prose=True)} |" for name, meaning in own]
            lines.append("")
    return "\n".join(lines)


def _prose(text: str) -> Iterator[str]:
    """Help as Markdown: paragraphs, and indented examples as one block of code."""
    block: list[str] = []
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("  "):
            block.append(inspect.cleandoc(paragraph))
            continue
        yield from _fenced(block)
        block = []
        yield from (_escaped(paragraph), "")
    yield from _fenced(block)


def _fenced(block: Sequence[str]) -> Iterator[str]:
    if block:
        yield from ("```", *block, "```", "")


def _cell(text: str, prose: bool = False) -> str:
    """Text in a table's cell, on one line."""
    line = " ".join(text.split()).replace("|", "\\|")
    return _escaped(line) if prose else line


def _escaped(text: str) -> str:
    """Help is no Markdown: what Markdown would read into it stays as it stands."""
    for sign in "*_[":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;")


def _spoken(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def main() -> int:
    """Write the pages, or say which are not current."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="only say which pages are not current")
    check = parser.parse_args().check
    stale = [
        (path, page)
        for path, page in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != page
    ]
    for path, page in stale:
        print(f"{'not current' if check else 'written'}: {path.relative_to(DOCS.parent)}")
        if not check:
            path.write_text(page, encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
