"""``tagbox ui``."""

from pathlib import Path
from typing import Annotated

import typer

from tagbox.cli.console import print_line
from tagbox.errors import MissingWeightsError


def ui(
    host: Annotated[
        str, typer.Option(help="Address to serve at; 0.0.0.0 lets in the whole network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve at.")] = 7860,
    generator: Annotated[
        list[Path] | None,
        typer.Option(help="Generator to offer as well (a .safetensors file); repeat for several."),
    ] = None,
    longest: Annotated[float, typer.Option(min=1, help="Maximum length of a recording in seconds.")] = 600.0,
    largest: Annotated[int, typer.Option(min=1, help="Maximum size of an upload in megabytes.")] = 100,
) -> None:
    """Serve a web page for separating and transforming recordings without a command line.

    Everything stays on this machine: recordings and results are kept in a
    private folder, which is removed when the server stops (Ctrl-C). Runs take
    turns, one at a time.

    Example:

      tagbox ui --port 7860
    """
    from tagbox.ui.limits import Limits
    from tagbox.ui.server import serve_until_interrupted

    for path in generator or []:
        if not path.is_file():
            raise MissingWeightsError(f"there is no generator at {path}; check the spelling and the folder")
    generators = {path.stem: path.resolve() for path in generator or []}
    limits = Limits(seconds=longest, megabytes=largest)
    for address in serve_until_interrupted(host, port, limits, generators):
        print_line(f"TagBox is at {address}  (Ctrl-C ends it)")
