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
# A busy machine takes half a minute to open a page.
TIMEOUT_MS = 180_000
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
    recording = page.locator(f"#{tab}-recording")
    clear, chooser = recording.get_by_label("Clear"), recording.locator("input[type=file]")
    # While a recording is on its way there is neither.
    clear.or_(chooser).first.wait_for(state="attached")
    if clear.count():
        clear.click()
        # Else the next to look for a drawing or a message would find that of the recording before.
        for shown in ("drawing", "message"):
            sync_api.expect(page.locator(f"#{tab}-{shown}")).to_have_text("", timeout=TIMEOUT_MS)
    chooser.set_input_files(path)


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
    """Start a job; what the page says from then on is of this job."""
    with page.expect_request(lambda request: "/queue/join" in request.url):
        page.locator(f"#{tab}-start").click()


def start_and_wait_for_curves(page: "sync_api.Page") -> None:
    start(page)
    # A curve of one step, or a level one, has no area: Playwright takes it for hidden.
    page.locator("#separate-message polyline.probability").wait_for(state="attached")


def assert_error(page: "sync_api.Page", text: str, tab: str = "separate") -> None:
    alert = page.locator(f"#{tab}-message [role=alert]")
    sync_api.expect(alert).to_contain_text(text, timeout=TIMEOUT_MS)


def mixer_of(page: "sync_api.Page", tab: str = "separate") -> "sync_api.FrameLocator":
    """Return the mixer in a tab, once its song is done."""
    mixer = page.frame_locator(f"#{tab}-mixer iframe")
    mixer.locator("body[data-state=done]").wait_for(state="attached")
    return mixer


def song_address(page: "sync_api.Page", site: Site, tab: str = "separate") -> str:
    """Return the address of the API for the song in a tab."""
    token = (page.locator(f"#{tab}-mixer iframe").get_attribute("src") or "").partition("=")[2]
    return f"{site.address}/api/songs/{token}"


def durations(page: "sync_api.Page", site: Site, tab: str = "separate") -> dict[str, float]:
    """Return the length in seconds of every track of a finished song."""
    mixer_of(page, tab)
    tracks = httpx.get(song_address(page, site, tab)).raise_for_status().json()["tracks"]
    assert all(track["ready"] == track["samples"] for track in tracks)
    return {track["name"]: track["samples"] / track["rate"] for track in tracks}


def read_audio(content: bytes) -> torch.Tensor:
    """Return the samples of an audio file, (channels, samples)."""
    return torch.from_numpy(soundfile.read(io.BytesIO(content), always_2d=True)[0].T.copy())


def wait_until(condition: Callable[[], bool], seconds: float = TIMEOUT_MS / 1000) -> None:
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
    lengths = durations(page, site)
    assert set(lengths) == {"mixture", "violin", "residual"}
    assert lengths == pytest.approx(dict.fromkeys(lengths, SECONDS), abs=0.05)
    assert "4 steps" in page.locator("#separate-message").inner_text()
    drawn = mixer_of(page).locator("canvas.spectrogram[data-shown]")
    sync_api.expect(drawn).to_have_count(3, timeout=TIMEOUT_MS)
    screenshot(page, "desktop")

    links = page.locator("#separate-results a").evaluate_all("all => all.map(a => a.href)")
    answers = [httpx.get(address).raise_for_status() for address in links]
    with zipfile.ZipFile(io.BytesIO(answers[0].content)) as archive:
        files = {name.rpartition(" - ")[2]: archive.read(name) for name in archive.namelist()}
    assert set(files) == {"mixture.flac", "violin.flac", "residual.flac", "run.json"}
    tracks = {name: read_audio(content) for name, content in files.items() if name.endswith(".flac")}
    # Each file is rounded to 24 bits, by half a step of 2**-23 at the most.
    torch.testing.assert_close(
        tracks["violin.flac"] + tracks["residual.flac"], tracks["mixture.flac"], atol=2**-22, rtol=0
    )
    manifest = answers[1].json()
    assert manifest == json.loads(files["run.json"])
    assert manifest["runs"][0]["steps"] == 4
    assert manifest["input"]["file"].endswith("song.wav")
    assert str(site.temporary) not in json.dumps(manifest)
    shown_manifest = page.locator("#separate-results pre").text_content()
    assert shown_manifest is not None and json.loads(shown_manifest) == manifest


