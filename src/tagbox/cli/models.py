"""``tagbox models``: which weights there are, where they are, and how to get them."""

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tagbox.cli import completion
from tagbox.cli.error_messages import Commands
from tagbox.cli.output import Json, Output, Quiet, error
from tagbox.errors import TagBoxError

if TYPE_CHECKING:
    from tagbox.weights.catalogue import Model

LINE_EVERY_SECONDS = 5.0

app = typer.Typer(cls=Commands)

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME...",
        help="Such as mtat/fcn or jukebox.",
        show_default=False,
        autocompletion=completion.models,
    ),
]


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """List the weights of taggers and generators; get them, check them, remove them.

    The table says where each model is. inside: ships with TagBox. cached:
    pulled or imported. to be downloaded: pull gets it. absent: nobody publishes
    it that we know; import a checkpoint of your own.

    Weights are kept in the user's cache folder, or in the folder that
    TAGBOX_HOME names. TAGBOX_MIRROR is a server to pull from in place of the
    published ones: https://host/folder

    Examples:

      tagbox models

      tagbox models pull mtat/fcn mtat/musicnn

      tagbox models pull jukebox --accept-license

      tagbox models import best_model.pth --as mtat/short
    """
    if context.invoked_subcommand is not None:
        return
    from tagbox.weights.catalogue import MODELS

    feel = Output(quiet, json=json)
    rows = [_row(model) for model in MODELS]
    feel.document(lambda: rows)
    if feel.prints:
        _print_table(rows)


