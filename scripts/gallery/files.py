"""Where the gallery's files lie, and how audio and pictures become files of it."""

import io
from collections.abc import Mapping
from pathlib import Path

import soundfile
from torch import Tensor

from scripts.gallery.examples import Example, Setup
from tagbox.atomic_files import write_atomically
from tagbox.plots import FLOOR_DB, HIGHEST_HZ, level_db

AUDIO, PICTURES, RUNS = "audio", "pictures", "runs"
# Of libsndfile's MP3 at a constant rate: 160 kbit/s at 44.1 kHz. Every browser plays MP3.
COMPRESSION = 0.5
COLOURS = 96


def stem(example: Example, setup: Setup | None, track: str) -> str:
    """What a track's files are called, without their ending; a recording's own tracks have no setup."""
    if setup is None:
        return f"{example.recording}-{example.start:g}-{track}"
    return f"{example.name}-{setup.name}-{track}"


def audio_of(name: str) -> str:
    """The player's file, below the gallery's folder."""
    return f"{AUDIO}/{name}.mp3"


def picture_of(name: str) -> str:
    """The spectrogram's file, below the gallery's folder."""
    return f"{PICTURES}/{name}.png"


def run_of(example: Example, setup: Setup) -> str:
    """The file that says how a result was made and what was measured, below the gallery's folder."""
    return f"{RUNS}/{example.name}-{setup.name}.json"


def write_audio(track: Tensor, rate: int, path: Path, gain: float = 1.0) -> None:
    """Write `track` (channels, samples) as MP3."""
    with write_atomically(path, force=True) as beside:
        soundfile.write(
            str(beside),
            (track * gain).T.numpy(),
            rate,
            format="MP3",
            subtype="MPEG_LAYER_III",
            bitrate_mode="CONSTANT",
            compression_level=COMPRESSION,
        )


def draw(tracks: Mapping[Path, Tensor], rate: int, mixture: Tensor) -> None:
    """A spectrogram for each track (channels, samples), all against the loudest point of `mixture`."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from PIL import Image

    reference = 10 ** (float(level_db(mixture, 1.0).max()) / 20)
    for path, track in tracks.items():
        figure = Figure(figsize=(4.2, 2.1), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        axes.imshow(
            level_db(track, reference),
            origin="lower",
            aspect="auto",
            cmap="magma",
            vmin=FLOOR_DB,
            vmax=0,
            extent=(0, track.shape[-1] / rate, 0, rate / 2000),
        )
        axes.set(xlabel="s", ylabel="kHz", ylim=(0, min(rate / 2, HIGHEST_HZ) / 1000))
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=110, format="png")
        # A palette halves the file, and the colours are those of one scale anyway.
        with write_atomically(path, force=True) as beside:
            Image.open(drawn).convert("RGB").quantize(COLOURS).save(beside, format="PNG", optimize=True)
