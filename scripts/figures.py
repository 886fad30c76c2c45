#!/usr/bin/env python3
"""Draw the figures of docs/how-it-works.md from the recordings in examples/ (needs matplotlib).

    figures.py [NAME ...] [--out docs/images]

NAME is duet, components or loop; all are drawn if none is given.
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
MAX_FREQUENCY_HZ = 6000
N_FFT = 2048
COMPONENTS = 16
LOOP_SECONDS, LOOP_STEPS = 3, 25
VIOLIN_COLOUR, OTHER_COLOUR = "#b5482a", "#3b6ea5"


def read_mono(example: str, name: str, seconds: float | None = None) -> Tensor:
    """Read a recording of examples/, (samples,) at 44.1 kHz."""
    return audio.read(ROOT / "examples" / example / f"{name}.flac", duration=seconds).samples.mean(dim=0)


def plot_duet() -> Figure:
    """Plot the default's estimates for a duet beside the true sources."""
    mixture = read_mono("duet", "mixture")
    result = tagbox.separate(mixture, RATE, ["violin"])
    shown = {
        "the recording": mixture,
        "violin, as TagBox finds it": result.sources["violin"][0],
        "the rest": result.residual[0],
        "violin, as it was played": read_mono("duet", "violin"),
    }
    figure = Figure(figsize=(9, 5.2), layout="constrained", dpi=80)
    places = figure.subplots(2, 2, sharex=True, sharey=True)
    order = [places[0, 0], places[0, 1], places[1, 0], places[1, 1]]
    loudest = float(stft(mixture, N_FFT).abs().max())
    for ax, (title, track) in zip(order, shown.items(), strict=True):
        _draw_spectrogram(ax, track, loudest)
        ax.set_title(title, fontsize=10)
    for ax in places[1]:
        ax.set_xlabel("s")
    for ax in places[:, 0]:
        ax.set_ylabel("kHz")
    return figure


def plot_components() -> Figure:
    """Plot the components of a factorisation, the gates inferred for them, and the true gates."""
    mixture = read_mono("duet", "mixture")
    listener = tagbox.load_tagger("listener", "rendered")
    components = decompose(mixture, RATE, COMPONENTS, 1, N_FFT, listener.rate, seed=0)
    gates = infer_gates(components.audio, [listener], [[list(meaning("violin", "rendered"))]], "repeat")[0]
    true_gates = compute_true_gates(
        components, read_mono("duet", "violin"), read_mono("duet", "piano"), gates.shape[0]
    )
    energy = components.audio.square().sum(dim=1)
    order = energy.argsort(descending=True)
    figure = Figure(figsize=(9, 4.6), layout="constrained", dpi=80)
    upper, lower = figure.subplots(2, 1, height_ratios=[3, 2], sharex=True)
    hz = torch.arange(components.dictionary.shape[0]) * RATE / N_FFT
    shapes = components.dictionary[hz <= MAX_FREQUENCY_HZ][:, order]
    level = 20 * torch.log10(shapes / shapes.amax(dim=0) + 1e-4)
    extent = (-0.5, COMPONENTS - 0.5, 0, MAX_FREQUENCY_HZ / 1000)
    upper.imshow(
        level.numpy(),
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=-60,
        vmax=0,
        extent=extent,
        interpolation="nearest",
    )
    upper.set(ylabel="kHz", title="the shapes of sixteen components, the loudest first")
    at = torch.arange(COMPONENTS).numpy()
    lower.bar(
        at - 0.2,
        gates[order].numpy(),
        0.4,
        color=VIOLIN_COLOUR,
        label="the gate: how much is heard as violin",
    )
    lower.bar(at + 0.2, true_gates[order].numpy(), 0.4, color=OTHER_COLOUR, label="how much was the violin's")
    lower.set(ylim=(0, 1.3), yticks=[0, 0.5, 1], xticks=at, xlabel="component")
    lower.legend(loc="upper right", ncols=2, fontsize=9, frameon=False)
    return figure


class RecordedSteerable:
    """A steerable that keeps the snapshot of every step."""

    def __init__(self, inner: Steerable) -> None:
        self._inner = inner
        self.rate, self.mixture, self.parameters = inner.rate, inner.mixture, inner.parameters
        # A replayed step would not call `estimate`.
        self.replayable = False
        self.snapshots: list[Tensor] = []

    def estimate(self) -> Estimate:
        """Return the estimate, and keep its snapshot."""
        estimate = self._inner.estimate()
        self.snapshots.append(estimate.snapshot.clone())
        return estimate

    def render(self, snapshot: Tensor, channels: Tensor) -> Tensor:
        """Render a snapshot."""
        return self._inner.render(snapshot, channels)


