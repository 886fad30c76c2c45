"""Draw the inputs and weights of the golden files, by a recipe that any implementation can follow."""

import zlib
from pathlib import Path

import numpy as np
import torch

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""The folder of golden outputs, published weights and development mixtures beside the checkout, if any."""


def signal(samples: int, rate: int, seed: int) -> np.ndarray:
    """Make the golden files' input: five beating sines and a little noise, float32 of shape (samples,)."""
    t = np.arange(samples) / rate
    tones = sum(0.2 * np.sin(2 * np.pi * f * t + p) for p, f in enumerate((110, 220.5, 441, 1234.5, 3000)))
    noise = 0.02 * np.random.default_rng(seed).standard_normal(samples)
    return (tones * (0.6 + 0.4 * np.sin(2 * np.pi * 0.7 * t)) + noise).astype(np.float32)


def recipe_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Draw weights from the names and shapes of the entries only (see the README of the golden files).

    Entries that are not drawn (integers, windows, mel matrices, `bw_Q`, `.pe`) are left out.
    """
    kept = (".window", "spec.mel_scale.fb", "bw_Q", ".pe", "num_batches_tracked")
    weights = {}
    for key, shape in shapes.items():
        if key.endswith(kept):
            continue
        r = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(shape)
        if key.endswith("running_var"):
            value = 1 + 0.1 * np.abs(r)
        elif key.endswith("running_mean"):
            value = 0.1 * r
        elif len(shape) >= 2:
            value = r / np.sqrt(np.prod(shape[1:]))
        elif key.endswith(("weight", "gamma")):
            value = 1 + 0.1 * r
        else:
            value = 0.05 * r
        weights[key] = torch.from_numpy(np.asarray(value, dtype=np.float32))
    return weights