@pytest.fixture
def mixer(
    page: "sync_api.Page", window: "sync_api.BrowserContext", site: Site, song: Path
) -> Iterator["sync_api.Page"]:
    """A window with the mixer of the song that the page has separated."""
    if not page.locator("#separate-mixer iframe").count():
        upload_and_wait(page, song)
        choose_violin(page)
        fill_in(page, {**QUICK, "Steps": 1})
        start(page)
    mixer_of(page)
    opened = window.new_page()
    opened.on("request", lambda request: site.requested.append(request.url))
    opened.goto(f"{site.address}/{page.locator('#separate-mixer iframe').get_attribute('src')}")
    opened.locator("body[data-state=done]").wait_for(state="attached")
    yield opened
    opened.close()


LISTEN = """async ([seconds, starts]) => {
  const { Player } = await import("/web/player.js");
  const { Samples } = await import("/web/samples.js");
  const { song, settings } = mixer;
  let started = 0;
  const start = AudioBufferSourceNode.prototype.start;
  AudioBufferSourceNode.prototype.start = function (when) {
    started += 1;
    start.call(this, when);
  };
  let context;
  const open = (rate) => {
    context = new OfflineAudioContext(2, Math.round((seconds + 1) * rate), rate);
    context.resume = async () => {};
    return context;
  };
  const player = new Player(song, new Samples(song.song), settings, open);
  player.currentTime = 0;
  await player.play();
  while (started < starts) await new Promise((resolve) => setTimeout(resolve, 50));
  const buffer = await context.startRendering();
  player.pause();
  AudioBufferSourceNode.prototype.start = start;
  return [0, 1].map((side) => Array.from(buffer.getChannelData(side)));
}"""
"""Plays the song of the mixer into memory, once so many sources have been started: all of them."""


def first_sound(audio: torch.Tensor) -> int:
    return int((audio.abs().amax(dim=0) > 0).int().argmax())


def slide(page: "sync_api.Page", label: str, value: float) -> None:
    """Move a slider as a hand does."""
    page.get_by_label(label).evaluate(
        "(input, value) => { input.value = value; input.dispatchEvent(new Event('input')); }", value
    )


def drag(page: "sync_api.Page", place: str, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """Drag the mouse over a place, from one point to another; points are shares of its width and height."""
    box = page.locator(place).bounding_box()
    assert box is not None
    for act, (x, y) in (("down", begin), ("move", begin), ("move", end), ("up", end)):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=4)
        if act != "move":
            getattr(page.mouse, act)()


