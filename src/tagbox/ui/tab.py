"""A tab of the page: a recording and its tags, words, settings, the progress of a job, and its result."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from tagbox import presets
from tagbox.ui import suggestions
from tagbox.ui.actions import Actions, PageContext, TabSpec
from tagbox.ui.form import Form, build_form

QUIET: dict[str, Any] = {"queue": False, "api_visibility": "private", "show_progress": "hidden"}
"""Options of callbacks that answer at once."""


@dataclass(frozen=True)
class TabControls:
    """The components of a tab that its callbacks read and write."""

    recording: gr.Audio
    examples: tuple[gr.Button, ...]
    drawing: gr.HTML
    suggested: gr.CheckboxGroup
    typed: gr.Dropdown
    form: Form
    start: gr.Button
    stop: gr.Button
    cancel: gr.Button
    message: gr.HTML
    mixer: gr.HTML
    results: gr.HTML


def build_tab(spec: TabSpec, context: PageContext) -> None:
    """Lay out a tab, inside a `gr.Tab`, and connect its controls to their callbacks."""
    controls = _lay_out(spec, context)
    _connect(controls, Actions(spec, context, controls.form), context)


def _lay_out(spec: TabSpec, context: PageContext) -> TabControls:
    key = spec.key
    gr.Markdown(spec.description)
    recording = gr.Audio(
        sources=["upload", "microphone"],
        type="filepath",
        editable=False,
        label=f"Recording, {context.limits}",
        elem_id=f"{key}-recording",
        buttons=[],
    )
    examples = []
    if spec.examples:
        with gr.Row(elem_classes="examples"):
            examples = [gr.Button(example.title, size="sm", min_width=150) for example in spec.examples]
    drawing = gr.HTML(elem_id=f"{key}-drawing", elem_classes="drawing")
    suggested = gr.CheckboxGroup([], label=spec.words_label, visible=False, elem_id=f"{key}-suggested")
    typed = gr.Dropdown(
        suggestions.known_words(presets.find(spec.presets[0]).settings.taggers),
        value=[],
        label="Other words",
        info="violin+cello is one source of two instruments",
        multiselect=True,
        allow_custom_value=True,
        elem_id=f"{key}-typed",
    )
    form = build_form(f"{key}-settings", spec.presets, context.limits, context.generators)
    with gr.Row():
        start = gr.Button(spec.name, variant="primary", elem_id=f"{key}-start", min_width=120)
        stop = gr.Button("Stop and keep", visible=False, elem_id=f"{key}-stop", min_width=120)
        cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id=f"{key}-cancel", min_width=120)
    message = gr.HTML(elem_id=f"{key}-message", elem_classes="progress-box")
    mixer = gr.HTML(elem_id=f"{key}-mixer", elem_classes="mixer")
    results = gr.HTML(elem_id=f"{key}-results", elem_classes="results")
    shown = (message, mixer, results)
    return TabControls(
        recording, tuple(examples), drawing, suggested, typed, form, start, stop, cancel, *shown
    )


def _connect(controls: TabControls, actions: Actions, context: PageContext) -> None:
    recording = controls.recording
    shows: dict[str, Any] = {
        "outputs": [
            controls.drawing,
            controls.suggested,
            controls.message,
            controls.mixer,
            controls.results,
        ],
        "concurrency_id": "show",
        "concurrency_limit": 1,
        "api_visibility": "private",
        "show_progress": "minimal",
        "show_progress_on": [controls.drawing],
    }
    buttons = [controls.start, controls.stop, controls.cancel]
    job_outputs = [controls.message, controls.mixer, controls.results, *buttons]
    run: dict[str, Any] = {
        "fn": actions.run,
        "inputs": [controls.recording, controls.suggested, controls.typed, *controls.form.controls],
        "outputs": job_outputs,
        "concurrency_id": "run",
        "concurrency_limit": context.limits.waiting + 2,
        "api_visibility": "private",
        "show_progress": "minimal",
        "show_progress_on": [controls.message],
    }
    # Calls are answered one after the other, so that what is shown in the end is of the last one. None may be
    # left out, and none may be repeated later, as with "always_last", when another recording is there.
    each: dict[str, Any] = {"trigger_mode": "multiple", **shows}
    gr.on([recording.upload, recording.stop_recording], actions.show_recording, recording, **each)
    recording.clear(actions.show_nothing, None, **each)
    controls.start.click(actions.announce, None, job_outputs, **QUIET).then(**run)
    for button in controls.examples:
        taken = button.click(actions.take_example, button, [recording, controls.typed], **QUIET)
        taken.then(actions.show_recording, recording, **shows).then(
            actions.announce, None, job_outputs, **QUIET
        ).then(**run)
    controls.stop.click(actions.stop, None, [controls.stop], **QUIET)
    controls.cancel.click(actions.cancel, None, [controls.cancel], **QUIET)
