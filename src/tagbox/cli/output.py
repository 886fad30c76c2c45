"""Print what a command has to say: results on standard output, everything else on standard error."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from tagbox.cli.console import is_terminal, print_line
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
        holds_audio: standard output takes a recording, and nothing else.
    """

    quiet: bool = False
    verbose: bool = False
    json: bool = False
    holds_audio: bool = False

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise TagBoxError("--quiet and --verbose contradict each other; give one of them")

    @property
    def prints_text(self) -> bool:
        """Whether results are printed as text."""
        return not (self.quiet or self.json or self.holds_audio)

    def print_result(self, text: object) -> None:
        """Print a part of the result, as text."""
        if self.prints_text:
            print_line(text)

    def print_note(self, text: str) -> None:
        """Print something worth knowing to standard error."""
        if not self.quiet:
            print_line(text, error=True)

    def print_detail(self, text: str) -> None:
        """Print something that only --verbose asks for to standard error."""
        if self.verbose:
            print_line(text, error=True)

    def print_json(self, make_document: Callable[[], Any]) -> None:
        """Print the result as JSON; `make_document` is called only where --json asks for it."""
        if self.json:
            print_line(json.dumps(make_document(), indent=2))


def print_error(text: str) -> None:
    """Print a line to standard error: red on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    coloured = is_terminal(sys.stderr) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    line = f"tagbox: {text}"
    print_line(typer.style(line, fg="red") if coloured else line, error=True)
