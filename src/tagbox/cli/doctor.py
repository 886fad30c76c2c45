"""``tagbox doctor``: what a bug report needs."""

from typing import Annotated

import typer

from tagbox.cli.console import print_line
from tagbox.cli.output import Json


def doctor(
    speed: Annotated[
        bool,
        typer.Option("--speed/--no-speed", help="Also tell how long it takes to separate some noise."),
    ] = True,
    json: Json = False,
) -> None:
    """Tell what is installed, what is missing and how to get it, and how fast this machine is.

    Add what it prints to a bug report. It works, and succeeds, whatever is
    missing; where `tagbox` itself does not start: python -m tagbox.doctor

    Examples:

      tagbox doctor

      tagbox doctor --no-speed --json
    """
    from tagbox.doctor import report

    for line in report(speed, json):
        print_line(line)
