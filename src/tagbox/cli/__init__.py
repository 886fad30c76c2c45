"""The command line. Importing it, and ``--help``, load no PyTorch."""

import contextlib
import platform
import sys

import typer

from tagbox import __version__
from tagbox.cli.console import lenient_streams, print_line
from tagbox.cli.dataset import dataset
from tagbox.cli.doctor import doctor
from tagbox.cli.error_messages import CommandGroup, describe_error, exit_code, is_help, is_reported
from tagbox.cli.evaluate import evaluate
from tagbox.cli.example import example
from tagbox.cli.export import export
from tagbox.cli.models import app as models
from tagbox.cli.output import print_error
from tagbox.cli.presets import presets
from tagbox.cli.refine import refine
from tagbox.cli.reproduce import reproduce
from tagbox.cli.separate import separate
from tagbox.cli.tag import tag
from tagbox.cli.tags import tags
from tagbox.cli.train_generator import train_generator
from tagbox.cli.transfer import transfer
from tagbox.cli.ui import ui
from tagbox.kernels import allocator, threads
from tagbox.signals import EndedBySignal, ended_by_signals

app = typer.Typer(
    name="tagbox",
    cls=CommandGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Extract instruments from recordings, or re-synthesise music towards a tag, guided by pretrained "
    "music taggers. Start with: tagbox tag song.flac",
)

app.command()(separate)
app.command()(refine)
app.command()(transfer)
app.command()(tag)
app.command()(tags)
app.command()(presets)
app.command()(export)
app.command()(train_generator)
app.command()(evaluate)
app.command()(dataset)
app.command()(reproduce)
app.command()(ui)
app.command()(example)
app.command()(doctor)
app.add_typer(models, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        # Imported here, because it takes longer than every other command should wait.
        from importlib.metadata import PackageNotFoundError, version

        parts = [f"python {platform.python_version()}"]
        for name in ("torch", "numpy"):
            with contextlib.suppress(PackageNotFoundError):
                parts.append(f"{name} {version(name)}")
        print_line(f"tagbox {__version__} ({', '.join(parts)})")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the versions and exit."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line; an error is one line on standard error, and a code to exit with."""
    allocator.keep_freed_memory()
    threads.limit_spinning()
    try:
        with lenient_streams(), ended_by_signals():
            # The name is given, so that `python -m tagbox` and tests print commands that people can type.
            code = app(prog_name="tagbox", standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        print_line("tagbox: stopped", error=True)
        sys.exit(130)
    except EndedBySignal as end:
        print_error(f"ended by {end.name}; nothing is left half-written")
        sys.exit(end.code)
    except Exception as error:
        if not is_reported(error):
            raise
        if is_help(error):
            print_line(str(error), error=True)
        else:
            print_error(describe_error(error))
        sys.exit(exit_code(error))
    # Without standalone mode, the code of a typer.Exit is returned.
    sys.exit(code or 0)
