"""``tagbox export``: taggers as ONNX."""

from pathlib import Path
from typing import Annotated

import typer

from tagbox.cli.options import Force
from tagbox.cli.output import Output, Quiet

TAGGERS = ("rendered/listener", "rendered/shares")
"""Those of `tagbox.export.EXPORTABLE`, which imports PyTorch."""


def _complete(incomplete: str) -> list[str]:
    """Complete the name of a tagger."""
    return [name for name in TAGGERS if name.startswith(incomplete)]


def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The ONNX file to write.", show_default=False)],
    tagger: Annotated[
        str,
        typer.Option(
            help=f"{TAGGERS[0]} or {TAGGERS[1]}.",
            autocompletion=_complete,
        ),
    ] = TAGGERS[0],
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Write the listener as ONNX, for browsers, plug-ins of studios and other programs.

    The file takes audio of any length and holds everything from the spectrogram
    on; its metadata has the tags and the sample rate. Needs: pip install 'tagbox[onnx]'

    Examples:

      tagbox export listener.onnx

      tagbox export shares.onnx --tagger rendered/shares
    """
    from tagbox.export import export_tagger

    export_tagger(file, tagger, force)
    Output(quiet=quiet).print_result(file)