def test_the_mixer_plays_exports_what_is_heard_and_is_found_as_it_was_left(
    mixer: "sync_api.Page", page: "sync_api.Page", site: Site
) -> None:
    address = song_address(page, site)

    def link(text: str) -> torch.Tensor:
        href = mixer.get_by_text(text, exact=True).first.get_attribute("href")
        return read_audio(httpx.get(f"{site.address}/{href}").raise_for_status().content)

    mixer.keyboard.press(" ")
    mixer.wait_for_function("mixer.player.currentTime > 0.1")
    mixer.keyboard.press(" ")
    mixer.wait_for_function("mixer.player.paused")

    recording, violin, residual = (
        read_audio(httpx.get(f"{address}/files/{name}.flac").raise_for_status().content)
        for name in ("mixture", "violin", "residual")
    )
    # Two roundings to 24 bits.
    exact = {"atol": 2**-22, "rtol": 0.0}
    torch.testing.assert_close(link("Save mix"), recording, **exact)
    torch.testing.assert_close(link("save without violin"), residual, **exact)
    slide(mixer, "Volume of violin", -6)
    slide(mixer, "Pan of residual", -0.5)
    gains = torch.tensor([[1.0], [0.5]])
    mix = link("Save mix")
    torch.testing.assert_close(mix, 10 ** (-6 / 20) * violin + gains * residual, **exact)

    # What the loudspeakers get: the same samples, from the first one on and across the borders of chunks.
    heard = torch.tensor(mixer.evaluate(LISTEN, [SECONDS, 3 * 2]), dtype=torch.float64)
    first = first_sound(heard) - first_sound(mix)
    # Float32, in which the browser computes.
    torch.testing.assert_close(heard[:, first : first + mix.shape[1]], mix, atol=2**-21, rtol=0)

    press(mixer, "[aria-label='Solo violin']")
    press(mixer, "#recording")
    drag(mixer, ".lane[data-track=violin] .wave", (1 / 3, 0.5), (2 / 3, 0.5))
    mixer.wait_for_function("mixer.settings.selection !== null")
    selection = mixer.evaluate("mixer.settings.selection")
    assert selection.pop("track") == "violin"
    assert selection == pytest.approx({"start": SECONDS / 3, "stop": SECONDS * 2 / 3}, abs=0.1)
    # Its borders are dragged, too.
    drag(mixer, ".lane[data-track=residual] .wave", (2 / 3, 0.5), (0.9, 0.5))
    mixer.wait_for_function("mixer.settings.selection.stop > 2.5")
    assert mixer.evaluate("mixer.settings.selection.start") == pytest.approx(SECONDS / 3, abs=0.1)
    mixer.keyboard.press("l")
    screenshot(mixer, "mixer")

    left = mixer.evaluate("JSON.parse(JSON.stringify({ ...mixer.settings }))")
    assert left["loop"] and left["listen"] == "recording"
    assert left["tracks"]["violin"] == {"volume": -6, "pan": 0, "mute": False, "solo": True}
    wait_until(lambda: httpx.get(address).json()["mixer"].get("loop") is True)
    mixer.reload()
    mixer.locator("body[data-state=done]").wait_for(state="attached")
    assert mixer.evaluate("JSON.parse(JSON.stringify({ ...mixer.settings }))") == left
    assert mixer.get_by_label("Solo violin").get_attribute("aria-pressed") == "true"
    mixer.set_viewport_size(PHONE)
    mixer.wait_for_function("document.documentElement.scrollWidth <= 390")
    screenshot(mixer, "mixer-phone")


def test_drags_correct_a_song_and_undo_takes_corrections_back(
    site: Site, window: "sync_api.BrowserContext", song: Path
) -> None:
    query = {"name": "song.wav", "words": "violin", "duration": "2", "format": "WAV, float"}
    answer = httpx.post(f"{site.address}/api/songs", params=query, content=song.read_bytes(), timeout=60)
    token = answer.json()["song"]
    address = f"{site.address}/api/songs/{token}"

    def tracks() -> list[torch.Tensor]:
        described = httpx.get(address).json()["tracks"]
        return [read_audio(httpx.get(f"{address}/files/{each['file']}").content) for each in described]

    def wait_for_version(number: int) -> None:
        opened.wait_for_function(f"mixer.song.version === {number} && mixer.song.state === 'done'")

    opened = window.new_page()
    opened.goto(f"{site.address}/mixer?song={token}")
    opened.locator("body[data-state=done]").wait_for(state="attached")
    before = tracks()
    whole = "[aria-label*='from 0:00.0 to 0:02.0']"
    opened.locator(f".lane[data-track=violin] .presence{whole}").wait_for(state="attached")
    parts = httpx.get(f"{address}/files/run.json").json()["presence"]["parts"]["violin"]
    shown = httpx.get(address).json()["tracks"][1]["presence"]
    assert shown == [[0.0, 1.0, parts[0]], [1.0, 2.0, parts[1]]]
    drag(opened, ".lane[data-track=violin] .wave", (0.25, 0.5), (0.75, 0.5))
    opened.wait_for_function("mixer.settings.selection !== null")
    press(opened, "#corrections [aria-label='The source does not play in the selection']")
    wait_for_version(2)
    opened.locator(f".lane[data-track=violin] .presence:not({whole})").wait_for(state="attached")
    recording, violin, residual = tracks()
    rate = recording.shape[1] // 2
    assert not violin[:, int(0.6 * rate) : int(1.4 * rate)].any() and violin.any()
    # Float32 of samples below 1, and of sums of two.
    torch.testing.assert_close(violin + residual, recording, atol=2**-23, rtol=0)
    opened.keyboard.press("Control+z")
    wait_for_version(3)
    assert all(torch.equal(after, first) for after, first in zip(tracks(), before, strict=True))
    drag(opened, ".lane[data-track=residual] .spectrogram", (0.1, 0.9), (0.5, 0.4))
    opened.wait_for_function("mixer.settings.selection.low > 0")
    screenshot(opened, "correcting")
    press(opened, "#corrections [aria-label='The rectangle belongs to the source']")
    wait_for_version(4)
    (made,) = httpx.get(address).json()["corrections"]
    assert (
        made["kind"] == "region" and made["source"] == "residual" and 0 < made["low"] < made["high"] < 10_000
    )
    assert httpx.get(f"{address}/files/run.json").json()["corrections"] == [made]
    opened.reload()
    opened.locator("#corrections [aria-label='Undo the last correction']:enabled").wait_for()
    for body in (
        '[{"kind": "is"}]',
        "[]x",
        "{}",
        '[{"kind": "is", "source": "flute", "start": 0, "stop": 1}]',
    ):
        refused = httpx.post(f"{address}/corrections", content=body)
        assert refused.status_code == 400 and refused.json()["error"]
    opened.close()


