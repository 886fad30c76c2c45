"""``tagbox tags``: the vocabularies, and what a word means in them."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from tagbox.cli import completion
from tagbox.cli.console import is_terminal, print_line
from tagbox.cli.output import Json, Output, Quiet
from tagbox.errors import UnknownTagError

WIDTH_WITHOUT_TERMINAL = 100
"""Characters."""
MAX_TAGS_IN_CELL = 4


def tags(
    word: Annotated[
        list[str] | None,
        typer.Argument(
            help="Words to look up in each vocabulary.",
            show_default=False,
            autocompletion=completion.tags,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Only this vocabulary: mtat, jamendo, msd, rendered or audioset.",
            show_default=False,
            autocompletion=completion.data,
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the table of words as Markdown.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """List the words that taggers know, or say what a word means to each of them.

    Synonyms, plurals and spelling do not matter: "vocals", "Singer" and
    "voices" are the same fourteen tags of MagnaTagATune (mtat). Put tag: in
    front for a single tag of a vocabulary: tag:vocal

    Examples:

      tagbox tags

      tagbox tags violin "female vocals"

      tagbox tags --data jamendo
    """
    from tagbox.tags.resolve import check_vocabulary
    from tagbox.tags.vocabularies import TAGS

    output = Output(quiet, json=json)
    if data is not None:
        check_vocabulary(data)
    vocabularies = tuple(TAGS) if data is None else (data,)
    if markdown:
        output.print_result(words_as_markdown(vocabularies))
    elif word:
        _explain(word, vocabularies, output)
    elif json:
        output.print_json(lambda: _list_as_json(vocabularies))
    elif not quiet:
        _list(vocabularies)


def _explain(words: Sequence[str], vocabularies: Sequence[str], output: Output) -> None:
    meanings = {word: _meanings(word, vocabularies) for word in words}
    output.print_json(lambda: meanings)
    if not output.prints_text:
        return
    from rich.console import Console

    # Rich prints bold on terminals only.
    console = Console(highlight=False, markup=False)
    width = max(map(len, vocabularies))
    for i, (word, by_vocabulary) in enumerate(meanings.items()):
        if i:
            print_line()
        console.print(word, style="bold", soft_wrap=True)
        for data, meaning in by_vocabulary.items():
            print_line(f"  {data:<{width}}  {', '.join(meaning) or 'cannot express it'}")


def _meanings(word: str, vocabularies: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Look up the tags that `word` means in each vocabulary.

    Raises:
        UnknownTagError: no vocabulary at all has the word.
    """
    from tagbox.free_text import unheard_word_message
    from tagbox.tags.resolve import can_express, meaning

    able = can_express(word)
    if not able:
        raise UnknownTagError(unheard_word_message(word))
    return {data: meaning(word, data) if data in able else () for data in vocabularies}


def _list(vocabularies: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from tagbox.tags.synonyms import TAG_GROUPS
    from tagbox.tags.vocabularies import TAGS

    console = Console(highlight=False, width=None if is_terminal(sys.stdout) else WIDTH_WITHOUT_TERMINAL)
    table = Table(box=box.SIMPLE_HEAD, title="Words that mean several tags", title_justify="left")
    for heading in ("word", *vocabularies):
        table.add_column(heading)
    for group in TAG_GROUPS:
        meanings = _meanings(group.name, vocabularies).values()
        if any(meanings):
            table.add_row(group.name, *map(_cell, meanings))
    console.print(table)
    for data in vocabularies:
        console.print(f"[bold]{data}[/bold]: its {len(TAGS[data])} tags, which are words too")
        console.print(", ".join(TAGS[data]))
        console.print()
    console.print("tag:vocal is the single tag 'vocal'. To look up a word: tagbox tags WORD")


def _cell(meaning: tuple[str, ...]) -> str:
    from tagbox.tags.resolve import short_name

    if len(meaning) > MAX_TAGS_IN_CELL:
        return f"{len(meaning)} tags"
    return ", ".join(map(short_name, meaning))


def _list_as_json(vocabularies: Sequence[str]) -> dict[str, object]:
    from tagbox.tags.synonyms import TAG_GROUPS
    from tagbox.tags.vocabularies import TAGS

    groups = {
        group.name: {data: tags for data, tags in _meanings(group.name, vocabularies).items() if tags}
        for group in TAG_GROUPS
    }
    return {"vocabularies": {data: TAGS[data] for data in vocabularies}, "presets": groups}


def words_as_markdown(vocabularies: Sequence[str]) -> str:
    """Render the table of docs/tags.md: words by vocabularies."""
    from tagbox.tags.resolve import short_name
    from tagbox.tags.synonyms import TAG_GROUPS

    lines = [f"| word | or | {' | '.join(vocabularies)} |", "|---" * (2 + len(vocabularies)) + "|"]
    for group in TAG_GROUPS:
        meanings = _meanings(group.name, vocabularies).values()
        if any(meanings):
            cells = (", ".join(map(short_name, tags)) for tags in meanings)
            lines.append(f"| {group.name} | {', '.join(group.synonyms)} | {' | '.join(cells)} |")
    return "\n".join(lines)
