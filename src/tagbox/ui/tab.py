"""A tab of the page: a recording, what is heard in it, words, settings, a run to watch, and what came out."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from tagbox import presets
from tagbox.ui import form, suggestions
from tagbox.ui.actions import Actions, PageContext, TabSpec
from tagbox.ui.form import Form

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


@dataclass(frozen=True)
class Controls:
    """The tab's components that its callbacks read and write."""

    song: gr.Audio
    examples: tuple[gr.Button, ...]
    picture: gr.HTML
    heard: gr.CheckboxGroup
    typed: gr.Dropdown
    form: Form
    go: gr.Button
    stop: gr.Button
    cancel: gr.Button
    told: gr.HTML
    results: gr.HTML


def build(kind: TabSpec, house: PageContext) -> None:
    """Lay out a tab, inside a `gr.Tab`, and say what its buttons do."""
    controls = _lay_out(kind, house)
    _wire(controls, Actions(kind, house, controls.form), house)


def _lay_out(kind: TabSpec, house: PageContext) -> Controls:
    key = kind.key
    gr.Markdown(kind.about)
    song = gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",
        editable=False,
        label=f"Recording, {house.limits}",
        elem_id=f"{key}-song",
        buttons=[],
    )
    examples = []
    if kind.examples:
        with gr.Row(elem_classes="examples"):
            for example in kind.examples:
                examples.append(gr.Button(example.title, size="sm", min_width=150))
    picture = gr.HTML(elem_id=f"{key}-picture", elem_classes="picture")
    heard = gr.CheckboxGroup([], label=kind.asks, visible=False, elem_id=f"{key}-heard")
    typed = gr.Dropdown(
        suggestions.known(presets.find(kind.presets[0]).settings.taggers),
        value=[],
        label="Any other word",
        info="violin+cello is one source of two words",
        multiselect=True,
        allow_custom_value=True,
        elem_id=f"{key}-typed",
    )
    settings = form.build(f"{key}-settings", kind.presets, house.limits, house.generators)
    with gr.Row():
        go = gr.Button(kind.name, variant="primary", elem_id=f"{key}-go", min_width=120)
        stop = gr.Button("Stop and keep", visible=False, elem_id=f"{key}-stop", min_width=120)
        cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id=f"{key}-cancel", min_width=120)
    told = gr.HTML(elem_id=f"{key}-told", elem_classes="told-box")
    results = gr.HTML(elem_id=f"{key}-results", elem_classes="results")
    return Controls(song, tuple(examples), picture, heard, typed, settings, go, stop, cancel, told, results)


def _wire(controls: Controls, actions: Actions, house: PageContext) -> None:
    hearing: dict[str, Any] = {
        "fn": actions.listen,
        "inputs": [controls.song],
        "outputs": [controls.picture, controls.heard, controls.told, controls.results],
        "concurrency_id": "listen",
        "concurrency_limit": 1,
        "api_visibility": "private",
        "show_progress": "minimal",
        "show_progress_on": [controls.picture],
    }
    shown = [controls.told, controls.results, controls.go, controls.stop, controls.cancel]
    running: dict[str, Any] = {
        "fn": actions.run,
        "inputs": [controls.song, controls.heard, controls.typed, *controls.form.controls],
        "outputs": shown,
        "concurrency_id": "run",
        "concurrency_limit": house.limits.waiting + 2,
        "api_visibility": "private",
        "show_progress": "minimal",
        "show_progress_on": [controls.told],
    }
    given = [controls.song.upload, controls.song.stop_recording, controls.song.clear]
    # A recording that comes while another is still being listened to must not be missed.
    gr.on(given, trigger_mode="always_last", **hearing)
    controls.go.click(actions.begin, None, shown, queue=False, **QUIET).then(**running)
    for button, example in zip(controls.examples, actions.kind.examples, strict=True):
        taken = button.click(
            actions.taking(example), None, [controls.song, controls.typed], queue=False, **QUIET
        )
        begun = taken.then(**hearing).then(actions.begin, None, shown, queue=False, **QUIET)
        begun.then(**running)
    controls.stop.click(actions.stop, None, [controls.stop], queue=False, **QUIET)
    controls.cancel.click(actions.cancel, None, [controls.cancel], queue=False, **QUIET)
