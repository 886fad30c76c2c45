"""Fixtures that tests share."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from benchmarks.golden import SHARED

# Examples are the same on every run; fresh ones come with: pytest --hypothesis-profile=fresh
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("fresh", deadline=None)
hypothesis.settings.load_profile("repeatable")


INTEGRATION = (
    "batching", "benchmarks", "cli_messages", "cli_separate", "cli_tag", "cuda_graphs", "docs",
    "evaluate_runs", "gallery", "generator_embedded", "notebook", "operation_counts", "plots", "pons",
    "rendering", "reproduction", "separation", "streaming", "taggers", "threads", "training", "ui", "weights",
)  # fmt: skip
"""Files of tests that start programs, servers or browsers, or separate whole recordings."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what `make check` leaves out."""
    names = {f"test_{name}" for name in INTEGRATION}
    for item in items:
        if item.path.stem in names:
            item.add_marker(pytest.mark.integration)


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


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A Chromium without a screen, driven by Playwright, with a microphone that plays a test sound."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    # A sandbox needs rights that containers do not give.
    options = ["--no-sandbox", "--disable-gpu", "--mute-audio"]
    microphone = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with sync_api.sync_playwright() as playwright:
        try:
            launched = playwright.chromium.launch(executable_path=chromium, args=[*options, *microphone])
        except sync_api.Error as error:
            pytest.skip(f"{chromium} does not start here: {error.message.splitlines()[0]}")
        yield launched
        launched.close()
