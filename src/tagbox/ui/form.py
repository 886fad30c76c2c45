"""Every setting as a control of the page, bounded, and the values of the controls as settings again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr
import torch

from tagbox import presets
from tagbox.methods import objectives
from tagbox.methods.registry import METHODS
from tagbox.presets import CHOICES, Settings
from tagbox.settings import DEVICES, MIN_OVERLAP_SECONDS, MIN_SEGMENT_SECONDS
from tagbox.ui.limits import Limits
from tagbox.ui.tasks import FORMATS, Request, fields_of
from tagbox.weights import catalogue, store

MOST_STEPS = 1000
MOST_COMPONENTS = 64
LONGEST_SEGMENT = 60.0
FFT_SIZES = [2**power for power in range(8, 14)]
GENERATOR_ONLY = ("generator", "level", "quantiser")
MASK_ONLY = ("steer", "output", "fft", "combine", "components", "mixture", "normalise", "segment", "overlap")


@dataclass(frozen=True)
class Form:
    """The controls of a tab: the preset's, each setting's by name, and what belongs to the request alone."""

    preset: gr.Dropdown
    settings: Mapping[str, Any]
    start: gr.Number
    duration: gr.Number
    device: gr.Dropdown
    format: gr.Dropdown
    generators: Mapping[str, str]

    @property
    def controls(self) -> list[Any]:
        """All of them, in the order in which `request` takes their values."""
        return [self.preset, *self.settings.values(), self.start, self.duration, self.device, self.format]

    def request(self, path: Path, words: Sequence[str], values: Sequence[Any]) -> Request:
        """What is asked for; `values` are those of `controls`. What is empty is the preset's."""
        preset, *rest = values
        given = dict(zip(self.settings, rest[: len(self.settings)], strict=True))
        start, duration, device, format = rest[len(self.settings) :]
        overrides = {name: value for name, value in given.items() if value not in (None, [], "")}
        for name in ("taggers", "fft"):
            if name in overrides:
                overrides[name] = tuple(overrides[name])
        if "generator" in overrides:
            overrides["generator"] = self.generators[overrides["generator"]]
        return Request(path, tuple(words), preset, overrides, device, start or 0.0, duration or None, format)


def build(
    identifier: str, presets_shown: Sequence[str], limits: Limits, generators: Mapping[str, str]
) -> Form:
    """Lay out the preset's control, and folded away all others; choosing a preset fills them in.

    Args:
        identifier: of what is folded away, in the page.
        presets_shown: the first one is chosen.
        limits: of start and duration.
        generators: by the name that is shown, what `Settings.generator` is to be.
    """
    first = presets.find(presets_shown[0])
    about = [(f"{name}: {presets.find(name).help}", name) for name in presets_shown]
    preset = gr.Dropdown(about, value=first.name, label="Preset", filterable=False)
    with gr.Accordion("Every setting", open=False, elem_id=identifier):
        with gr.Row():
            start = gr.Number(0, label="Start (s)", minimum=0, maximum=limits.seconds, min_width=120)
            duration = gr.Number(
                0, label="Duration (s; 0: all)", minimum=0, maximum=limits.seconds, min_width=120
            )
            format = gr.Dropdown(list(FORMATS), label="Files", min_width=120, filterable=False)
            device = gr.Dropdown(_devices(), label="Device", min_width=120, filterable=False)
        masks = any(presets.find(name).settings.steer == "gates" for name in presets_shown)
        controls = _controls(first.settings, generators, masks)
    form = Form(preset, controls, start, duration, device, format, generators)
    preset.change(
        lambda name: _values(presets.find(name).settings, list(controls)),
        preset,
        list(controls.values()),
        queue=False,
        show_progress="hidden",
        api_visibility="private",
    )
    return form


