"""Names of the gallery's files, and how audio and spectrograms are written."""

import io
from collections.abc import Mapping
from pathlib import Path

import soundfile
from torch import Tensor

from scripts.gallery.examples import Example, Setup
from tagbox.atomic_files import write_atomically
from tagbox.plots import FLOOR_DB, HIGHEST_HZ, level_db

AUDIO, PICTURES, RUNS = "audio", "pictures", "runs"
PAGE = "index.html"
MP3_COMPRESSION = 0.5
"""libsndfile's compression level: at a constant bit rate and 44.1 kHz it gives 160 kbit/s."""
PALETTE_COLOURS = 96


def track_name(example: Example, setup: Setup | None, track: str) -> str:
    """Return the name of a track's files, without suffix; tracks of the recording itself have no setup."""
    if setup is None:
        return f"{example.recording}-{example.start:g}-{track}"
    return f"{example.name}-{setup.name}-{track}"


def audio_path(name: str) -> str:
    """Return the path of a player's file, relative to the gallery's folder."""
    return f"{AUDIO}/{name}.mp3"


def picture_path(name: str) -> str:
    """Return the path of a spectrogram, relative to the gallery's folder."""
    return f"{PICTURES}/{name}.png"


def run_path(example: Example, setup: Setup) -> str:
    """Return the path of the settings and figures of a run, relative to the gallery's folder."""
    return f"{RUNS}/{example.name}-{setup.name}.json"


def write_audio(track: Tensor, rate: int, path: Path, gain: float = 1.0) -> None:
    """Write `track` (channels, samples), multiplied by `gain`, as MP3, which every browser plays."""
    with write_atomically(path, force=True) as temporary:
        soundfile.write(
            str(temporary),
            (track * gain).T.numpy(),
            rate,
            format="MP3",
            subtype="MPEG_LAYER_III",
            bitrate_mode="CONSTANT",
            compression_level=MP3_COMPRESSION,
        )


def draw_spectrograms(tracks: Mapping[Path, Tensor], rate: int, mixture: Tensor) -> None:
    """Draw a spectrogram of each track (channels, samples); 0 dB is the highest level of `mixture`."""
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
        picture = io.BytesIO()
        figure.savefig(picture, dpi=110, format="png")
        # A palette halves the size of the file; one colour map needs no more colours.
        with write_atomically(path, force=True) as temporary:
            image = Image.open(picture).convert("RGB").quantize(PALETTE_COLOURS)
            image.save(temporary, format="PNG", optimize=True)