def swipe(page: "sync_api.Page", place: str, begin: tuple[float, float], end: tuple[float, float]) -> None:
    """Move a finger over a place, from one point to another; points are shares of its width and height."""
    touched = page.locator(place)
    touched.scroll_into_view_if_needed()
    box = touched.bounding_box()
    assert box is not None
    devtools = page.context.new_cdp_session(page)

    def touch(kind: str, points: list[tuple[float, float]]) -> None:
        at = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in points]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    touch("touchStart", [begin])
    for part in (0.25, 0.5, 0.75, 1.0):
        touch("touchMove", [tuple(a + part * (b - a) for a, b in zip(begin, end, strict=True))])
    touch("touchEnd", [])
    devtools.detach()


def test_the_mixer_works_with_a_finger(browser: Any, site: Site, song: Path) -> None:
    query = {"name": "song.wav", "words": "violin", "duration": "2", "preset": "fast"}
    answer = httpx.post(f"{site.address}/api/songs", params=query, content=song.read_bytes(), timeout=60)
    phone = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    phone.set_default_timeout(TIMEOUT_MS)
    opened = phone.new_page()
    opened.goto(f"{site.address}/mixer?song={answer.json()['song']}")
    opened.locator("body[data-state=done]").wait_for(state="attached")
    opened.locator(".lane[data-track=violin] canvas.spectrogram[data-shown]").wait_for(state="attached")

    opened.locator("[aria-label='Solo violin']").tap()
    opened.locator("[aria-label='Solo violin'][aria-pressed=true]").wait_for()

    swipe(opened, ".lane[data-track=violin] .wave", (0.25, 0.5), (0.75, 0.5))
    opened.wait_for_function("mixer.settings.selection !== null")
    selection = opened.evaluate("mixer.settings.selection")
    assert selection.pop("track") == "violin"
    assert selection == pytest.approx({"start": 0.5, "stop": 1.5}, abs=0.1)

    swipe(opened, ".lane[data-track=violin] .spectrogram", (0.5, 0.8), (1.0, 0.4))
    opened.wait_for_function("mixer.settings.selection.low > 0")
    selection = opened.evaluate("mixer.settings.selection")
    assert selection["start"] == pytest.approx(1.0, abs=0.1) and selection["low"] < selection["high"]

    # A finger that moves up or down scrolls, and selects nothing.
    before = opened.evaluate("scrollY")
    swipe(opened, ".lane[data-track=violin] .spectrogram", (0.3, 0.9), (0.3, -2.0))
    opened.wait_for_function("before => scrollY > before", arg=before)
    assert opened.evaluate("mixer.settings.selection") == selection

    # The song goes on from where a finger taps.
    opened.locator(".lane[data-track=violin] .spectrogram").tap(position={"x": 30, "y": 20})
    opened.wait_for_function("mixer.player.currentTime > 0")
    screenshot(opened, "mixer-finger")
    phone.close()


