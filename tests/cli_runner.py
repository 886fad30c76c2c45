"""Run the command line inside the test's process."""

import contextlib
import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

from tagbox.cli import main

StartProgram = Callable[..., subprocess.Popen[str]]
"""The fixture `start_program`."""


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self) -> bool:
        return True


def run_tagbox(*arguments: object, on_terminal: bool = False) -> tuple[int, str, str]:
    """Run `tagbox` as its program does: exit code, standard output, standard error.

    An exception that the program would answer with a traceback is raised.
    """
    out, err = (Terminal() if on_terminal else io.StringIO() for _ in range(2))
    with _arguments(*arguments), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = int(end.code or 0)
    return code, out.getvalue(), err.getvalue()


@contextlib.contextmanager
def _arguments(*arguments: object) -> Iterator[None]:
    with mock.patch.object(sys, "argv", ["tagbox", *map(str, arguments)]):
        yield


def assert_refused(
    result: tuple[int, str, str], *facts: str, path: Path | None = None, exit_code: int = 2
) -> None:
    """Check for the exit code and one line on standard error that names `facts`; nothing is at `path`."""
    code, out, err = result
    assert (code, out) == (exit_code, "")
    assert err.startswith("tagbox: ") and err.count("\n") == 1, err
    for fact in facts:
        assert fact in err, err
    assert path is None or not path.exists()
