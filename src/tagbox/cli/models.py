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
    from tagbox.plugins.descriptions import Model

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
    from tagbox.plugins.discovery import faults
    from tagbox.weights.catalogue import models

    output = Output(quiet, json=json)
    rows = [*map(_row, models()), *_rows_of_plugins()]
    output.print_json(lambda: rows)
    if output.prints_text:
        _print_table(rows)
    for fault in faults():
        print_error(fault)


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
    from tagbox.weights.catalogue import models

    chosen = _models_called(names) or [model for model in models() if store.is_here(model)]
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

    print_line(store.locate_model(store.describe_identifier(name)))


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

    model = store.describe_identifier(name)
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
    if store.is_on_hub(model):
        told = f"{model.identifier} is under the licence {model.licence}, which may restrict its use"
    else:
        told = (
            f"{model.identifier} is under the {model.licence}: noncommercial use only, which includes "
            "everything made with it"
        )
    print_line(f"{told}. The full text: {model.terms}", error=True)
    return typer.confirm("Do you accept it?", err=True)


def _models_called(names: Sequence[str] | None) -> list["Model"]:
    from tagbox.weights.store import describe_identifier

    return [describe_identifier(name) for name in dict.fromkeys(names or ())]


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
    from tagbox.weights.catalogue import origin

    availability = store.availability(model)
    available = availability in ("inside", "cached")
    path = store.weights_path(model) if available and not model.weightless else None
    source = origin(model)
    return {
        "model": model.identifier,
        "kind": model.kind,
        "data": model.data,
        "rate": model.rate,
        "size": _size(path) if path else model.size,
        "licence": model.licence,
        "distribution": source.distribution if source else None,
        "version": source.version if source else None,
        "where": availability,
        "path": str(path) if path else None,
        "source": model.source,
        "sha256": model.sha256,
        "git_blob": model.git_blob,
        "accepted": store.licence_acceptance(model) if available else None,
    }


def _rows_of_plugins() -> list[dict[str, Any]]:
    """Describe the methods and vocabularies that plug-ins add, in the columns of models."""
    from tagbox.methods.registry import METHODS
    from tagbox.tags.vocabularies import VOCABULARIES

    rows = []
    for kind, installed in (("separator", METHODS), ("vocabulary", VOCABULARIES)):
        for name, each in installed.items():
            origin = installed.origin(name)
            if not origin.is_own:
                empty = dict.fromkeys(("rate", "size", "path", "source", "sha256", "git_blob", "accepted"))
                row = {"model": name, "kind": kind, "data": name if kind == "vocabulary" else None, **empty}
                row |= {"licence": each.licence, "where": "inside"}
                rows.append(row | {"distribution": origin.distribution, "version": origin.version})
    return rows


def _size(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from tagbox.plugins.discovery import DISTRIBUTION
    from tagbox.weights import store

    console = Console(highlight=False)
    for kind in dict.fromkeys(row["kind"] for row in rows):
        table = Table(box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False, show_edge=False)
        table.add_column(kind, no_wrap=True)
        for heading in ("kHz", "size"):
            table.add_column(heading, justify="right", no_wrap=True)
        # Where the terminal is narrow, long licences take two lines.
        table.add_column("licence", min_width=len("Noncommercial"))
        for heading in ("from", "where"):
            table.add_column(heading, no_wrap=True)
        for row in rows:
            if row["kind"] == kind:
                rate = f"{row['rate'] / 1000:g}" if row["rate"] else ""
                size = _megabytes(row["size"]) if row["size"] else ""
                licence = row["licence"].removesuffix(" Use License")
                own = row["distribution"] == DISTRIBUTION
                origin = row["distribution"] if own else f"{row['distribution']} {row['version']}"
                table.add_row(
                    row["model"], rate, size, licence, origin, row["where"], style=STYLES[row["where"]]
                )
        console.print(table)
        console.print()
    console.print(f"Cache: {store.home()}", soft_wrap=True)
    console.print("To download: tagbox models pull NAME. To import: tagbox models import FILE --as NAME")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.{1 if size < 100e6 else 0}f} MB"