def test_several_recordings_have_a_list_and_one_archive(
    site: Site, window: "sync_api.BrowserContext", tmp_path: Path
) -> None:
    duet = audio.read(DUET, 2, 0.5)
    for name in ("first.wav", "second.wav"):
        audio.write(tmp_path / name, duet.samples, duet.rate)
    (tmp_path / "third.wav").write_bytes(b"not music")
    opened = window.new_page()
    opened.goto(f"{site.address}/songs")
    opened.locator("[name=words]").fill("violin")
    opened.locator("[name=preset] option").first.wait_for(state="attached")
    opened.locator("[name=files]").set_input_files(
        [tmp_path / f"{n}.wav" for n in ("first", "second", "third")]
    )
    press(opened, "#form button")
    opened.locator("#songs .error").filter(has_text="third.wav").wait_for()
    done = opened.locator("#songs [data-state=done]")
    opened.wait_for_function("document.querySelectorAll('#songs [data-state=done]').length >= 2")
    screenshot(opened, "songs")
    opened.reload()
    sync_api.expect(done.filter(has_text=re.compile("first|second"))).to_have_count(2, timeout=TIMEOUT_MS)
    href = opened.locator("#archive").get_attribute("href")
    content = httpx.get(f"{site.address}/{href}").raise_for_status().content
    names = set(zipfile.ZipFile(io.BytesIO(content)).namelist())
    assert {f"{song}/{song} - violin.flac" for song in ("first", "second")} <= names
    press(opened, "[aria-label='Remove second']")
    opened.locator("#songs li").filter(has_text="second").wait_for(state="detached")
    assert done.filter(has_text="first").count() == 1 and not site.files("first.wav")
    opened.close()


def test_programs_use_the_same_functions_over_http(site: Site, song: Path) -> None:
    with httpx.Client(base_url=site.address, timeout=60) as client:
        operations = client.get("/api").json()["operations"]
        assert {"method": "GET", "path": "/api/songs/{song}/zip"}.items() <= operations[-2].items()
        query = {"name": "../../x/solo.wav", "words": ["violin"], "duration": "0.5", "format": "WAV, float"}
        answer = client.post("/api/songs", params=query, content=song.read_bytes())
        assert answer.status_code == 202
        address = f"/api/songs/{answer.json()['song']}"
        wait_until(lambda: client.get(address).json()["state"] not in ("waiting", "running"))
        described = client.get(address).json()
        assert described["state"] == "done" and described["title"] == "solo"
        files = {t["name"]: client.get(f"{address}/files/{t['file']}").content for t in described["tracks"]}
        assert list(files) == ["mixture", "violin", "residual"]
        violin = read_audio(files["violin"])
        for start, stop in ((0, 10), (12_345, 20_000), (violin.shape[1] - 5, violin.shape[1] + 5)):
            span = client.get(f"{address}/samples", params={"track": "violin", "start": start, "stop": stop})
            samples = torch.from_numpy(np.frombuffer(span.content, "<f4").copy()).reshape(-1, len(violin)).T
            assert torch.equal(samples, violin[:, start:stop].float())
        peaks = np.frombuffer(client.get(f"{address}/peaks", params={"track": "violin"}).content, np.int8)
        assert np.abs(peaks).max() == np.ceil(127 * violin.abs().max())
        assert not site.files("solo.wav")

        for method, place, query, status in (
            ("GET", f"/api/songs/{'0' * 32}", {}, 404),
            ("GET", f"{address}/files/x", {}, 404),
            ("GET", f"{address}/samples", {"track": "flute"}, 400),
            ("GET", f"{address}/samples", {"track": "violin", "start": "nan"}, 400),
            ("GET", f"{address}/mix", {"tracks": '{"violin": {"gain": -1}}'}, 400),
            ("GET", f"{address}/mix", {"tracks": "violin"}, 400),
            ("POST", "/api/songs", {"name": "x.wav", "words": "violn"}, 400),
            ("POST", "/api/songs", {"name": "x.wav", "words": "violin", "preset": "/etc"}, 400),
        ):
            refused = client.request(method, place, params=query, content=song.read_bytes())
            assert refused.status_code == status and refused.json()["error"]
            assert str(site.temporary) not in refused.text
        assert client.delete(address, headers={"Origin": "http://example.org"}).status_code == 403
        large = client.post(
            "/api/songs", params={"name": "x.wav", "words": "violin"}, content=bytes(3_000_001)
        )
        assert large.status_code == 413
        assert not site.files("x.wav")
        assert client.delete(address).status_code == 200
        assert client.get(address).status_code == 404
        wait_until(lambda: not any(address.rpartition("/")[2] in str(path) for path in site.files()))


