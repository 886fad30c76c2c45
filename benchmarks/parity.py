"""Measure how far the taggers' outputs are from those of the published implementation.

    python -m benchmarks.parity [--shared FOLDER]

FOLDER holds published outputs and weights (`shared/` beside the checkout unless given). Prints the parity
table of docs/taggers.md; tests compare the same figures with tolerances.
"""

import argparse
import json
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.golden import SHARED, recipe_weights, signal
from tagbox.taggers import registry
from tagbox.taggers.frontends import HarmonicSpectrogram, LogMel, power_spectrogram
from tagbox.taggers.tagger import Tagger

RATE = 16000
NAMES = ("fcn", "musicnn", "crnn", "sample", "se", "short", "short_res", "attention", "hcnn")
PUBLISHED_WEIGHTS = (
    ("mtat", "fcn"),
    ("mtat", "musicnn"),
    ("mtat", "crnn"),
    ("jamendo", "fcn"),
    ("jamendo", "musicnn"),
    ("jamendo", "crnn"),
    ("msd", "fcn"),
    ("msd", "crnn"),
)


def recipe_state(name: str, data: str = "mtat") -> dict[str, Tensor]:
    """Return a whole checkpoint of recipe weights, with the entries that are not drawn."""
    shapes = registry.expected_shapes(name, data)
    state = recipe_weights(shapes)
    frontend = registry.ARCHITECTURES[name].frontend
    for key, shape in shapes.items():
        if key.endswith("window"):
            state[key] = torch.hann_window(*shape)
        elif isinstance(frontend, LogMel) and key.endswith("mel_scale.fb"):
            state[key] = frontend.matrix().T.clone()
        elif key.endswith("bw_Q"):
            state[key] = torch.ones(shape)
        elif key.endswith("num_batches_tracked"):
            state[key] = torch.zeros(shape, dtype=torch.int64)
    return state


def recipe_tagger(name: str, data: str = "mtat") -> Tagger:
    """Return a tagger with recipe weights."""
    return registry.from_state_dict(name, data, recipe_state(name, data), "recipe")


def published_tagger(shared: Path, data: str, name: str) -> Tagger:
    """Load a tagger with real weights from the published file."""
    file = shared / "weights" / data / f"{name}.pth"
    state = torch.load(file, map_location="cpu", weights_only=True)
    return registry.from_state_dict(name, data, state, "published")


def golden_windows(samples: int) -> Tensor:
    """Return the two windows of the golden files, (2, samples)."""
    return torch.from_numpy(np.stack([signal(samples, RATE, 0), 0.3 * signal(samples, RATE, 1)]))


def golden_spectrogram(tagger: Tagger, audio: Tensor) -> Tensor:
    """Compute the spectrogram of `audio` (batch, samples) that the golden files' network was given.

    For hcnn it is not the front end's output: the recipe also replaced the entry `hstft.spec.window`, so that
    the harmonic spectrogram of the golden files has noise for a window.
    """
    if not isinstance(tagger.frontend, HarmonicSpectrogram):
        return tagger.frontend(audio)
    r = np.random.default_rng(zlib.crc32(b"hstft.spec.window")).standard_normal(tagger.frontend.fft)
    window = torch.from_numpy((0.05 * r).astype(np.float32))
    return tagger.frontend.from_power(power_spectrogram(audio, window, tagger.frontend.hop))


def recipe_deviation(golden: Mapping[str, np.ndarray], name: str) -> float:
    """Return the largest difference of probabilities with recipe weights."""
    tagger = recipe_tagger(name)
    with torch.no_grad():
        ours = torch.sigmoid(tagger.network(golden_spectrogram(tagger, golden_windows(tagger.window))))
    return largest_difference(ours, golden[f"recipe/{name}"])


def weights_deviation(golden: Mapping[str, np.ndarray], shared: Path, data: str, name: str) -> float:
    """Return the largest difference of probabilities with the real weights."""
    tagger = published_tagger(shared, data, name)
    with torch.no_grad():
        ours = tagger(golden_windows(tagger.window)).probabilities
    return largest_difference(ours, golden[f"weights/{data}/{name}"])


def frontend_deviation(golden: Mapping[str, np.ndarray], name: str) -> float:
    """Return the largest difference of the spectrogram, dB."""
    tagger = recipe_tagger(name)
    theirs = golden[f"frontend_db/{name}"]
    ours = golden_spectrogram(tagger, golden_windows(tagger.window))[0, ..., : theirs.shape[-1]]
    return largest_difference(ours, theirs)


def largest_difference(ours: Tensor, theirs: np.ndarray) -> float:
    """Return the largest absolute difference of two arrays of one shape."""
    if tuple(ours.shape) != theirs.shape:
        raise ValueError(f"shapes differ: {tuple(ours.shape)} and {theirs.shape}")
    return float(np.abs(ours.detach().double().numpy() - theirs).max())


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=SHARED, help="folder of published outputs and weights")
    shared = parser.parse_args().shared
    golden = dict(np.load(shared / "golden" / "taggers.npz"))
    listed = json.loads((shared / "golden" / "tagger_state_dicts.json").read_text())
    print("| tagger | names and shapes | recipe weights | real weights | front end, dB |")
    print("|---|---|---|---|---|")
    for name in NAMES:
        theirs = {key: tuple(shape) for key, shape in listed[name].items()}
        names = "same" if theirs == registry.expected_shapes(name, "mtat") else "DIFFERENT"
        real = ", ".join(
            f"{data} {weights_deviation(golden, shared, data, name):.1e}"
            for data, other in PUBLISHED_WEIGHTS
            if other == name
        )
        front_end = (
            f"{frontend_deviation(golden, name):.1e}" if f"frontend_db/{name}" in golden else "waveform"
        )
        print(f"| {name} | {names} | {recipe_deviation(golden, name):.1e} | {real or '-'} | {front_end} |")


if __name__ == "__main__":
    main()
