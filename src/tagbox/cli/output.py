"""Print what a command has to say: results on standard output, everything else on standard error."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
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
            self._print(str(text), error=False)

    def print_note(self, text: str) -> None:
        """Print something worth knowing to standard error."""
        if not self.quiet:
            self._print(text, error=True)

    def print_detail(self, text: str) -> None:
        """Print something that only --verbose asks for to standard error."""
        if self.verbose:
            self._print(text, error=True)

    def print_error(self, text: str) -> None:
        """Print what went wrong to standard error."""
        self._print(error_line(text), error=True)

    def print_json(self, make_document: Callable[[], Any]) -> None:
        """Print the result as JSON; `make_document` is called only where --json asks for it."""
        if self.json:
            self._print(json.dumps(make_document(), indent=2), error=False)

    @property
    def collected(self) -> tuple[tuple[str, bool], ...]:
        """What was collected instead of printed, and whether each line is for standard error."""
        return ()

    def collecting(self) -> "CollectedOutput":
        """Return an output that collects what this one would print."""
        return CollectedOutput(self.quiet, self.verbose, self.json, self.holds_audio)

    def _print(self, line: str, error: bool) -> None:
        print_line(line, error)


@dataclass(frozen=True)
class CollectedOutput(Output):
    """What a command prints, collected in a process that shares its terminal with others.

    Attributes:
        lines: that were printed, and whether each is for standard error.
    """

    lines: list[tuple[str, bool]] = field(default_factory=list)

    @property
    def collected(self) -> tuple[tuple[str, bool], ...]:
        """What was collected so far."""
        return tuple(self.lines)

    def _print(self, line: str, error: bool) -> None:
        self.lines.append((line, error))


def print_error(text: str) -> None:
    """Print a line to standard error: red on a terminal, unless NO_COLOR is set (https://no-color.org)."""
    print_line(error_line(text), error=True)


def error_line(text: str) -> str:
    """Return the line that tells an error."""
    coloured = is_terminal(sys.stderr) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    line = f"tagbox: {text}"
    return typer.style(line, fg="red") if coloured else line
