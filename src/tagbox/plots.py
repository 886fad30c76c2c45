"""Pictures of a separation: what was heard where, and how the tags moved."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from tagbox.errors import TagBoxError
from tagbox.files import whole
from tagbox.masks import stft
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
    figure = Figure(figsize=(10, 2.6 * (len(tracks) + 1)), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(tracks) + 1, 1, squeeze=False)[:, 0]
    for ax, (name, track) in zip(axes[:-1], tracks.items(), strict=True):
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
    axes[-2].set_xlabel("s")
    figure.colorbar(image, ax=list(axes[:-1]), label="dB")
    _curves(axes[-1], result)
    with whole(path, force) as beside:
        figure.savefig(beside, dpi=100, format="png")
    return path


def _magnitude(track: Tensor) -> Tensor:
    """Of the channels' mean, (bins, frames); a track shorter than a window is filled with silence."""
    mono = track.mean(dim=0)
    return stft(functional.pad(mono, (0, max(0, N_FFT - mono.shape[-1]))), N_FFT).abs()


def _curves(ax: "Axes", result: Separation) -> None:
    """The wanted tags' probabilities at each step, and the loss on an axis of its own."""
    names = [entry["name"] for entry in result.manifest["taggers"]]
    for run in result.runs:
        for s, source in enumerate(run.sources):
            for t, name in enumerate(names):
                vocabulary = TAGS[name.partition("/")[0]]
                wanted = [vocabulary.index(tag) for tag in result.manifest["tags"][source][name]]
                curve = [float(step.probabilities[t][s, wanted].max()) for step in run.history.steps]
                ax.plot(curve, label=f"{source}: {name}")
    ax.set(title="probability of the tags in the estimate", xlabel="step", ylim=(0, 1))
    ax.legend(loc="upper left", fontsize="small")
    loss = ax.twinx()
    for run in result.runs:
        loss.plot(run.history.losses, color="grey", linestyle=":", label="loss")
    loss.set_ylabel("loss (dotted)")