def _controls(settings: Settings, generators: Mapping[str, str], masks: bool) -> dict[str, Any]:
    """A control for each field of `Settings` that has a meaning here, in rows."""
    values = {**fields_of(settings), "taggers": list(settings.taggers), "fft": list(settings.fft)}

    def choice(name: str, label: str, choices: Sequence[Any], **more: Any) -> Any:
        shown = {"filterable": False, "min_width": 140, **more}
        return gr.Dropdown(list(choices), value=values[name], label=label, **shown)

    def number(name: str, label: str, low: float, high: float, whole: bool = True) -> Any:
        return gr.Number(
            values[name],
            label=label,
            minimum=low,
            maximum=high,
            precision=0 if whole else None,
            min_width=120,
        )

    made: dict[str, Any] = {}
    with gr.Row():
        made["taggers"] = choice(
            "taggers", "Taggers that listen", _taggers(), multiselect=True, filterable=True, min_width=260
        )
        made["objective"] = choice(
            "objective",
            "Objective",
            [(f"{o.name}: {o.help}", o.name) for o in objectives.OBJECTIVES.values()],
        )
    with gr.Row():
        made["steps"] = number("steps", "Steps", 1, MOST_STEPS)
        made["lr"] = number("lr", "Rate (lr)", 1e-6, 1000, whole=False)
        made["patience"] = number("patience", "Patience (0: none)", 0, MOST_STEPS)
        made["seed"] = number("seed", "Seed", 0, 2**31 - 1)
    with gr.Row():
        made["keep"] = choice("keep", "Result of the step", CHOICES["keep"])
        made["padding"] = choice("padding", "Windows filled up by", CHOICES["padding"])
        made["precision"] = choice("precision", "Numbers", CHOICES["precision"])
        made["vocabulary"] = choice("vocabulary", "Order of tags", CHOICES["vocabulary"])
    with gr.Row():
        if masks:
            made["steer"] = choice("steer", "What moves", list(METHODS))
            made["components"] = number("components", "Components", 1, MOST_COMPONENTS)
        made["generator"] = choice("generator", "Generator", list(generators))
        made["level"] = number("level", "Its level (0: finest)", 0, 2)
        made["quantiser"] = choice("quantiser", "Quantiser", CHOICES["quantiser"])
    if not masks:
        return made
    with gr.Row():
        made["fft"] = choice("fft", "FFT sizes", FFT_SIZES, multiselect=True, min_width=260)
        made["combine"] = choice("combine", "FFT sizes in the result", CHOICES["combine"])
        made["output"] = choice("output", "The source is", CHOICES["output"])
    with gr.Row():
        made["mixture"] = choice("mixture", "What is masked", CHOICES["mixture"])
        made["normalise"] = gr.Checkbox(settings.normalise, label="Bring to a peak of 1 first", min_width=220)
        made["segment"] = number("segment", "Segments (s)", MIN_SEGMENT_SECONDS, LONGEST_SEGMENT, False)
        made["overlap"] = number("overlap", "Their overlap (s)", MIN_OVERLAP_SECONDS, 15, False)
    rest = [name for name in values if name not in made]
    if rest:
        with gr.Row():
            # A setting that the rows above do not know yet has a control as well, by its name.
            made |= {name: _plain(name, values[name]) for name in rest}
    return made


def _plain(name: str, value: Any) -> Any:
    if name in CHOICES:
        return gr.Dropdown(list(CHOICES[name]), value=value, label=name, filterable=False, min_width=140)
    if isinstance(value, bool):
        return gr.Checkbox(value, label=name, min_width=140)
    if isinstance(value, int | float):
        return gr.Number(value, label=name, precision=0 if isinstance(value, int) else None, min_width=120)
    return gr.Textbox(value, label=name, min_width=140)


def _values(settings: Settings, names: Sequence[str]) -> list[Any]:
    found = {**fields_of(settings), "taggers": list(settings.taggers), "fft": list(settings.fft)}
    return [found[name] for name in names]


def _taggers() -> list[tuple[str, str]]:
    """Every tagger, those at hand first; the others say so."""
    models = [model for model in catalogue.MODELS if model.kind == "tagger"]
    here = {model.identifier for model in models if store.state(model) in ("inside", "cached")}
    ordered = sorted((model.identifier for model in models), key=lambda name: name not in here)
    return [(name if name in here else f"{name} (not here yet)", name) for name in ordered]


def _devices() -> list[str]:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    return [name for name in DEVICES if there.get(name, True)]
