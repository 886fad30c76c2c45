"""``tagbox presets``: the named sets of settings, and what each is for."""

import dataclasses
from typing import Annotated

import typer

from tagbox.cli import completion
from tagbox.cli.output import Json, Output, Quiet


def presets(
    name: Annotated[
        list[str] | None,
        typer.Argument(
            help="Show all settings of these presets.",
            show_default=False,
            autocompletion=completion.presets,
        ),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """List the presets: what each is for, and the settings in which it differs from the default.

    Every setting can be changed for a run with the option of its name: tagbox
    separate --help

    Examples:

      tagbox presets

      tagbox presets paper
    """
    from tagbox.presets import PRESETS, find
    from tagbox.settings import Settings

    output = Output(quiet, json=json)
    chosen = [find(each) for each in name] if name else list(PRESETS.values())
    defaults = Settings()
    for preset in chosen:
        output.print_result(f"{preset.name}: {preset.help}")
        for field in dataclasses.fields(Settings):
            value = getattr(preset.settings, field.name)
            if name or value != getattr(defaults, field.name):
                text = ", ".join(map(str, value)) if isinstance(value, tuple) else value
                output.print_result(f"    {field.name} {text}")
    output.print_json(
        lambda: {
            each.name: {"help": each.help, "settings": dataclasses.asdict(each.settings)} for each in chosen
        }
    )
