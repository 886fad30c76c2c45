"""``tagbox models``: the weights of taggers and generators, and how to get them."""

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tagbox.cli import completion
from tagbox.cli.console import print_line
from tagbox.cli.error_messages import CommandGroup
from tagbox.cli.output import Json, Output, Quiet, print_error
from tagbox.cli.progress import ProgressDisplay, time_left
from tagbox.errors import TagBoxError

if TYPE_CHECKING:
    from tagbox.weights.catalogue import Model

app = typer.Typer(cls=CommandGroup)

STYLES = {"inside": "green", "cached": "green", "to be downloaded": "", "absent": "dim"}
"""Of the table's last column."""

Names = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NAME",
        help="Models, such as mtat/fcn or jukebox.",
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
    """List the weights of taggers and generators; download, import, check or remove them.

    The table says where each model is. inside: ships with TagBox. cached:
    downloaded or imported before. to be downloaded: pull gets it. absent: not
    published anywhere we know of; import a checkpoint of your own.

    Weights are kept in the user's cache folder, or in the folder that
    TAGBOX_HOME names. If TAGBOX_MIRROR names a server (https://host/folder),
    they are downloaded from there.

    Examples:

      tagbox models

      tagbox models pull mtat/fcn mtat/musicnn

      tagbox models pull jukebox --accept-license

      tagbox models import best_model.pth --as mtat/short
    """
    if context.invoked_subcommand is not None:
        return
    from tagbox.weights.catalogue import MODELS

    output = Output(quiet, json=json)
    rows = [_row(model) for model in MODELS]
    output.print_json(lambda: rows)
    if output.prints_text:
        _print_table(rows)