def test_everything_fits_a_phone(page: "sync_api.Page") -> None:
    page.set_viewport_size(PHONE)
    try:
        page.wait_for_function("document.documentElement.scrollWidth <= 390")
        screenshot(page, "phone")
        for place in ("#separate-start", "#separate-mixer iframe", "#separate-drawing svg[role=img]"):
            box = page.locator(place).first.bounding_box()
            assert box is not None and box["x"] >= 0 and box["x"] + box["width"] <= 390
        assert mixer_of(page).locator("html").evaluate("html => html.scrollWidth - html.clientWidth") == 0
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
    before = len(site.files("violin.flac"))
    start_and_wait_for_curves(page)
    screenshot(page, "running")
    press(page, "#separate-cancel")
    page.get_by_text("Cancelled.").wait_for()
    page.locator("#separate-cancel").wait_for(state="hidden")
    assert page.locator("#separate-mixer iframe").count() == 0

    start_and_wait_for_curves(page)
    press(page, "#separate-stop")
    assert durations(page, site)["violin"] == pytest.approx(SECONDS, abs=0.05)
    assert "stopped early" in page.locator("#separate-results").inner_text()
    assert len(site.files("violin.flac")) == before + 1  # of the run that was kept


def test_containers_of_phones_and_video_sites(page: "sync_api.Page", ffmpeg: None, tmp_path: Path) -> None:
    """Browsers call some of them video, and Gradio by itself takes audio only."""
    picture = ["-f", "lavfi", "-i", "color=s=64x64:d=1", "-c:v", "mpeg4"]
    for ending, options in {"mp4": picture, "webm": ["-c:a", "libopus"], "m4a": []}.items():
        path = tmp_path / f"phone.{ending}"
        command = ["ffmpeg", "-v", "error", "-t", "1", "-i", str(DUET), *options, str(path)]
        subprocess.run(command, check=True)
        upload_and_wait(page, path)
    page.reload()
    page.locator("#separate-start").wait_for()
    dropped = page.evaluate_handle(
        """() => {
            const transfer = new DataTransfer();
            transfer.items.add(new File(["no music"], "phone.mp4", { type: "video/mp4" }));
            return transfer;
        }"""
    )
    page.locator("#separate-recording button").first.dispatch_event("drop", {"dataTransfer": dropped})
    sync_api.expect(page.locator("#separate-message")).to_contain_text("phone.mp4", timeout=TIMEOUT_MS)


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
    assert set(durations(third, site)) == {"mixture", "piano", "residual"}
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
    lengths = durations(opened, site, "style-transfer")
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
    assert durations(opened, site)["violin"] == pytest.approx(2, abs=0.05)
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
        f"api/songs/..%2f..%2f{secret.name}/files/x",
        f"api/songs/{'0' * 32}/files/..%2f..%2f{secret.name}",
        f"web/..%2f..%2f{secret.name}",
        "web/../server.py",
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
