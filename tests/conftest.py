"""Fixtures that tests share."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from benchmarks.golden import SHARED
from cli_runner import StartProgram

# Examples are the same on every run; fresh ones come with: pytest --hypothesis-profile=fresh
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.register_profile("fresh", deadline=None)
hypothesis.settings.load_profile("repeatable")


INTEGRATION = (
    "batching", "benchmarks", "cli_messages", "cli_separate", "cli_tag", "codecs", "cuda_graphs", "docs",
    "ears", "evaluate_runs", "gallery", "generator_embedded", "notebook", "operation_counts", "plots",
    "plugin_example", "pons", "ray", "rendering", "reproduction", "separation", "streaming", "taggers",
    "storage", "threads", "text_ears", "installing", "training", "ui", "weights",
)  # fmt: skip
"""Files of tests that start programs, servers or browsers, or separate whole recordings."""

LONGEST = (
    "streaming", "ui", "evaluate_runs", "separation", "pons", "audio", "ray", "docs", "robustness",
    "cli_consoles", "storage", "benchmarks", "decoders", "plugin_example", "codecs", "batching",
    "cli_batches", "rendering", "notebook", "gallery", "cuda_graphs", "weights", "training", "taggers",
    "installing", "cli_tag", "threads", "text_ears", "ears",
)  # fmt: skip
"""Files of tests that take more than 10 s, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files, so that no process waits long, and mark what `make check` leaves out."""
    places = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    names = {f"test_{name}" for name in INTEGRATION}
    for item in items:
        if item.path.stem in names:
            item.add_marker(pytest.mark.integration)


def pytest_configure() -> None:
    """Prepare the process for what the tests start and import."""
    # Without a GPU, Triton's kernels are interpreted: it asks when somebody imports it first.
    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"
    # A shell has the programs that it starts in the background ignore Ctrl-C, and nohup has them ignore the
    # end of the terminal; so would all that the tests start, some of which are ended in these ways.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of golden outputs, published weights and development mixtures beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip(f"the folder of published outputs and weights is not at {SHARED}")
    return SHARED


@pytest.fixture
def start_program() -> Iterator[StartProgram]:
    """Start programs that do not outlive the test, whatever becomes of it."""
    started: list[subprocess.Popen[str]] = []

    def start(command: list[str], **options: Any) -> subprocess.Popen[str]:
        started.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.communicate()


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
