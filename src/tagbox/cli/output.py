"""How much a command says and where: results on standard output, all else on standard error."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from tagbox.errors import TagBoxError

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Say what is loaded, the settings, and what it took.")
]
Json = Annotated[
    bool, typer.Option("--json", help="For programs: one JSON document on standard output, and no tables.")
]


@dataclass(frozen=True)
class Output:
    """What a command is to say.

    Attributes:
        quiet: nothing but errors, and the document.
        verbose: details as well.
        json: a document in place of words on standard output.
    """

    quiet: bool = False
    verbose: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise TagBoxError("--quiet and --verbose contradict each other; give one of them")

    @property
    def prints(self) -> bool:
        """Whether results are for people, on standard output."""
        return not (self.quiet or self.json)

    def result(self, words: object) -> None:
        """What was asked for, in words."""
        if self.prints:
            typer.echo(words)

    def note(self, words: str) -> None:
        """Something to know, on standard error."""
        if not self.quiet:
            typer.echo(words, err=True)

    def detail(self, words: str) -> None:
        """Something for whoever wants to know more, on standard error."""
        if self.verbose:
            typer.echo(words, err=True)

    def document(self, made: Callable[[], Any]) -> None:
        """What was asked for, as JSON; `made` is called where that is wanted alone."""
        if self.json:
            typer.echo(json.dumps(made(), indent=2))


def error(words: str) -> None:
    """One line on standard error, red on a terminal unless NO_COLOR is set (https://no-color.org)."""
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    typer.secho(f"tagbox: {words}", err=True, fg="red" if coloured else None)
