"""The settings as controls of the page, and the values of these controls as a request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from tagbox import presets
from tagbox.methods import objectives
from tagbox.methods.registry import METHODS, find_method
from tagbox.presets import CHOICES, Settings
from tagbox.settings import DEVICES, MIN_OVERLAP_SECONDS, MIN_SEGMENT_SECONDS
from tagbox.ui.limits import Limits
from tagbox.ui.processing import JobRequest, setting_values
from tagbox.ui.result_files import FORMATS
from tagbox.weights import catalogue, store

MAX_STEPS = 10_000
MAX_LEARNING_RATE = 1000.0
MAX_COMPONENTS = 64
MAX_FACTORISATIONS = 64
MAX_SEGMENT_SECONDS = 60.0
MAX_OVERLAP_SECONDS = 15.0
FFT_SIZES = tuple(2**power for power in range(8, 14))
MULTIPLE = ("taggers", "fft", "without")
"""Settings with several values."""

ROWS = (
    ("taggers", "objective", "without"),
    ("steps", "lr", "patience", "seed"),
    ("steer", "components", "factorisations", "begin", "unheard"),
    ("generator", "level", "keep", "precision"),
    ("fft", "segment", "overlap"),
)
"""Names of the settings in each row of the accordion "Settings"."""

PUBLISHED_ROWS = (
    ("output", "combine", "mixture", "normalise"),
    ("padding", "quantiser", "vocabulary"),
)
"""Names of the settings in each row of the accordion "To reproduce the published code"."""

NOT_FOR_TRANSFER = (
    "steer",
    "components",
    "factorisations",
    "begin",
    "unheard",
    "fft",
    "combine",
    "output",
    "mixture",
    "normalise",
    "segment",
    "overlap",
)
"""Settings that have no effect without masks and segments."""


@dataclass(frozen=True)
class NumberControl:
    """A number within bounds."""

    label: str
    minimum: float
    maximum: float
    whole: bool = True

    def build(self, value: Any) -> gr.Number:
        """Create the control with `value` in it."""
        return gr.Number(
            value,
            label=self.label,
            minimum=self.minimum,
            maximum=self.maximum,
            precision=0 if self.whole else None,
            min_width=120,
        )


@dataclass(frozen=True)
class ChoiceControl:
    """One or several of a few values; each choice is a value, or a text to show and a value.

    Where it is open, other values can be typed.
    """

    label: str
    choices: Sequence[Any]
    multiple: bool = False
    searchable: bool = False
    is_open: bool = False

    def build(self, value: Any) -> gr.Dropdown:
        """Create the control with `value` chosen."""
        return gr.Dropdown(
            list(self.choices),
            value=value,
            label=self.label,
            multiselect=self.multiple,
            filterable=self.searchable or self.is_open,
            allow_custom_value=self.is_open,
            min_width=260 if self.multiple else 140,
        )


@dataclass(frozen=True)
class SwitchControl:
    """A setting that is on or off."""

    label: str

    def build(self, value: Any) -> gr.Checkbox:
        """Create the control with `value` in it."""
        return gr.Checkbox(value, label=self.label, min_width=220)


@dataclass(frozen=True)
class Form:
    """The controls of a tab.

    Attributes:
        preset: the preset to start from.
        settings: for each setting, by field name, its control.
        start: of the excerpt, seconds.
        duration: of the excerpt, seconds; 0 takes all.
        device: on which to compute.
        format: a key of `FORMATS`.
        generators: for each generator, by the name shown, the value of `Settings.generator`.
    """

    preset: gr.Dropdown
    settings: Mapping[str, Any]
    start: gr.Number
    duration: gr.Number
    device: gr.Dropdown
    format: gr.Dropdown
    generators: Mapping[str, str]

    @property
    def controls(self) -> list[Any]:
        """All controls, in the order in which `request` takes their values."""
        return [self.preset, *self.settings.values(), self.start, self.duration, self.device, self.format]

    def request(self, path: Path, queries: Sequence[str], values: Sequence[Any]) -> JobRequest:
        """Return a request for `path`; `values` are those of `controls`, where empty means the preset's."""
        preset, *rest = values
        given = dict(zip(self.settings, rest[: len(self.settings)], strict=True))
        start, duration, device, format = rest[len(self.settings) :]
        overrides = {name: value for name, value in given.items() if value not in (None, [], "")}
        for name in MULTIPLE:
            if name in overrides:
                overrides[name] = tuple(overrides[name])
        if "generator" in overrides:
            overrides["generator"] = self.generators[overrides["generator"]]
        return JobRequest(
            path, tuple(queries), preset, overrides, device, start or 0.0, duration or None, format
        )

    def preset_values(self, name: str) -> list[Any]:
        """Return the values that the preset `name` gives to the controls in `settings`, in their order."""
        values = _control_values(presets.find(name).settings)
        return [values[field] for field in self.settings]


