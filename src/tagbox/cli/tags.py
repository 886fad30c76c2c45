"""``tagbox tags``: the vocabularies, and what a word means in them."""

import sys
from typing import Annotated

import typer

from tagbox.cli import completion
from tagbox.cli.output import Json, Output, Quiet
from tagbox.errors import TagBoxError

WIDTH = 100  # characters, where the output is no terminal


def tags(
    word: Annotated[
        list[str] | None,
        typer.Argument(
            help="What does this word mean in each vocabulary?",
            show_default=False,
            autocompletion=completion.tags,
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Only this vocabulary: mtat, jamendo, msd or rendered.",
            show_default=False,
            autocompletion=completion.data,
        ),
    ] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="The table of presets as Markdown.")] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """List the words that taggers know, or say what one word means to each of them.

    A word is read the way a person means it: "vocals", "Singer" and "voices" are the same fourteen tags of
    MagnaTagATune (mtat). Put tag: in front for one single tag of a vocabulary: tag:vocal

    Examples:

      tagbox tags

      tagbox tags violin "female vocals"

      tagbox tags --data jamendo
    """
    from tagbox.tags.resolve import check_vocabulary
    from tagbox.tags.vocabularies import TAGS

    feel = Output(quiet, json=json)
    if data is not None:
        check_vocabulary(data)
    vocabularies = tuple(TAGS) if data is None else (data,)
    if markdown:
        feel.result(presets_as_markdown(vocabularies))
    elif word:
        _explain(word, vocabularies, feel)
    elif json:
        feel.document(lambda: _everything(vocabularies))
    elif not quiet:
        _list(vocabularies)


def _explain(words: list[str], vocabularies: tuple[str, ...], feel: Output) -> None:
    from tagbox.tags.resolve import can_express, meaning, unknown

    found: dict[str, dict[str, tuple[str, ...]]] = {}
    for word in words:
        able = can_express(word)
        if not able:
            raise TagBoxError(unknown(word))
        found[word] = {data: meaning(word, data) if data in able else () for data in vocabularies}
    feel.document(lambda: found)
    if not feel.prints:
        return
    from rich.console import Console

    # Rich knows when not to embolden: no terminal.
    console = Console(highlight=False, markup=False)
    width = max(map(len, vocabularies))
    for i, (word, meant) in enumerate(found.items()):
        if i:
            typer.echo()
        console.print(word, style="bold", soft_wrap=True)
        for data, tags_ in meant.items():
            typer.echo(f"  {data:<{width}}  {', '.join(tags_) or 'cannot express it'}")


def _list(vocabularies: tuple[str, ...]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from tagbox.tags.synonyms import PRESETS
    from tagbox.tags.vocabularies import TAGS

    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    presets = Table(box=box.SIMPLE_HEAD, title="Words that mean more than themselves", title_justify="left")
    for heading in ("word", *vocabularies):
        presets.add_column(heading)
    for preset in PRESETS:
        if any(data in preset.tags for data in vocabularies):
            meant = (_shortened(preset.tags.get(data, ())) for data in vocabularies)
            presets.add_row(preset.name, *meant)
    console.print(presets)
    for data in vocabularies:
        console.print(f"[bold]{data}[/bold]: its {len(TAGS[data])} tags, each a word too")
        console.print(", ".join(TAGS[data]))
        console.print()
    console.print("tag:vocal is the single tag 'vocal'. What a word means: tagbox tags WORD")


def _shortened(tags_: tuple[str, ...]) -> str:
    from tagbox.tags.resolve import short

    return ", ".join(map(short, tags_)) if len(tags_) <= 4 else f"{len(tags_)} tags"


def _everything(vocabularies: tuple[str, ...]) -> dict[str, object]:
    from tagbox.tags.synonyms import PRESETS
    from tagbox.tags.vocabularies import TAGS

    presets = {
        preset.name: {data: preset.tags[data] for data in vocabularies if data in preset.tags}
        for preset in PRESETS
    }
    return {"vocabularies": {data: TAGS[data] for data in vocabularies}, "presets": presets}


def presets_as_markdown(vocabularies: tuple[str, ...]) -> str:
    """The table of docs/tags.md: words by vocabularies."""
    from tagbox.tags.resolve import short
    from tagbox.tags.synonyms import PRESETS

    lines = [f"| word | or | {' | '.join(vocabularies)} |", "|---" * (2 + len(vocabularies)) + "|"]
    for preset in PRESETS:
        if any(data in preset.tags for data in vocabularies):
            meant = (", ".join(map(short, preset.tags.get(data, ()))) for data in vocabularies)
            lines.append(f"| {preset.name} | {', '.join(preset.also)} | {' | '.join(meant)} |")
    return "\n".join(lines)
