"""Print what a command has to say: results on standard output, everything else on standard error."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from tagbox.errors import TagBoxError

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Also print the settings, the models and the time taken.")
]
Json = Annotated[
    bool, typer.Option("--json", help="Print one JSON document to standard output instead of text.")
]


@dataclass(frozen=True)
class Output:
    """How much a command prints.

    Attributes:
        quiet: errors only, and the JSON document.
        verbose: details as well.
        json: a JSON document on standard output instead of text.
    """

    quiet: bool = False
    verbose: bool = False
    json: bool = False

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise TagBoxError("--quiet and --verbose contradict each other; give one of them")

    @property
    def prints_text(self) -> bool:
        """Whether results are printed as text."""
        return not (self.quiet or self.json)

    def print_result(self, text: object) -> None:
        """Print a part of the result, as text."""
        if self.prints_text:
            typer.echo(text)

    def print_note(self, text: str) -> None:
        """Print something worth knowing to standard error."""
        if not self.quiet:
            typer.echo(text, err=True)

    def print_detail(self, text: str) -> None:
        """Print something that only --verbose asks for to standard error."""
        if self.verbose:
            typer.echo(text, err=True)

    def print_json(self, make_document: Callable[[], Any]) -> None:
        """Print the result as JSON; `make_document` is called only where --json asks for it."""
        if self.json:
            typer.echo(json.dumps(make_document(), indent=2))


def print_error(text: str) -> None:
    """Print a line to standard error: red on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    coloured = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    typer.secho(f"tagbox: {text}", err=True, fg="red" if coloured else None)