def plot_loop() -> Figure:
    """Plot the predicted probability and the SI-SDR at every step, for steered latents and steered gates."""
    mixture, violin = (read_mono("duet", name, seconds=LOOP_SECONDS) for name in ("mixture", "violin"))
    tagger, generator = tagbox.load_tagger("pons-musicnn", "mtat"), load_generator("embedded")
    tag = resolve(["violin"], "mtat")[0]
    target = torch.nn.functional.one_hot(torch.tensor([tag]), len(tagger.tags)).float()
    at_its_rate = audio.resample(mixture, RATE, generator.rate)
    quantise = make_quantiser("straight-through", generator, 0, 0)
    latents = LatentMask(generator, at_its_rate, 0, quantise, (512, 1024, 2048))
    gates = Gates(decompose(mixture, RATE, COMPONENTS, 1, N_FFT, tagger.rate, seed=0), 1)
    figure = Figure(figsize=(9, 3.4), layout="constrained", dpi=80)
    left, right = figure.subplots(1, 2)
    for label, colour, steerable, lr, rate in (
        ("free latents", OTHER_COLOUR, latents, 1.0, generator.rate),
        ("gates on components", VIOLIN_COLOUR, gates, 0.3, RATE),
    ):
        recorded = RecordedSteerable(steerable)
        settings = Settings(objective="target-logits", steps=LOOP_STEPS, lr=lr)
        _, history = steer(recorded, [tagger], [target], settings)
        probabilities = [float(step.probabilities[0][0, tag]) for step in history.steps]
        left.plot(probabilities, color=colour, label=label)
        mixed, true = (audio.resample(each, RATE, rate) for each in (mixture, violin))
        estimates = [recorded.render(snapshot, mixed[None])[0] for snapshot in recorded.snapshots]
        before = si_sdr(mixed[None], true[None])
        right.plot([si_sdr(each, true[None]) - before for each in estimates], color=colour, label=label)
    left.set(xlabel="step", ylim=(0, 1), title='how probable "violin" is to the tagger')
    right.set(xlabel="step", title="SI-SDR improvement, dB")
    right.axhline(0, color="#888888", linewidth=0.8)
    left.legend(loc="lower right", fontsize=9, frameon=False)
    return figure


def compute_true_gates(components: Components, source: Tensor, rest: Tensor, count: int) -> Tensor:
    """Compute the source's share of each component's energy by masking the stems, (components,)."""
    shares = []
    for k in range(count):
        gate = torch.zeros(1, count)
        gate[0, k] = 1
        masked = mask_components(components, gate, torch.stack([source, rest]))[0]
        energies = masked.square().sum(dim=1)
        shares.append(energies[0] / energies.sum())
    return torch.stack(shares)


def _draw_spectrogram(ax: "Axes", track: Tensor, loudest: float) -> None:
    spectrum = stft(track, N_FFT).abs() / loudest
    shown = spectrum[: int(MAX_FREQUENCY_HZ * N_FFT / RATE)]
    level = 20 * torch.log10(shown + 1e-5)
    extent = (0, track.shape[-1] / RATE, 0, MAX_FREQUENCY_HZ / 1000)
    ax.imshow(level.numpy(), origin="lower", aspect="auto", cmap="magma", vmin=-70, vmax=0, extent=extent)


FIGURES: dict[str, Callable[[], Figure]] = {
    "duet": plot_duet,
    "components": plot_components,
    "loop": plot_loop,
}


def main() -> None:
    """Draw the figures that are asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--out", type=Path, default=ROOT / "docs/images")
    args = parser.parse_args()
    unknown = sorted(set(args.names) - set(FIGURES))
    if unknown:
        parser.error(f"no figure is called {unknown[0]}; choose among {', '.join(FIGURES)}")
    for name in args.names or FIGURES:
        figure = FIGURES[name]()
        FigureCanvasAgg(figure)
        with write_atomically(args.out / f"how-it-works-{name}.png", force=True) as temporary:
            png = BytesIO()
            figure.savefig(png, format="png")
            # A palette is a quarter of the size, and spectrograms have few colours.
            Image.open(png).convert("RGB").quantize(32, dither=Image.Dither.NONE).save(
                temporary, "png", optimize=True
            )


if __name__ == "__main__":
    main()
