"""The command line: thin, and light to import, since ``--help`` must not wait for torch."""

import sys

import typer

from tagbox import __version__
from tagbox.cli.dataset import dataset
from tagbox.cli.error_messages import CLICK_ERROR, Commands, format_error
from tagbox.cli.evaluate import evaluate
from tagbox.cli.models import app as models
from tagbox.cli.output import error
from tagbox.cli.presets import presets
from tagbox.cli.reproduce import reproduce
from tagbox.cli.separate import separate
from tagbox.cli.tag import tag
from tagbox.cli.tags import tags
from tagbox.cli.train_generator import train_generator
from tagbox.cli.transfer import transfer
from tagbox.cli.ui import ui
from tagbox.errors import TagBoxError
from tagbox.kernels import allocator, threads

app = typer.Typer(
    name="tagbox",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Take one instrument out of a recording, or turn music towards a word: frozen music taggers steer "
    "a frozen music generator. Start with: tagbox tag song.flac",
)

app.command()(separate)
app.command()(transfer)
app.command()(tag)
app.command()(tags)
app.command()(presets)
app.command()(train_generator)
app.command()(evaluate)
app.command()(dataset)
app.command()(reproduce)
app.command()(ui)
app.add_typer(models, name="models")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"tagbox {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and stop."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line; a mistake becomes one line on standard error and exit code 2."""
    allocator.keep_freed_memory()
    threads.limit_spinning()
    try:
        # Named here, so that "python -m tagbox" and tests print commands that people can type.
        code = app(prog_name="tagbox", standalone_mode=False)
    except TagBoxError as wrong:
        error(str(wrong))
        sys.exit(2)
    except CLICK_ERROR as wrong:
        if type(wrong).__name__ == "NoArgsIsHelpError":
            typer.echo(str(wrong), err=True)
        else:
            error(format_error(wrong))
        sys.exit(2)
    except typer.Abort:
        typer.echo("tagbox: stopped", err=True)
        sys.exit(130)
    # Without standalone mode an Exit's code is what comes back.
    sys.exit(code or 0)
