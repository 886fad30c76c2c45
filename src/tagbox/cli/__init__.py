"""The command line: thin, and light to import, since ``--help`` must not wait for torch."""

import sys

import typer

from tagbox import __version__, memory
from tagbox.cli.dataset import dataset
from tagbox.cli.evaluate import evaluate
from tagbox.cli.models import app as models
from tagbox.cli.reproduce import reproduce
from tagbox.cli.separate import separate, transfer
from tagbox.cli.tag import tag
from tagbox.cli.tags import tags
from tagbox.cli.train_generator import train_generator
from tagbox.cli.ui import ui
from tagbox.errors import TagBoxError

app = typer.Typer(
    name="tagbox",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Take one instrument out of a recording, or turn music towards a word: frozen music taggers steer "
    "a frozen music generator. Start with: tagbox tag song.flac",
)

app.command()(separate)
app.command()(transfer)
app.command()(tag)
app.command()(tags)
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
    """Run the command line; a `TagBoxError` becomes one line on standard error and exit code 2."""
    memory.keep()
    try:
        app()
    except TagBoxError as error:
        typer.secho(f"tagbox: {error}", err=True, fg="red" if sys.stderr.isatty() else None)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("tagbox: stopped", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output left (`| head`): nothing is wrong, and Python must not complain at exit.
        sys.stderr.close()
        sys.exit(0)
