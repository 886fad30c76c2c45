#!/usr/bin/env python3
"""Draw the figures of docs/how-it-works.md from the recordings in examples/ (needs matplotlib).

    figures.py [NAME ...] [--out docs/images]

NAME is duet, components or loop. With none of them all are drawn.
"""

import argparse
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

import tagbox
from tagbox import audio
from tagbox.atomic_files import write_atomically
from tagbox.audio.stft import stft
from tagbox.evaluation.metrics import si_sdr
from tagbox.generators.quantisers import make_quantiser
from tagbox.methods.components import Components, decompose, mask_components
from tagbox.methods.gate_inference import infer_gates
from tagbox.methods.gates import Gates
from tagbox.methods.latents import LatentMask
from tagbox.methods.steerable import Estimate, Steerable
from tagbox.methods.steering import steer
from tagbox.models import load_generator
from tagbox.settings import Settings
from tagbox.tags.resolve import meaning, resolve

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[1]
RATE = 44_100
HIGHEST_HZ = 6000
LOOP_SECONDS, LOOP_STEPS = 3, 25
VIOLIN, OTHER = "#b5482a", "#3b6ea5"


def mono(piece: str, name: str, seconds: float | None = None) -> Tensor:
    """A recording of examples/, (samples,) at 44.1 kHz."""
    return audio.read(ROOT / "examples" / piece / f"{name}.flac", duration=seconds).samples.mean(dim=0)


def duet() -> Figure:
    """What the default makes of a duet, beside what was played."""
    mixture = mono("duet", "mixture")
    result = tagbox.separate(mixture, RATE, ["violin"])
    shown = {
        "the recording": mixture,
        "violin, as TagBox finds it": result.sources["violin"][0],
        "the rest": result.residual[0],
        "violin, as it was played": mono("duet", "violin"),
    }
    figure = Figure(figsize=(9, 5.2), layout="constrained", dpi=80)
    places = figure.subplots(2, 2, sharex=True, sharey=True)
    order = [places[0, 0], places[0, 1], places[1, 0], places[1, 1]]
    loudest = float(stft(mixture, 2048).abs().max())
    for ax, (title, track) in zip(order, shown.items(), strict=True):
        _spectrogram(ax, track, loudest)
        ax.set_title(title, fontsize=10)
    for ax in places[1]:
        ax.set_xlabel("s")
    for ax in places[:, 0]:
        ax.set_ylabel("kHz")
    return figure


def component_gates() -> Figure:
    """What the listener hears in each component of a factorisation, and whose the component is in truth."""
    mixture = mono("duet", "mixture")
    listener = tagbox.load_tagger("listener", "rendered")
    components = decompose(mixture, RATE, 16, 1, 2048, listener.rate, seed=0)
    heard = infer_gates(components.audio, [listener], [[list(meaning("violin", "rendered"))]], "repeat")[0]
    true = truly(components, mono("duet", "violin"), mono("duet", "piano"), heard.shape[0])
    energy = components.audio.square().sum(dim=1)
    order = energy.argsort(descending=True)
    figure = Figure(figsize=(9, 4.6), layout="constrained", dpi=80)
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 2], sharex=True)
    hz = torch.arange(components.dictionary.shape[0]) * RATE / 2048
    shapes = components.dictionary[hz <= HIGHEST_HZ][:, order]
    level = 20 * torch.log10(shapes / shapes.amax(dim=0) + 1e-4)
    places = (-0.5, 15.5, 0, HIGHEST_HZ / 1000)
    upper.imshow(
        level.numpy(),
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-60,
        vmax=0,
        extent=places,
        interpolation="nearest",
    )
    upper.set(ylabel="kHz", title="the shapes of sixteen components, the loudest first")
    at = torch.arange(16).numpy()
    lower.bar(
        at - 0.2, heard[order].numpy(), 0.4, color=VIOLIN, label="the gate: how much is heard as violin"
    )
    lower.bar(at + 0.2, true[order].numpy(), 0.4, color=OTHER, label="how much was the violin's")
    lower.set(ylim=(0, 1.3), yticks=[0, 0.5, 1], xticks=at, xlabel="component")
    lower.legend(loc="upper right", ncols=2, fontsize=9, frameon=False)
    return figure


