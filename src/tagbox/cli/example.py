"""``tagbox example``: a recording to try TagBox on."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from tagbox.atomic_files import write_atomically
from tagbox.cli.output import Output, Quiet
from tagbox.errors import TagBoxError

PACKAGED = Path(__file__).resolve().parents[1] / "example" / "duet.flac"
"""In a wheel."""
OF_REPOSITORY = Path(__file__).resolve().parents[3] / "examples" / "duet" / "mixture.flac"


def example(
    path: Annotated[Path, typer.Argument(help="File to write.", metavar="FILE")] = Path("duet.flac"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that exists.")] = False,
    quiet: Quiet = False,
) -> None:
    """Write a recording to try: a violin and a piano, 14 s, free to use (MIT).

    Examples:

      tagbox example

      tagbox example out/duet.flac
    """
    output = Output(quiet)
    source = next((each for each in (PACKAGED, OF_REPOSITORY) if each.is_file()), None)
    if source is None:
        raise TagBoxError("the example is not where it was installed; install TagBox again")
    if path.suffix.lower() != ".flac":
        raise TagBoxError(
            f"the example is a FLAC file, and {path} is called otherwise; give a name such as duet.flac"
        )
    with write_atomically(path, force) as temporary:
        shutil.copyfile(source, temporary)
    output.print_result(path)
    output.print_note(f"now, for example: tagbox separate {path} --tags violin -o out")
