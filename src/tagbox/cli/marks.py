"""Read corrections from a command line: ``--is violin:3.0-5.5``."""

import math
import re
from collections.abc import Sequence
from typing import Annotated

import typer

from tagbox.corrections import Absent, Correction, Is, IsNot, check
from tagbox.errors import TagBoxError

_TIME = r"(?:(\d+):)?(\d+(?:\.\d+)?)"
_SPAN = re.compile(rf"(?P<source>.+?):{_TIME}-{_TIME}")

PANEL = "Corrections (times in seconds, or minutes:seconds)"

IsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--is",
        help="The rest has something of a source in a span: violin:3.0-5.5. Repeat for more.",
        metavar="TAG:START-STOP",
        rich_help_panel=PANEL,
    ),
]
NotOption = Annotated[
    list[str] | None,
    typer.Option(
        "--not",
        help="A source's estimate has something else in a span: violin:8-9.2. Repeat for more.",
        metavar="TAG:START-STOP",
        rich_help_panel=PANEL,
    ),
]
AbsentOption = Annotated[
    list[str] | None,
    typer.Option(
        "--absent",
        help="A source does not play: violin, or in a span violin:0-12.5. Repeat for more.",
        metavar="TAG[:START-STOP]",
        rich_help_panel=PANEL,
    ),
]


def read_corrections(
    is_: Sequence[str] | None,
    not_: Sequence[str] | None,
    absent: Sequence[str] | None,
    sources: Sequence[str],
) -> tuple[Correction, ...]:
    """Read corrections, and check them as far as that is possible without the recording.

    Args:
        is_: as --is was given.
        not_: as --not was given.
        absent: as --absent was given.
        sources: the tags that are asked for.

    Raises:
        TagBoxError: one cannot be read; says how to write it.
    """
    found: list[Correction] = [Is(*_span("--is", text)) for text in is_ or ()]
    found += [IsNot(*_span("--not", text)) for text in not_ or ()]
    found += [Absent(text) if text in sources else Absent(*_span("--absent", text)) for text in absent or ()]
    for correction in found:
        check(correction, sources, math.inf)
    return tuple(found)


def _span(option: str, text: str) -> tuple[str, float, float]:
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise TagBoxError(f"{option} {text!r} cannot be read; write a tag and a span, such as violin:3.0-5.5")
    _, *numbers = match.groups()
    first, last = (60 * float(numbers[i] or 0) + float(numbers[i + 1]) for i in (0, 2))
    return match["source"], first, last