class Watched:
    """A thing to steer, and what would have to be rendered at every step so far."""

    def __init__(self, inner: Steerable) -> None:
        self._inner = inner
        self.rate, self.mixture, self.parameters = inner.rate, inner.mixture, inner.parameters
        self.replayable = False  # what happens at a step is kept here
        self.snapshots: list[Tensor] = []

    def estimate(self) -> Estimate:
        """The inner one's."""
        found = self._inner.estimate()
        self.snapshots.append(found.snapshot.clone())
        return found

    def render(self, snapshot: Tensor, channels: Tensor) -> Tensor:
        """As the inner one does."""
        return self._inner.render(snapshot, channels)


def loop() -> Figure:
    """Free latents and gates, steered by one tagger and objective: what it hears, and what is separated."""
    mixture, violin = (mono("duet", name, seconds=LOOP_SECONDS) for name in ("mixture", "violin"))
    tagger, generator = tagbox.load_tagger("pons-musicnn", "mtat"), load_generator("embedded")
    word = resolve(["violin"], "mtat")[0]
    wanted = torch.nn.functional.one_hot(torch.tensor([word]), len(tagger.tags)).float()
    at_its_rate = audio.resample(mixture, RATE, generator.rate)
    quantise = make_quantiser("straight-through", generator, 0, 0)
    latents = LatentMask(generator, at_its_rate, 0, quantise, (512, 1024, 2048))
    gates = Gates(decompose(mixture, RATE, 16, 1, 2048, tagger.rate, seed=0), 1)
    figure = Figure(figsize=(9, 3.4), layout="constrained", dpi=80)
    heard, separated = figure.subplots(1, 2)
    for label, colour, thing, lr, rate in (
        ("free latents", OTHER, latents, 1.0, generator.rate),
        ("gates on components", VIOLIN, gates, 0.3, RATE),
    ):
        watched = Watched(thing)
        settings = Settings(objective="target-logits", steps=LOOP_STEPS, lr=lr)
        _, history = steer(watched, [tagger], [wanted], settings)
        probable = [float(step.probabilities[0][0, word]) for step in history.steps]
        heard.plot(probable, color=colour, label=label)
        mixed, true = (audio.resample(each, RATE, rate) for each in (mixture, violin))
        found = [watched.render(snapshot, mixed[None])[0] for snapshot in watched.snapshots]
        before = si_sdr(mixed[None], true[None])
        separated.plot([si_sdr(each, true[None]) - before for each in found], color=colour, label=label)
    heard.set(xlabel="step", ylim=(0, 1), title='how probable "violin" is to the tagger')
    separated.set(xlabel="step", title="SI-SDR improvement, dB")
    separated.axhline(0, color="#888888", linewidth=0.8)
    heard.legend(loc="lower right", fontsize=9, frameon=False)
    return figure


def truly(components: Components, source: Tensor, rest: Tensor, count: int) -> Tensor:
    """How much of each component's energy was the source's, by masking the stems: (components,)."""
    found = []
    for k in range(count):
        only = torch.zeros(1, count)
        only[0, k] = 1
        both = mask_components(components, only, torch.stack([source, rest]))[0]
        energies = both.square().sum(dim=1)
        found.append(energies[0] / energies.sum())
    return torch.stack(found)


def _spectrogram(ax: "Axes", track: Tensor, loudest: float) -> None:
    spectrum = stft(track, 2048).abs() / loudest
    shown = spectrum[: int(HIGHEST_HZ * 2048 / RATE)]
    level = 20 * torch.log10(shown + 1e-5)
    places = (0, track.shape[-1] / RATE, 0, HIGHEST_HZ / 1000)
    ax.imshow(level.numpy(), origin="lower", aspect="auto", cmap="magma", vmin=-70, vmax=0, extent=places)


FIGURES: dict[str, Callable[[], Figure]] = {"duet": duet, "components": component_gates, "loop": loop}


def main() -> None:
    """Draw what is asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images")
    asked = parser.parse_args()
    unknown = sorted(set(asked.names) - set(FIGURES))
    if unknown:
        parser.error(f"no figure is called {unknown[0]}; choose among {', '.join(FIGURES)}")
    for name in asked.names or FIGURES:
        figure = FIGURES[name]()
        FigureCanvasAgg(figure)
        with write_atomically(asked.out / f"how-it-works-{name}.png", force=True) as beside:
            drawn = BytesIO()
            figure.savefig(drawn, format="png")
            # A palette is a quarter of the size, and spectrograms have few colours.
            Image.open(drawn).convert("RGB").quantize(32, dither=Image.Dither.NONE).save(
                beside, "png", optimize=True
            )


if __name__ == "__main__":
    main()
