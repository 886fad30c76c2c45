"""The web page as people use it: a real server, real models, and a Chromium without a screen.

With TAGBOX_SCREENSHOTS=FOLDER, the tests save pictures of the page there.
"""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
import torch

from tagbox import audio
from tagbox.errors import TagBoxError
from tagbox.generators import pretrained
from tagbox.generators.training.train import new_model
from tagbox.generators.vqvae import VQVAEConfig
from tagbox.weights import catalogue, store

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytest.importorskip("gradio", reason="gradio is not installed")

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"
SECONDS = 3.0
MAX_SECONDS = 20
TIMEOUT_MS = 60_000
DESKTOP, PHONE = {"width": 1200, "height": 900}, {"width": 390, "height": 844}
# A run takes as long as its factorisations, and no test here depends on how many they are.
QUICK = {"Factorisations": 1}
# Longer than a page on a busy machine takes for anything: 1000 steps were over before a picture was drawn.
MANY_STEPS = {**QUICK, "Steps": 10_000}


@dataclass(frozen=True)
class Site:
    """A running server.

    Attributes:
        address: of the page.
        temporary: the folder that the server has for temporary files.
        process: the server.
        requested: every address that a browser requested.
    """

    address: str
    temporary: Path
    process: subprocess.Popen[str]
    requested: list[str] = field(default_factory=list)

    def files(self, suffix: str = "") -> list[Path]:
        """Return the files in the server's private folder whose names end in `suffix`."""
        return [path for path in self.temporary.rglob(f"*{suffix}") if path.is_file()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("ui")
    temporary = folder / "temporary"
    temporary.mkdir()
    tiny = folder / "tiny.safetensors"
    pretrained.save_generator_file(new_model(VQVAEConfig((4,), (1,), (3,), entries=8), 0), tiny, "MIT", {})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tagbox", "ui", "--port", str(port), "--generator", str(tiny)]
    limits = ["--longest", str(MAX_SECONDS), "--largest", "3"]
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([*command, *limits], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        request.getfixturevalue("browser")  # starts while the server does
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        yield Site(f"http://127.0.0.1:{port}", temporary, process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture(scope="module")
def window(browser: Any) -> Iterator["sync_api.BrowserContext"]:
    """A window whose tabs share the cache of Gradio's scripts."""
    opened = open_window(browser)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def page(site: Site, window: "sync_api.BrowserContext") -> Iterator["sync_api.Page"]:
    """One open page for all tests that leave it usable."""
    opened = open_page(site, window)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("songs") / "my <b>song.wav"
    duet = audio.read(DUET, 2, SECONDS)
    audio.write(path, duet.samples, duet.rate)
    return path


def open_window(browser: Any) -> "sync_api.BrowserContext":
    window = browser.new_context(viewport=DESKTOP)
    window.set_default_timeout(TIMEOUT_MS)
    return window


def open_page(site: Site, window: "sync_api.BrowserContext") -> "sync_api.Page":
    """Open the page in a new tab; tabs behind it no longer follow their jobs."""
    opened = window.new_page()
    opened.on("request", lambda request: site.requested.append(request.url))
    opened.goto(site.address)
    opened.locator("#separate-start").wait_for()
    return opened


def upload(page: "sync_api.Page", path: Path, tab: str = "separate") -> None:
    """Upload `path`, in place of the recording that is there."""
    clear = page.locator(f"#{tab}-recording").get_by_label("Clear")
    if clear.count():
        clear.click()
    page.locator(f"#{tab}-recording input[type=file]").set_input_files(path)


def upload_and_wait(page: "sync_api.Page", path: Path, tab: str = "separate") -> None:
    """Upload `path` and wait for the drawing of its tags."""
    upload(page, path, tab)
    page.locator(f"#{tab}-drawing svg[role=img]").wait_for()


def choose_violin(page: "sync_api.Page") -> None:
    page.locator("#separate-suggested label").filter(has_text=re.compile(r"violin \d+%")).click()


def type_word(page: "sync_api.Page", word: str, tab: str = "separate") -> None:
    words = page.locator(f"#{tab}-typed input")
    words.fill(word)
    words.press("Enter")
    words.blur()


def fill_in(page: "sync_api.Page", values: dict[str, float], tab: str = "separate") -> None:
    """Write `values`, by label, into the numbers among the settings."""
    settings = page.locator(f"#{tab}-settings")
    if not settings.get_by_label("Steps", exact=True).is_visible():
        settings.get_by_text("Settings", exact=True).click()
    numbers = {settings.get_by_label(label, exact=True): f"{value:g}" for label, value in values.items()}

    def is_filled() -> bool:
        changed = [number for number, text in numbers.items() if number.input_value() != text]
        for number in changed:
            number.fill(numbers[number])
            number.blur()
        return not changed

    # Gradio creates folded controls when they are unfolded, and their initial values may arrive after ours.
    wait_until(is_filled)


def start(page: "sync_api.Page", tab: str = "separate") -> None:
    page.locator(f"#{tab}-start").click()


def start_and_wait_for_curves(page: "sync_api.Page") -> None:
    start(page)
    # A curve of one step, or a level one, has no area: Playwright takes it for hidden.
    page.locator("#separate-message polyline.probability").wait_for(state="attached")


def assert_error(page: "sync_api.Page", text: str, tab: str = "separate") -> None:
    alert = page.locator(f"#{tab}-message [role=alert]")
    sync_api.expect(alert).to_contain_text(text, timeout=TIMEOUT_MS)


def durations(page: "sync_api.Page", tab: str = "separate") -> dict[str, float]:
    """Return the length in seconds of every player, by its track, as the browser measures it."""
    players = page.locator(f"#{tab}-results audio")
    players.first.wait_for()
    page.wait_for_function(
        "tab => [...document.querySelectorAll(`#${tab}-results audio`)].every(a => a.readyState >= 1)",
        arg=tab,
    )
    return dict(players.evaluate_all("all => all.map(a => [a.getAttribute('aria-label'), a.duration])"))


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what no event announces: files that disappear."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def screenshot(page: "sync_api.Page", name: str) -> None:
    folder = os.environ.get("TAGBOX_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_upload_separate_and_download(page: "sync_api.Page", site: Site, song: Path) -> None:
    upload_and_wait(page, song)
    drawing = page.locator("#separate-drawing").text_content() or ""
    assert "waveform" in drawing and "violin" in drawing
    choose_violin(page)
    fill_in(page, {**QUICK, "Steps": 4})
    screenshot(page, "chosen")
    start_and_wait_for_curves(page)
    message = page.locator("#separate-message").inner_text()
    assert re.search(r"violin\s*\d+%", message) and re.search(r"loss\s*-?[\d.]+", message)
    lengths = durations(page)
    assert set(lengths) == {"mixture", "violin", "residual"}
    assert lengths == pytest.approx(dict.fromkeys(lengths, SECONDS), abs=0.05)
    assert "4 steps" in page.locator("#separate-message").inner_text()
    pictures = page.locator("#separate-results img")
    pictures.last.scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('.card img')].every(i => i.naturalWidth > 100)")
    assert pictures.count() == 3
    screenshot(page, "desktop")

    links = page.locator("#separate-results a").evaluate_all("all => all.map(a => [a.download, a.href])")
    files = {name: httpx.get(address).raise_for_status().content for name, address in links}
    assert len(files) == 5
    tracks = {
        name.rpartition(" ")[2]: torch.from_numpy(soundfile.read(io.BytesIO(content))[0])
        for name, content in files.items()
        if name.endswith(".flac")
    }
    # Each file is rounded to 24 bits, by half a step of 2**-23 at the most.
    torch.testing.assert_close(
        tracks["violin.flac"] + tracks["residual.flac"], tracks["mixture.flac"], atol=2**-22, rtol=0
    )
    (manifest,) = (json.loads(content) for name, content in files.items() if name.endswith("run.json"))
    assert manifest["runs"][0]["steps"] == 4
    assert manifest["input"]["file"].endswith("song.wav")
    assert str(site.temporary) not in json.dumps(manifest)
    shown_manifest = page.locator("#separate-results pre").text_content()
    assert shown_manifest is not None and json.loads(shown_manifest) == manifest
    (archive,) = (content for name, content in files.items() if name.endswith(".zip"))
    assert set(zipfile.ZipFile(io.BytesIO(archive)).namelist()) == {*tracks, "run.json"}


def test_everything_fits_a_phone(page: "sync_api.Page") -> None:
    page.set_viewport_size(PHONE)
    try:
        page.wait_for_function("document.documentElement.scrollWidth <= 390")
        screenshot(page, "phone")
        for place in ("#separate-start", "#separate-results audio", "#separate-drawing svg[role=img]"):
            box = page.locator(place).first.bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
    finally:
        page.set_viewport_size(DESKTOP)


def press(page: "sync_api.Page", button: str) -> None:
    """Press a button while the page is drawn anew all the time.

    A click waits until the browser has drawn the button twice in the same place, which on a busy machine may
    take longer than the run.
    """
    page.locator(button).dispatch_event("click")


def test_cancel_leaves_no_result_and_stop_keeps_the_best_so_far(
    page: "sync_api.Page", site: Site, song: Path
) -> None:
    if not page.locator("#separate-drawing svg[role=img]").count():
        upload_and_wait(page, song)
        choose_violin(page)
    fill_in(page, MANY_STEPS)
    start_and_wait_for_curves(page)
    screenshot(page, "running")
    press(page, "#separate-cancel")
    page.get_by_text("Cancelled.").wait_for()
    page.locator("#separate-cancel").wait_for(state="hidden")
    assert page.locator("#separate-results audio").count() == 0

    start_and_wait_for_curves(page)
    press(page, "#separate-stop")
    assert durations(page)["violin"] == pytest.approx(SECONDS, abs=0.05)
    assert "stopped early" in page.locator("#separate-results").inner_text()
    assert len(site.files("violin.flac")) == 1  # of the run that was kept


@pytest.mark.parametrize("content", [b"not music", b"\x00\x01\x02" * 999], ids=["text", "noise"])
def test_a_broken_file_gives_the_error_of_the_command_line(
    page: "sync_api.Page", tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "broken.mp3"
    path.write_bytes(content)
    upload(page, path)
    with pytest.raises(TagBoxError) as refused:
        audio.read(path)
    line = str(refused.value).replace(str(path), "broken.mp3")
    sync_api.expect(page.locator("#separate-message")).to_have_text(line, timeout=TIMEOUT_MS)
    start(page)
    page.locator("#separate-cancel").wait_for(state="hidden")
    assert_error(page, "broken.mp3")


def test_recordings_that_are_too_long_or_too_large_are_refused(page: "sync_api.Page", tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    soundfile.write(path, 0.1 * np.sin(np.arange(8000 * 25) / 3), 8000)
    upload(page, path)
    assert_error(page, "lasts 25 s, and this page takes 20 s")
    large = tmp_path / "large.wav"
    soundfile.write(large, np.zeros(44100 * 40), 44100)
    upload(page, large)
    page.get_by_text("exceed the maximum allowed size").wait_for()
    assert page.locator("#separate-drawing svg[role=img]").count() == 0
    page.reload()
    page.locator("#separate-start").wait_for()


def test_a_missing_word_and_an_unknown_word_are_errors(page: "sync_api.Page", song: Path) -> None:
    upload_and_wait(page, song)
    start(page)
    assert_error(page, "no word is chosen")
    type_word(page, "violn")
    start(page)
    assert_error(page, "did you mean violin")


def test_a_second_page_waits_and_a_closed_page_loses_its_job_and_files(
    browser: Any, window: "sync_api.BrowserContext", site: Site, song: Path
) -> None:
    windows = open_window(browser), open_window(browser)
    first, second = (open_page(site, each) for each in windows)
    other = song.with_name("other.wav")
    shutil.copyfile(song, other)
    for opened, path in ((first, song), (second, other)):
        upload_and_wait(opened, path)
        choose_violin(opened)
        fill_in(opened, MANY_STEPS)
    start_and_wait_for_curves(first)
    start(second)
    second.get_by_text("Waiting for 1 other run").wait_for()
    screenshot(second, "waiting")
    assert second.locator("#separate-message polyline").count() == 0
    press(second, "#separate-cancel")
    second.get_by_text("Cancelled.").wait_for()
    second.close()
    wait_until(lambda: not site.files("other.wav"))
    # Closing a page cancels its job of thousands of steps, so that the next one can start.
    first.close()
    third = open_page(site, window)
    upload_and_wait(third, song)
    type_word(third, "piano")
    fill_in(third, {**QUICK, "Steps": 1})
    screenshot(third, "typed")
    start(third)
    assert set(durations(third)) == {"mixture", "piano", "residual"}
    for opened in (third, *windows):
        opened.close()


def test_a_transfer_and_the_error_of_a_generator_that_is_missing(
    site: Site, window: "sync_api.BrowserContext", song: Path
) -> None:
    opened = open_page(site, window)
    opened.get_by_role("tab", name="Style transfer").click()
    upload_and_wait(opened, song, "style-transfer")
    type_word(opened, "guitar", "style-transfer")
    fill_in(opened, {"Steps": 1}, "style-transfer")
    if not store.weights_path(catalogue.find_model("generator", "embedded")).is_file():
        start(opened, "style-transfer")
        assert_error(opened, "embedded", "style-transfer")
    opened.locator("#style-transfer-settings").get_by_label("Generator").click()
    opened.get_by_role("option", name="tiny").click()
    start(opened, "style-transfer")
    lengths = durations(opened, "style-transfer")
    assert lengths == pytest.approx({"mixture": SECONDS, "result": SECONDS}, abs=0.05)
    screenshot(opened, "transfer")
    manifest = json.loads(opened.locator("#style-transfer-results pre").text_content() or "")
    assert manifest["settings"]["generator"] == "tiny.safetensors"
    opened.close()


def test_an_example_runs_with_one_click_and_a_microphone_can_record(
    site: Site, window: "sync_api.BrowserContext"
) -> None:
    opened = open_page(site, window)
    fill_in(opened, {**QUICK, "Duration (s; 0: all)": 2})
    opened.get_by_role("button", name="Duet: separate the violin").click()
    assert durations(opened)["violin"] == pytest.approx(2, abs=0.05)
    recorder = opened.locator("#separate-recording")
    recorder.get_by_label("Clear").click()
    recorder.get_by_label("Record audio").click()
    recorder.get_by_role("button", name="Record", exact=True).click()
    recorder.locator("time.duration").filter(has_text="0:01").wait_for()
    recorder.get_by_role("button", name="Stop").click()
    opened.locator("#separate-drawing svg[role=img]").wait_for()
    opened.close()


def test_no_address_reaches_a_file_of_the_machine(site: Site) -> None:
    inside = site.files()
    (private,) = site.temporary.glob("tagbox-ui-*")
    assert private.stat().st_mode & 0o077 == 0
    secret = Path(__file__)
    for address in (
        f"gradio_api/file={secret}",
        f"gradio_api/file={inside[0].parent if inside else site.temporary}/../../../..{secret}",
        f"results/..%2f..%2f{secret.name}/x",
        f"results/{'0' * 32}/..%2f..%2f{secret.name}",
        f"results/{'0' * 32}/x",
    ):
        assert httpx.get(f"{site.address}/{address}").status_code in (403, 404), address


def test_a_crafted_request_reaches_no_file_and_no_address(site: Site, tmp_path: Path) -> None:
    """Send what no browser does: an input that names a file of the server, or an address to download."""
    secret = tmp_path / "secret.wav"
    soundfile.write(secret, 0.1 * np.sin(np.arange(44100) / 3), 44100)
    config = httpx.get(f"{site.address}/config").json()
    types = {component["id"]: component["type"] for component in config["components"]}
    shows = next(d for d in config["dependencies"] if [types[i] for i in d["inputs"]] == ["audio"])
    for path in (str(secret), "http://127.0.0.1:9/fetched.wav", "https://example.org/fetched.wav"):
        data = [{"path": path, "meta": {"_type": "gradio.FileData"}}]
        body = {"data": data, "fn_index": shows["id"], "session_hash": "crafted"}
        httpx.post(f"{site.address}/gradio_api/queue/join", json=body).raise_for_status()
        with httpx.stream(
            "GET", f"{site.address}/gradio_api/queue/data", params={"session_hash": "crafted"}, timeout=60
        ) as stream:
            events = [json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:")]
        (done,) = (event for event in events if event["msg"] == "process_completed")
        assert done["success"] is False
    assert not site.files("secret.wav") and not site.files("fetched.wav")


def test_nothing_is_requested_from_other_machines(site: Site, page: "sync_api.Page") -> None:
    assert len(site.requested) > 100
    elsewhere = [url for url in site.requested if not url.startswith((site.address, "data:", "blob:"))]
    assert elsewhere == []
    assert page.title() == "TagBox"
    assert "default-src 'self'" in httpx.get(site.address).headers["content-security-policy"]


def test_the_private_folder_is_removed_with_the_server(site: Site, page: "sync_api.Page") -> None:
    assert any(site.temporary.glob("tagbox-ui-*"))
    site.process.send_signal(signal.SIGTERM)
    assert site.process.wait(timeout=60) == 130
    assert not any(site.temporary.glob("tagbox-ui-*"))
