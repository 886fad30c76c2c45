"""What tests share: published outputs and weights where they are at hand, and the golden recipes."""

import os
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure() -> None:
    """Without a GPU, Triton's kernels are interpreted: it asks when somebody imports it first."""
    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden outputs, published weights and development mixtures beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"the folder of published outputs and weights is not at {SHARED}")
    return SHARED


@pytest.fixture
def ffmpeg() -> None:
    """What decodes stem files, and what stempeg and museval cannot be imported without."""
    if shutil.which("ffmpeg") is None or shutil.which("ffprobe") is None:
        pytest.skip("ffmpeg and ffprobe are not on the PATH (apt-get install ffmpeg)")


def signal(samples: int, rate: int, seed: int) -> np.ndarray:
    """The golden files' input: five beating sines and a little noise, float32 of shape (samples,)."""
    t = np.arange(samples) / rate
    tones = sum(0.2 * np.sin(2 * np.pi * f * t + p) for p, f in enumerate((110, 220.5, 441, 1234.5, 3000)))
    noise = 0.02 * np.random.default_rng(seed).standard_normal(samples)
    return (tones * (0.6 + 0.4 * np.sin(2 * np.pi * 0.7 * t)) + noise).astype(np.float32)


def recipe_weights(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    """Weights that every implementation can draw from the names and shapes alone (see the golden README).

    Entries that keep their own values there (integers, windows, mel matrices, `bw_Q`, `.pe`) are left out.
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
