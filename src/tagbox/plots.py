"""Pictures of a separation: what was heard where, and how the tags moved."""

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
from tagbox.tags.vocabularies import TAGS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

N_FFT = 2048
FLOOR_DB = -80.0
HIGHEST_HZ = 10_000


def level_db(track: Tensor, reference: float) -> NDArray[np.float32]:
    """Spectrogram of `track` (channels, samples), dB below `reference`, at least `FLOOR_DB`."""
    magnitude = _magnitude(track).numpy()
    decibel: NDArray[np.float32] = 20 * np.log10(np.maximum(magnitude / reference, 10 ** (FLOOR_DB / 20)))
    return decibel


def save_separation(result: Separation, path: Path, force: bool = False) -> Path:
    """Draw spectrograms of the recording, each source and the residual, and the curves of loss and tags.

    There are curves where a loop took more than one step.

    Raises:
        TagBoxError: matplotlib is not installed, or `path` exists and `force` is not given.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise TagBoxError("plots need matplotlib; install it with: pip install 'tagbox[plot]'") from error

    mixture = result.residual + sum(result.sources.values())
    tracks = {"recording": mixture, **result.sources, "residual": result.residual}
    reference = float(_magnitude(mixture).max())
    curved = [run for run in result.runs if len(run.history.steps) > 1]
    panels = len(tracks) + bool(curved)
    figure = Figure(figsize=(10, 2.6 * panels), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(panels, 1, squeeze=False)[:, 0]
    pictures = axes[: len(tracks)]
    for ax, (name, track) in zip(pictures, tracks.items(), strict=True):
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
    pictures[-1].set_xlabel("s")
    figure.colorbar(image, ax=list(pictures), label="dB")
    if curved:
        curves(axes[-1], result, curved)
    with write_atomically(path, force) as beside:
        figure.savefig(beside, dpi=100, format="png")
    return path


def _magnitude(track: Tensor) -> Tensor:
    """Of the channels' mean, (bins, frames); a track shorter than a window is filled with silence."""
    mono = track.mean(dim=0)
    return stft(functional.pad(mono, (0, max(0, N_FFT - mono.shape[-1]))), N_FFT).abs()


def curves(ax: "Axes", result: Separation, runs: Sequence[Run]) -> None:
    """The wanted tags' probabilities at each step, and the loss on an axis of its own.

    Segments of a long recording share their source's colour.
    """
    names = [entry["name"] for entry in result.manifest["taggers"]]
    colours: dict[str, str] = {}
    for run in runs:
        for s, source in enumerate(run.sources):
            for t, name in enumerate(names):
                vocabulary = TAGS[name.partition("/")[0]]
                wanted = [vocabulary.index(tag) for tag in result.manifest["tags"][source][name]]
                curve = [float(step.probabilities[t][s, wanted].max()) for step in run.history.steps]
                about = f"{source}: {name}"
                known = about in colours
                colour = colours.setdefault(about, f"C{len(colours)}")
                ax.plot(curve, color=colour, label=None if known else about)
    ax.set(title="probability of the tags in the estimate", xlabel="step", ylim=(0, 1))
    ax.locator_params(axis="x", integer=True)
    ax.legend(loc="best", fontsize="small")
    loss = ax.twinx()
    for run in runs:
        loss.plot(run.history.losses, color="grey", linestyle=":")
    loss.set_ylabel("loss (dotted)")
