"""Fixtures that tests share."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from benchmarks.golden import SHARED


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