@app.command()
def pull(
    names: Names = None,
    all_of: Annotated[
        str | None,
        typer.Option(
            help="All published taggers of this data: mtat, jamendo, msd.",
            show_default=False,
            autocompletion=completion.data,
        ),
    ] = None,
    accept_license: Annotated[
        bool,
        typer.Option("--accept-license", help="I accept the licence of models that ask for it (jukebox)."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Download published weights, check them, and keep them.

    A broken download goes on where it stopped when the command is run again.
    What is at hand stays as it is.

    Examples:

      tagbox models pull mtat/fcn

      tagbox models pull --all-of jamendo

      tagbox models pull jukebox --accept-license
    """
    feel = Output(quiet)
    from tagbox.weights import store
    from tagbox.weights.catalogue import of_data

    wanted = _chosen(names)
    if all_of is not None:
        wanted += [model for model in of_data(all_of) if model.source]
    if not wanted:
        raise TagBoxError("which model? for example: tagbox models pull mtat/fcn (`tagbox models` lists all)")

    def one(model: "Model") -> None:
        accepted = accept_license or _accepts(model)
        with Display(model.identifier, feel) as display:
            path = store.pull(model, accept_license=accepted, listener=display)
        feel.result(path)

    _each(wanted, one, "pulled")


@app.command()
def verify(names: Names = None, quiet: Quiet = False) -> None:
    """Read weights again and check them: all that are at hand, or those named.

    Examples:

      tagbox models verify

      tagbox models verify mtat/fcn
    """
    from tagbox.weights import store
    from tagbox.weights.catalogue import MODELS

    wanted = _chosen(names) or [each for each in MODELS if store.state(each) in ("inside", "cached")]

    def one(model: "Model") -> None:
        store.verify(model)
        Output(quiet).result(f"{model.identifier}: good")

    _each(wanted, one, "verified")


@app.command()
def path(
    name: Annotated[
        str, typer.Argument(help="Such as mtat/fcn or jukebox.", autocompletion=completion.models)
    ],
) -> None:
    """Print where the weights of a model are (a safetensors file).

    Example:

      tagbox models path mtat/fcn
    """
    from tagbox.weights import store
    from tagbox.weights.catalogue import by_identifier

    model = by_identifier(name)
    typer.echo(store.locate(model.kind, model.name, model.data))


@app.command()
def remove(names: Names = None, quiet: Quiet = False) -> None:
    """Delete weights from the cache; what ships inside TagBox stays.

    Example:

      tagbox models remove msd/fcn
    """
    from tagbox.weights import store

    wanted = _chosen(names)
    if not wanted:
        raise TagBoxError("which model? for example: tagbox models remove mtat/fcn")

    def one(model: "Model") -> None:
        removed = store.remove(model)
        Output(quiet).result(f"removed {removed}")

    _each(wanted, one, "removed")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A checkpoint: .pth, .pt, .tar or .safetensors.")],
    name: Annotated[
        str,
        typer.Option("--as", help="Which model it is, such as mtat/short.", autocompletion=completion.models),
    ],
    quiet: Quiet = False,
) -> None:
    """Keep a checkpoint that you have. It is read as data: code in it is refused, never run.

    Where the published file is known, only that one is taken; else names and
    shapes of the weights decide.

    Examples:

      tagbox models import best_model.pth --as mtat/short

      tagbox models import vqvae.pth.tar --as jukebox
    """
    from tagbox.weights import store
    from tagbox.weights.catalogue import by_identifier

    model = by_identifier(name)
    feel = Output(quiet)
    with Display(model.identifier, feel) as display:
        kept = store.import_file(model, file, listener=display)
        if model.terms:
            display.say(f"{model.identifier} is under the {model.licence}: {model.terms}")
    feel.result(kept)


class Display:
    """How a download goes: a bar on a terminal, a line now and then elsewhere, all on standard error."""

    def __init__(self, name: str, feel: Output) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self._name = name
        self._console = Console(stderr=True, quiet=feel.quiet)
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, console=self._console, transient=True)
        self._task = self._progress.add_task(name, total=None, start=False)
        self._said = time.monotonic()

    def __enter__(self) -> "Display":
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def arrived(self, done: int, total: int | None) -> None:
        """Show so many bytes of `total`."""
        if self._console.is_terminal:
            # Started late, so that what is at hand already shows no bar.
            self._progress.start()
            self._progress.start_task(self._task)
            self._progress.update(self._task, completed=done, total=total)
        elif time.monotonic() - self._said >= LINE_EVERY_SECONDS or done == total:
            self._said = time.monotonic()
            self.say(f"{_megabytes(done)} of {_megabytes(total)}" if total else _megabytes(done))

    def say(self, text: str) -> None:
        """Print a sentence."""
        self._console.print(f"{self._name}: {text}", highlight=False, markup=False, soft_wrap=True)


def _accepts(model: "Model") -> bool:
    """Ask, where there is somebody to ask."""
    from tagbox.weights import store

    if not model.terms or store.state(model) == "cached" or not sys.stdin.isatty():
        return False
    typer.echo(
        f"{model.identifier} is under the {model.licence}: noncommercial use only, and that covers what is "
        f"made with it too. The whole text: {model.terms}",
        err=True,
    )
    return typer.confirm("Do you accept it?", err=True)


def _chosen(names: Sequence[str] | None) -> list["Model"]:
    from tagbox.weights.catalogue import by_identifier

    return [by_identifier(name) for name in dict.fromkeys(names or ())]


def _each(wanted: "Sequence[Model]", do: "Callable[[Model], None]", done: str) -> None:
    """Do it with each: one that fails does not keep the others from theirs."""
    failed: list[TagBoxError] = []
    for model in wanted:
        try:
            do(model)
        except TagBoxError as refused:
            failed.append(refused)
            if len(wanted) > 1:
                error(str(refused))
    if failed and len(wanted) == 1:
        raise failed[0]
    if failed:
        raise TagBoxError(f"{len(failed)} of {len(wanted)} models could not be {done}; see above")


def _row(model: "Model") -> dict[str, Any]:
    from tagbox.weights import store

    where = store.state(model)
    at = store.kept_at(model)
    here = where in ("inside", "cached")
    return {
        "model": model.identifier,
        "kind": model.kind,
        "data": model.data,
        "size": at.stat().st_size if here else model.size,
        "licence": model.licence,
        "where": where,
        "path": str(at) if here else None,
        "source": model.source,
        "sha256": model.sha256,
        "git_blob": model.git_blob,
        "accepted": store.acceptance(model) if here else None,
    }


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from tagbox.weights import store

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False)
    for heading in ("model", "kind", "data"):
        table.add_column(heading, no_wrap=True)
    table.add_column("size", justify="right", no_wrap=True)
    table.add_column("licence", no_wrap=True)
    table.add_column("where", no_wrap=True)
    style = {"inside": "green", "cached": "green", "to be downloaded": "", "absent": "dim"}
    for row in rows:
        size = _megabytes(row["size"]) if row["size"] else "?"
        licence = row["licence"].removesuffix(" Use License")
        cells = (row["model"], row["kind"], row["data"] or "", size, licence, row["where"])
        table.add_row(*cells, style=style[row["where"]])
    console.print(table)
    console.print(f"Cache: {store.home()}", soft_wrap=True)
    console.print("Get one: tagbox models pull NAME. Have one: tagbox models import FILE --as NAME")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
