"""``tagbox presets``: the named sets of settings, and when to take which."""

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from tagbox.cli import completion
from tagbox.cli.output import Json, Output, Quiet

if TYPE_CHECKING:
    pass


def presets(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            help="All settings of these alone.", show_default=False, autocompletion=completion.presets
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """List the presets: what each is for, and in which settings it differs from the default.

    Every setting can be changed for a run with the option of its name: tagbox separate --help

    Examples:

      tagbox presets

      tagbox presets paper
    """
    from tagbox.presets import PRESETS, Settings, find

    feel = Output(quiet, json=json)
    chosen = [find(each) for each in name] if name else list(PRESETS.values())
    usual = Settings()
    for preset in chosen:
        feel.result(f"{preset.name}: {preset.help}")
        for field in dataclasses.fields(preset.settings):
            value = getattr(preset.settings, field.name)
            if name or value != getattr(usual, field.name):
                feel.result(f"    {field.name} {_spoken(value)}")
    feel.document(
        lambda: {
            each.name: {"help": each.help, "settings": dataclasses.asdict(each.settings)} for each in chosen
        }
    )


def _spoken(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
