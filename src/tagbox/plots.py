"""Plot a separation: spectrograms of its tracks, and the curves of loss and probabilities."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tagbox.atomic_files import write_atomically
from tagbox.audio.stft import stft
from tagbox.errors import TagBoxError
from tagbox.methods.steering import Run
from tagbox.results import Separation
from tagbox.taggers.names import TaggerName
from tagbox.tags.vocabularies import TAGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FFT_SIZE = 2048
FLOOR_DB = -80.0
HIGHEST_HZ = 10_000


def level_db(track: Tensor, reference: float) -> NDArray[np.float32]:
    """Compute a spectrogram of `track` (channels, samples) in dB.

    Args:
        track: its channels are averaged.
        reference: magnitude of 0 dB.

    Returns:
        (bins, frames), at least `FLOOR_DB`.
    """
    magnitude = _magnitude(track).numpy()
    decibel: NDArray[np.float32] = 20 * np.log10(np.maximum(magnitude / reference, 10 ** (FLOOR_DB / 20)))
    return decibel


def save_separation(result: Separation, path: Path, force: bool = False) -> Path:
    """Plot spectrograms of the recording, each source and the residual, and curves of loss and probabilities.

    Curves are plotted where a run took more than one step.

    Raises:
        TagBoxError: matplotlib is not installed.
        OutputExistsError: `path` exists and `force` is not given.
        UnwritableOutputError: the folder cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TagBoxError("plots need matplotlib; install it with: pip install 'tagbox[plot]'") from error

    mixture = result.residual + sum(result.sources.values())
    tracks = {"recording": mixture, **result.sources, "residual": result.residual}
    reference = float(_magnitude(mixture).max())
    steered = [run for run in result.runs if len(run.history.steps) > 1]
    panels = len(tracks) + bool(steered)
    figure = Figure(figsize=(10, 2.6 * panels), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, squeeze=False)[:, 0]
    spectrograms = axes[: len(tracks)]
    for ax, (name, track) in zip(spectrograms, tracks.items(), strict=True):
        image = ax.imshow(
            level_db(track, reference),
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=FLOOR_DB,
            vmax=0,
            extent=(0, track.shape[-1] / result.rate, 0, result.rate / 2000),
        )
        ax.set(title=name, ylabel="kHz", ylim=(0, min(result.rate / 2, HIGHEST_HZ) / 1000))
    spectrograms[-1].set_xlabel("s")
    figure.colorbar(image, ax=list(spectrograms), label="dB")
    if steered:
        draw_curves(axes[-1], result, steered)
    with write_atomically(path, force) as temporary:
        figure.savefig(temporary, dpi=100, format="png")
    return path


def draw_curves(ax: "Axes", result: Separation, runs: Sequence[Run]) -> None:
    """Draw the probability of each source's tags at each step, and the loss on an axis of its own.

    Where a source has several tags, the most probable is drawn. The segments of a long recording share their
    source's colour.
    """
    taggers = {entry["name"]: entry for entry in result.manifest["taggers"]}
    colours: dict[str, str] = {}
    for run in runs:
        for s, source in enumerate(run.sources):
            for t, (tagger, entry) in enumerate(taggers.items()):
                vocabulary = entry.get("words") or TAGS[entry.get("data") or TaggerName.parse(tagger).data]
                targets = [vocabulary.index(tag) for tag in result.manifest["tags"][source][tagger]]
                curve = [float(step.probabilities[t][s, targets].max()) for step in run.history.steps]
                label = f"{source}: {tagger}"
                is_new = label not in colours
                colour = colours.setdefault(label, f"C{len(colours)}")
                ax.plot(curve, color=colour, label=label if is_new else None)
    ax.set(title="probability of the tags in the estimate", xlabel="step", ylim=(0, 1))
    ax.locator_params(axis="x", integer=True)
    ax.legend(loc="best", fontsize="small")
    loss_axis = ax.twinx()
    for run in runs:
        loss_axis.plot(run.history.losses, color="grey", linestyle=":")
    loss_axis.set_ylabel("loss (dotted)")


def _magnitude(track: Tensor) -> Tensor:
    """Compute the magnitude spectrogram of the channels' mean, (bins, frames); short tracks are padded."""
    mono = track.mean(dim=0)
    return stft(functional.pad(mono, (0, max(0, FFT_SIZE - mono.shape[-1]))), FFT_SIZE).abs()
