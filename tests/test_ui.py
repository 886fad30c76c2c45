"""The web page as people use it: a real server, real models, and a real Chromium without a screen.

With TAGBOX_SCREENSHOTS=FOLDER, pictures of the page are left there.
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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

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
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
SECONDS = 3.0
LONGEST = 20
PATIENCE_MS = 60_000
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here; on Debian: apt-get install chromium"
)


@dataclass(frozen=True)
class Site:
    """A server that runs, the folder of temporary files that it was given, and what browsers asked for."""

    address: str
    temporary: Path
    process: subprocess.Popen[str]
    asked: list[str] = field(default_factory=list)

    def files(self, suffix: str = "") -> list[Path]:
        """What is in its private folder."""
        return [path for path in self.temporary.rglob(f"*{suffix}") if path.is_file()]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("ui")
    temporary = folder / "temporary"
    temporary.mkdir()
    tiny = folder / "tiny.safetensors"
    pretrained.write(new_model(VQVAEConfig((4,), (1,), (3,), entries=8), 0), tiny, "MIT", {})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tagbox", "ui", "--port", str(port), "--generator", str(tiny)]
    limits = ["--longest", str(LONGEST), "--largest", "3"]
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([*command, *limits], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert f"http://127.0.0.1:{port}" in line
    yield Site(f"http://127.0.0.1:{port}", temporary, process)
    if process.poll() is None:
        process.kill()


@pytest.fixture(scope="module")
def browser() -> Iterator["sync_api.Browser"]:
    with sync_api.sync_playwright() as playwright:
        # A sandbox needs rights that containers do not give.
        options = ["--no-sandbox", "--disable-gpu", "--mute-audio"]
        microphone = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        try:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=[*options, *microphone])
        except sync_api.Error as error:
            pytest.skip(f"{CHROMIUM} does not start here: {error.message.splitlines()[0]}")
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def page(site: Site, browser: "sync_api.Browser") -> Iterator["sync_api.Page"]:
    """One open page for all tests that leave it usable."""
    opened = open_page(site, browser)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("songs") / "my <b>song.wav"
    duet = audio.read(DUET, 2, SECONDS)
    audio.write(path, duet.samples, duet.rate)
    return path


def open_page(site: Site, browser: "sync_api.Browser", width: int = 1200) -> "sync_api.Page":
    opened = browser.new_page(viewport={"width": width, "height": 900})
    opened.set_default_timeout(PATIENCE_MS)
    opened.on("request", lambda request: site.asked.append(request.url))
    opened.goto(site.address)
    opened.locator("#separate-go").wait_for()
    return opened


def give(page: "sync_api.Page", path: Path, tab: str = "separate") -> None:
    """Upload `path`, in place of what is there."""
    clear = page.locator(f"#{tab}-song").get_by_label("Clear")
    if clear.count():
        clear.click()
    page.locator(f"#{tab}-song input[type=file]").set_input_files(path)


def hear(page: "sync_api.Page", path: Path, tab: str = "separate") -> None:
    give(page, path, tab)
    page.locator(f"#{tab}-picture svg[role=img]").wait_for()


def set_steps(page: "sync_api.Page", steps: int, tab: str = "separate") -> None:
    field = page.locator(f"#{tab}-settings").get_by_label("Steps", exact=True)
    if not field.is_visible():
        page.locator(f"#{tab}-settings").get_by_text("Every setting").click()
        field.wait_for()
        page.wait_for_timeout(500)  # what is unfolded for the first time is still being filled in
    field.fill(str(steps))
    field.blur()
    page.wait_for_timeout(200)
    assert field.input_value() == str(steps)


def assert_told(page: "sync_api.Page", complaint: str, tab: str = "separate") -> None:
    alert = page.locator(f"#{tab}-told [role=alert]")
    sync_api.expect(alert).to_contain_text(complaint, timeout=PATIENCE_MS)


def durations(page: "sync_api.Page", tab: str = "separate") -> dict[str, float]:
    """The length in seconds of every player, by its track, as the browser found it."""
    players = page.locator(f"#{tab}-results audio")
    players.first.wait_for()
    page.wait_for_function(
        "tab => [...document.querySelectorAll(`#${tab}-results audio`)].every(a => a.readyState >= 1)",
        arg=tab,
    )
    return dict(players.evaluate_all("all => all.map(a => [a.getAttribute('aria-label'), a.duration])"))


def picture(page: "sync_api.Page", name: str) -> None:
    folder = os.environ.get("TAGBOX_SCREENSHOTS")
    if folder:
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def test_upload_separate_and_hear(page: "sync_api.Page", site: Site, song: Path) -> None:
    hear(page, song)
    drawn = page.locator("#separate-picture").text_content() or ""
    assert "waveform" in drawn and "violin" in drawn
    page.locator("#separate-heard label").filter(has_text=re.compile(r"violin \d+%")).click()
    set_steps(page, 4)
    picture(page, "chosen")
    page.locator("#separate-go").click()
    page.locator("#separate-told polyline.probability").wait_for()
    told = page.locator("#separate-told").inner_text()
    assert re.search(r"violin\s*\d+%", told) and re.search(r"loss\s*-?[\d.]+", told)
    lasting = durations(page)
    assert set(lasting) == {"mixture", "violin", "residual"}
    assert lasting == pytest.approx(dict.fromkeys(lasting, SECONDS), abs=0.05)
    assert "4 steps" in page.locator("#separate-told").inner_text()
    shown = page.locator("#separate-results img")
    shown.last.scroll_into_view_if_needed()
    page.wait_for_function("[...document.querySelectorAll('.card img')].every(i => i.naturalWidth > 100)")
    assert shown.count() == 3
    picture(page, "desktop")

    links = page.locator("#separate-results a").evaluate_all("all => all.map(a => [a.download, a.href])")
    files = {name: httpx.get(address).raise_for_status().content for name, address in links}
    assert len(files) == 5
    tracks = {
        name.rpartition(" ")[2]: torch.from_numpy(soundfile.read(io.BytesIO(content))[0])
        for name, content in files.items()
        if name.endswith(".flac")
    }
    torch.testing.assert_close(
        tracks["violin.flac"] + tracks["residual.flac"], tracks["mixture.flac"], atol=2**-22, rtol=0
    )
    (manifest,) = (json.loads(content) for name, content in files.items() if name.endswith("run.json"))
    assert manifest["runs"][0]["steps"] == 4
    assert manifest["input"]["file"].endswith("song.wav")
    assert str(site.temporary) not in json.dumps(manifest)
    shown_manifest = page.locator("#separate-results pre").text_content()
    assert shown_manifest is not None and json.loads(shown_manifest) == manifest
    (whole,) = (content for name, content in files.items() if name.endswith(".zip"))
    assert set(zipfile.ZipFile(io.BytesIO(whole)).namelist()) == {*tracks, "run.json"}


def test_a_phone_shows_all_of_it(page: "sync_api.Page") -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    try:
        page.wait_for_timeout(300)
        picture(page, "phone")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        for place in ("#separate-go", "#separate-results audio", "#separate-picture svg[role=img]"):
            box = page.locator(place).first.bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
    finally:
        page.set_viewport_size({"width": 1200, "height": 900})


def test_cancel_leaves_nothing_and_stop_keeps_what_there_is(
    page: "sync_api.Page", site: Site, song: Path
) -> None:
    if not page.locator("#separate-picture svg[role=img]").count():
        hear(page, song)
        page.locator("#separate-heard label").filter(has_text="violin").click()
    set_steps(page, 1000)
    page.locator("#separate-go").click()
    page.locator("#separate-told polyline.probability").wait_for()
    picture(page, "running")
    page.locator("#separate-cancel").click()
    page.get_by_text("Cancelled.").wait_for()
    page.locator("#separate-cancel").wait_for(state="hidden")
    assert page.locator("#separate-results audio").count() == 0

    page.locator("#separate-go").click()
    page.locator("#separate-told polyline.probability").wait_for()
    page.locator("#separate-stop").click()
    assert durations(page)["violin"] == pytest.approx(SECONDS, abs=0.05)
    assert "stopped early" in page.locator("#separate-results").inner_text()
    assert len(site.files("violin.flac")) == 1  # of the run that was kept


@pytest.mark.parametrize("content", [b"not music", b"\x00\x01\x02" * 999], ids=["text", "noise"])
def test_a_broken_file_reads_as_on_the_command_line(
    page: "sync_api.Page", site: Site, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "broken.mp3"
    path.write_bytes(content)
    give(page, path)
    with pytest.raises(TagBoxError) as refused:
        audio.read(path)
    line = str(refused.value).replace(str(path), "broken.mp3")
    sync_api.expect(page.locator("#separate-told")).to_have_text(line, timeout=PATIENCE_MS)
    page.locator("#separate-go").click()
    page.locator("#separate-cancel").wait_for(state="hidden")
    assert_told(page, "broken.mp3")


def test_bounds_of_length_and_size(page: "sync_api.Page", tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    soundfile.write(path, 0.1 * np.sin(np.arange(8000 * 25) / 3), 8000)
    give(page, path)
    assert_told(page, "lasts 25 s, and this page takes 20 s")
    large = tmp_path / "large.wav"
    soundfile.write(large, np.zeros(44100 * 40), 44100)
    give(page, large)
    page.get_by_text("exceed the maximum allowed size").wait_for()
    assert page.locator("#separate-picture svg[role=img]").count() == 0
    page.reload()
    page.locator("#separate-go").wait_for()


def test_words_that_no_tagger_knows_and_none_at_all(page: "sync_api.Page", song: Path) -> None:
    hear(page, song)
    page.locator("#separate-go").click()
    assert_told(page, "no word is chosen")
    field = page.locator("#separate-typed input")
    field.fill("violn")
    field.press("Enter")
    field.blur()
    page.locator("#separate-go").click()
    assert_told(page, "did you mean violin")


def test_a_second_page_waits_for_its_turn_and_a_closed_one_takes_its_files(
    page: "sync_api.Page", browser: "sync_api.Browser", site: Site, song: Path
) -> None:
    first, second = open_page(site, browser), open_page(site, browser)
    other = song.with_name("other.wav")
    shutil.copyfile(song, other)
    for opened, path in ((first, song), (second, other)):
        hear(opened, path)
        opened.locator("#separate-heard label").filter(has_text="violin").click()
        set_steps(opened, 1000)
    first.locator("#separate-go").click()
    first.locator("#separate-told polyline.probability").wait_for()
    second.locator("#separate-go").click()
    second.get_by_text("Waiting: 1 run to end").wait_for()
    picture(second, "waiting")
    assert second.locator("#separate-told polyline").count() == 0
    second.locator("#separate-cancel").click()
    second.get_by_text("Cancelled.").wait_for()
    second.close()
    wait_until(lambda: not site.files("other.wav"))
    # Closing the page ends its run, so that the next one has its turn.
    first.close()
    set_steps(page, 1)
    page.locator("#separate-typed input").fill("piano")
    page.locator("#separate-typed input").press("Enter")
    picture(page, "typed")


def wait_until(condition: object, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    assert callable(condition)
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_transfer_and_the_line_where_its_generator_is_missing(
    site: Site, browser: "sync_api.Browser", song: Path
) -> None:
    opened = open_page(site, browser)
    opened.get_by_role("tab", name="Style transfer").click()
    hear(opened, song, "style-transfer")
    field = opened.locator("#style-transfer-typed input")
    field.fill("guitar")
    field.press("Enter")
    set_steps(opened, 1, "style-transfer")
    if not store.kept_at(catalogue.find("generator", "embedded")).is_file():
        opened.locator("#style-transfer-go").click()
        assert_told(opened, "embedded", "style-transfer")
    opened.locator("#style-transfer-settings").get_by_label("Generator").click()
    opened.get_by_role("option", name="tiny").click()
    opened.locator("#style-transfer-go").click()
    lasting = durations(opened, "style-transfer")
    assert lasting == pytest.approx({"mixture": SECONDS, "result": SECONDS}, abs=0.05)
    picture(opened, "transfer")
    manifest = json.loads(opened.locator("#style-transfer-results pre").text_content() or "")
    assert manifest["settings"]["generator"] == "tiny.safetensors"
    opened.close()


def test_an_example_runs_with_one_click_and_a_recording_is_heard(
    site: Site, browser: "sync_api.Browser"
) -> None:
    opened = open_page(site, browser)
    set_steps(opened, 1)
    opened.locator("#separate-settings").get_by_label("Duration").fill("2")
    opened.get_by_role("button", name="Duet: take out the violin").click()
    assert durations(opened)["violin"] == pytest.approx(2, abs=0.05)
    opened.locator("#separate-song").get_by_label("Clear").click()
    opened.locator("#separate-song").get_by_label("Record audio").click()
    opened.locator("#separate-song").get_by_role("button", name="Record", exact=True).click()
    opened.wait_for_timeout(1500)
    opened.locator("#separate-song").get_by_role("button", name="Stop").click()
    opened.locator("#separate-picture svg[role=img]").wait_for()
    opened.close()


def test_no_path_out(site: Site) -> None:
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
    """What a browser never sends: an input that names a file of the server, or an address to fetch."""
    secret = tmp_path / "secret.wav"
    soundfile.write(secret, 0.1 * np.sin(np.arange(44100) / 3), 44100)
    config = httpx.get(f"{site.address}/config").json()
    kinds = {component["id"]: component["type"] for component in config["components"]}
    listens = next(d for d in config["dependencies"] if [kinds[i] for i in d["inputs"]] == ["audio"])
    for path in (str(secret), "http://127.0.0.1:9/fetched.wav", "https://example.org/fetched.wav"):
        data = [{"path": path, "meta": {"_type": "gradio.FileData"}}]
        body = {"data": data, "fn_index": listens["id"], "session_hash": "crafted"}
        httpx.post(f"{site.address}/gradio_api/queue/join", json=body).raise_for_status()
        with httpx.stream(
            "GET", f"{site.address}/gradio_api/queue/data", params={"session_hash": "crafted"}, timeout=60
        ) as stream:
            events = [json.loads(line[5:]) for line in stream.iter_lines() if line.startswith("data:")]
        (done,) = (event for event in events if event["msg"] == "process_completed")
        assert done["success"] is False
    assert not site.files("secret.wav") and not site.files("fetched.wav")


def test_nothing_was_asked_of_other_machines(site: Site, page: "sync_api.Page") -> None:
    assert len(site.asked) > 100
    elsewhere = [url for url in site.asked if not url.startswith((site.address, "data:", "blob:"))]
    assert elsewhere == []
    assert page.title() == "TagBox"
    assert "default-src 'self'" in httpx.get(site.address).headers["content-security-policy"]


def test_the_folder_goes_with_the_server(site: Site, page: "sync_api.Page") -> None:
    assert any(site.temporary.glob("tagbox-ui-*"))
    site.process.send_signal(signal.SIGTERM)
    assert site.process.wait(timeout=60) == 130
    assert not any(site.temporary.glob("tagbox-ui-*"))