@app.command()
def pull(
    names: Names = None,
    all_of: Annotated[
        str | None,
        typer.Option(
            help="All published taggers trained on this data: mtat, jamendo or msd.",
            show_default=False,
            autocompletion=completion.data,
        ),
    ] = None,
    accept_license: Annotated[
        bool,
        typer.Option("--accept-license", help="Accept the licence of models that require it (jukebox)."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Download published weights, check them, and keep them.

    After an interruption, the same command continues the download. Models that
    are on this machine already stay as they are.

    Examples:

      tagbox models pull mtat/fcn

      tagbox models pull --all-of jamendo

      tagbox models pull jukebox --accept-license
    """
    from tagbox.weights.catalogue import models_trained_on

    chosen = _models_called(names)
    if all_of is not None:
        chosen += [model for model in models_trained_on(all_of) if model.source]
    if not chosen:
        raise TagBoxError("which model? for example: tagbox models pull mtat/fcn (`tagbox models` lists all)")
    _for_each(chosen, partial(_pull, accept_license=accept_license, output=Output(quiet)), "pulled")


@app.command()
def verify(names: Names = None, quiet: Quiet = False) -> None:
    """Read weights again and check them: those named, or all on this machine.

    Examples:

      tagbox models verify

      tagbox models verify mtat/fcn
    """
    from tagbox.weights import store
    from tagbox.weights.catalogue import MODELS

    chosen = _models_called(names) or [
        model for model in MODELS if store.availability(model) in ("inside", "cached")
    ]
    _for_each(chosen, partial(_verify, output=Output(quiet)), "verified")


@app.command()
def path(
    name: Annotated[
        str, typer.Argument(help="A model, such as mtat/fcn or jukebox.", autocompletion=completion.models)
    ],
) -> None:
    """Print the path of a model's weights (a safetensors file).

    Example:

      tagbox models path mtat/fcn
    """
    from tagbox.weights import store
    from tagbox.weights.catalogue import model_by_identifier

    model = model_by_identifier(name)
    print_line(store.locate(model.kind, model.name, model.data))


@app.command()
def remove(names: Names = None, quiet: Quiet = False) -> None:
    """Delete weights from the cache; those that ship with TagBox stay.

    Example:

      tagbox models remove msd/fcn
    """
    chosen = _models_called(names)
    if not chosen:
        raise TagBoxError("which model? for example: tagbox models remove mtat/fcn")
    _for_each(chosen, partial(_remove, output=Output(quiet)), "removed")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A checkpoint: .pth, .pt, .tar or .safetensors.")],
    name: Annotated[
        str,
        typer.Option(
            "--as", help="The model that it holds, such as mtat/short.", autocompletion=completion.models
        ),
    ],
    quiet: Quiet = False,
) -> None:
    """Keep a checkpoint that you have. It is read as data: code in it is refused, never run.

    Where the published file is known, only that file is accepted; otherwise the
    names and shapes of the weights decide.

    Examples:

      tagbox models import best_model.pth --as mtat/short

      tagbox models import vqvae.pth.tar --as jukebox
    """
    from tagbox.weights import store
    from tagbox.weights.catalogue import model_by_identifier

    model = model_by_identifier(name)
    output = Output(quiet)
    with _DownloadReporter(model.identifier, output) as reporter:
        kept = store.import_file(model, file, observer=reporter)
        if model.terms:
            reporter.on_message(f"{model.identifier} is under the {model.licence}: {model.terms}")
    output.print_result(kept)


class _DownloadReporter(ProgressDisplay):
    """Progress and messages of a download."""

    def __init__(self, name: str, output: Output) -> None:
        super().__init__(name, output)
        self._first: tuple[float, int] | None = None

    def on_progress(self, done: int, total: int | None) -> None:
        """Show how many bytes of `total` have arrived."""
        now = time.monotonic()
        # A continued download begins with the bytes that arrived before.
        began, already = self._first = self._first or (now, done)
        if total is None:
            self.show(_megabytes(done), done)
            return
        left = time_left(now - began, done - already, total - already)
        self.show(f"{_megabytes(done)} of {_megabytes(total)}{left}", done, total, at_once=done == total)

    def on_message(self, text: str) -> None:
        """Print a sentence."""
        self._output.print_note(f"{self._name}: {text}")


def _pull(model: "Model", accept_license: bool, output: Output) -> None:
    from tagbox.weights import store

    accepted = accept_license or _ask_for_licence(model)
    with _DownloadReporter(model.identifier, output) as reporter:
        kept = store.pull(model, accept_license=accepted, observer=reporter)
    output.print_result(kept)


def _verify(model: "Model", output: Output) -> None:
    from tagbox.weights import store

    store.verify(model)
    output.print_result(f"{model.identifier}: good")


def _remove(model: "Model", output: Output) -> None:
    from tagbox.weights import store

    output.print_result(f"removed {store.remove(model)}")


def _ask_for_licence(model: "Model") -> bool:
    """Ask whether the licence is accepted, where it has to be and somebody is there to answer."""
    from tagbox.weights import store

    if not model.terms or store.availability(model) == "cached" or not sys.stdin.isatty():
        return False
    print_line(
        f"{model.identifier} is under the {model.licence}: noncommercial use only, which includes everything "
        f"made with it. The full text: {model.terms}",
        error=True,
    )
    return typer.confirm("Do you accept it?", err=True)


def _models_called(names: Sequence[str] | None) -> list["Model"]:
    from tagbox.weights.catalogue import model_by_identifier

    return [model_by_identifier(name) for name in dict.fromkeys(names or ())]


def _for_each(models: "Sequence[Model]", action: "Callable[[Model], None]", done: str) -> None:
    """Call `action` with each model; one that fails does not keep the others from it.

    Raises:
        TagBoxError: any failed.
    """
    failed: list[TagBoxError] = []
    for model in models:
        try:
            action(model)
        except TagBoxError as error:
            failed.append(error)
            if len(models) > 1:
                print_error(str(error))
    if failed and len(models) == 1:
        raise failed[0]
    if failed:
        raise TagBoxError(f"{len(failed)} of {len(models)} models could not be {done}; see above")


def _row(model: "Model") -> dict[str, Any]:
    from tagbox.weights import store

    availability = store.availability(model)
    path = store.weights_path(model)
    available = availability in ("inside", "cached")
    return {
        "model": model.identifier,
        "kind": model.kind,
        "data": model.data,
        "size": path.stat().st_size if available else model.size,
        "licence": model.licence,
        "where": availability,
        "path": str(path) if available else None,
        "source": model.source,
        "sha256": model.sha256,
        "git_blob": model.git_blob,
        "accepted": store.licence_acceptance(model) if available else None,
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
    for row in rows:
        size = _megabytes(row["size"]) if row["size"] else "?"
        licence = row["licence"].removesuffix(" Use License")
        cells = (row["model"], row["kind"], row["data"] or "", size, licence, row["where"])
        table.add_row(*cells, style=STYLES[row["where"]])
    console.print(table)
    console.print(f"Cache: {store.home()}", soft_wrap=True)
    console.print("To download: tagbox models pull NAME. To import: tagbox models import FILE --as NAME")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
