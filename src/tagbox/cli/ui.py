"""``tagbox ui``."""

from pathlib import Path
from typing import Annotated

import typer

from tagbox.errors import TagBoxError


def ui(
    host: Annotated[
        str, typer.Option(help="Whom to listen to; 0.0.0.0 lets the whole network in.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Of the server.")] = 7860,
    generator: Annotated[
        list[Path] | None,
        typer.Option(help="A generator's .safetensors file to offer as well; repeat for several."),
    ] = None,
    longest: Annotated[float, typer.Option(min=1, help="Seconds of a recording, at the most.")] = 600.0,
    largest: Annotated[int, typer.Option(min=1, help="Megabytes of an upload, at the most.")] = 100,
) -> None:
    """Serve a web page to separate and transform recordings with, for people without a command line.

    Everything stays on this machine: recordings and results live in a private folder that is emptied when
    a page is closed and when the server ends (Ctrl-C). One run goes on at a time.

    Example:

      tagbox ui --port 7860
    """
    from tagbox.ui.limits import Limits
    from tagbox.ui.server import serve

    for path in generator or []:
        if not path.is_file():
            raise TagBoxError(f"there is no generator at {path}; check the spelling and the folder")
    offered = {path.stem: path.resolve() for path in generator or []}
    for address in serve(host, port, Limits(seconds=longest, megabytes=largest), offered):
        typer.echo(f"TagBox is at {address}  (Ctrl-C ends it)")