def build_form(
    identifier: str, shown_presets: Sequence[str], limits: Limits, generators: Mapping[str, str]
) -> Form:
    """Lay out the presets and, in two closed accordions, all settings; choosing a preset fills them in.

    Args:
        identifier: of the accordion of settings in the page; the other's ends in "-published".
        shown_presets: names of the presets, the one chosen at first first.
        limits: of start and duration.
        generators: for each generator, by the name shown, the value of `Settings.generator`.
    """
    first = presets.find(shown_presets[0])
    choices = [(f"{name}: {presets.find(name).help}", name) for name in shown_presets]
    preset = gr.Dropdown(choices, value=first.name, label="Preset", filterable=False)
    separates = not all(
        find_method(presets.find(name).settings.steer).needs_generator for name in shown_presets
    )
    hidden = () if separates else NOT_FOR_TRANSFER
    with gr.Accordion("Settings", open=False, elem_id=identifier):
        with gr.Row():
            start = gr.Number(0, label="Start (s)", minimum=0, maximum=limits.seconds, min_width=120)
            duration = gr.Number(
                0, label="Duration (s; 0: all)", minimum=0, maximum=limits.seconds, min_width=120
            )
            format = gr.Dropdown(list(FORMATS), label="File format", min_width=120, filterable=False)
            device = gr.Dropdown(_available_devices(), label="Device", min_width=120, filterable=False)
        settings = _build_rows(ROWS, first.settings, generators, hidden)
    with gr.Accordion("To reproduce the published code", open=False, elem_id=f"{identifier}-published"):
        settings |= _build_rows(PUBLISHED_ROWS, first.settings, generators, hidden)
    form = Form(preset, settings, start, duration, device, format, generators)
    preset.change(
        form.preset_values,
        preset,
        list(settings.values()),
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    return form


def _build_rows(
    rows: Sequence[Sequence[str]], settings: Settings, generators: Mapping[str, str], hidden: Sequence[str]
) -> dict[str, Any]:
    """Create the controls of `rows`, except those of `hidden` settings, by field name."""
    specifications = _setting_controls(generators)
    values = _control_values(settings)
    controls: dict[str, Any] = {}
    for row in rows:
        shown = [name for name in row if name not in hidden]
        if shown:
            with gr.Row():
                controls |= {name: specifications[name].build(values[name]) for name in shown}
    return controls


def _setting_controls(
    generators: Mapping[str, str],
) -> dict[str, NumberControl | ChoiceControl | SwitchControl]:
    """Return the control of each field of `Settings`."""
    losses = [(f"{each.name}: {each.help}", each.name) for each in objectives.OBJECTIVES.values()]
    return {
        "taggers": ChoiceControl("Taggers", _tagger_choices(), multiple=True, searchable=True),
        "objective": ChoiceControl("Objective: the loss to minimise", losses),
        "without": ChoiceControl("Without: what no source may hold", (), multiple=True, is_open=True),
        "steps": NumberControl("Steps", 1, MAX_STEPS),
        "lr": NumberControl("Learning rate", 1e-6, MAX_LEARNING_RATE, whole=False),
        "patience": NumberControl("Patience (0: off)", 0, MAX_STEPS),
        "seed": NumberControl("Seed", 0, 2**31 - 1),
        "steer": ChoiceControl("Method", list(METHODS)),
        "components": NumberControl("Components", 1, MAX_COMPONENTS),
        "factorisations": NumberControl("Factorisations", 1, MAX_FACTORISATIONS),
        "begin": ChoiceControl("Initial gates", CHOICES["begin"]),
        "unheard": ChoiceControl("Sources that are not heard", CHOICES["unheard"]),
        "generator": ChoiceControl("Generator", list(generators)),
        "level": NumberControl("Its level (0: finest)", 0, 2),
        "keep": ChoiceControl("Step to keep", CHOICES["keep"]),
        "precision": ChoiceControl("Precision", CHOICES["precision"]),
        "fft": ChoiceControl("FFT sizes", FFT_SIZES, multiple=True),
        "segment": NumberControl("Segment length (s)", MIN_SEGMENT_SECONDS, MAX_SEGMENT_SECONDS, False),
        "overlap": NumberControl("Segment overlap (s)", MIN_OVERLAP_SECONDS, MAX_OVERLAP_SECONDS, False),
        "output": ChoiceControl("Source", CHOICES["output"]),
        "combine": ChoiceControl("Combine FFT sizes", CHOICES["combine"]),
        "mixture": ChoiceControl("Masked signal", CHOICES["mixture"]),
        "normalise": SwitchControl("Normalise to a peak of 1"),
        "padding": ChoiceControl("Padding of windows", CHOICES["padding"]),
        "quantiser": ChoiceControl("Quantiser", CHOICES["quantiser"]),
        "vocabulary": ChoiceControl("Order of tags", CHOICES["vocabulary"]),
    }


def _control_values(settings: Settings) -> dict[str, Any]:
    """Return the settings by field name, as controls take them: several values are a list."""
    return {
        name: list(value) if name in MULTIPLE else value for name, value in setting_values(settings).items()
    }


def _tagger_choices() -> list[tuple[str, str]]:
    """Return every tagger with the text to show, those whose weights are on this machine first."""
    models = catalogue.taggers()
    local = {model.identifier for model in models if store.is_here(model)}
    ordered = sorted((model.identifier for model in models), key=lambda name: name not in local)
    return [(name if name in local else f"{name} (not downloaded)", name) for name in ordered]


def _available_devices() -> list[str]:
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [name for name in DEVICES if available.get(name, True)]
