"""Whether the page's mixer runs smoothly with a long recording: `python -m benchmarks.mixer RECORDING`.

The recording is repeated to so many minutes and separated by a real server. A Chromium without a screen draws
by the processor, opens the mixer at the size of a desktop and of a phone, plays, and zooms in while it
plays. People see a frame that comes more than 50 ms after the last one, and hear a piece of sound that starts
late.
"""

import argparse
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import soundfile
from playwright.sync_api import Page, ViewportSize, sync_playwright

from tagbox import audio

SIZES: dict[str, ViewportSize] = {
    "desktop": {"width": 1200, "height": 900},
    "phone": {"width": 390, "height": 844},
}
TIMEOUT_MS = 600_000
PLAYED_SECONDS = 15.0
LATE_MS = 50.0
WATCH = """() => {
  window.late = 0;
  const { start } = AudioBufferSourceNode.prototype;
  AudioBufferSourceNode.prototype.start = function (when) {
    if (when < this.context.currentTime) window.late += 1;
    start.call(this, when);
  };
}"""
FRAMES = """(seconds) => new Promise((resolve) => {
  const gaps = [];
  let [begin, last] = [performance.now(), performance.now()];
  const step = () => {
    const now = performance.now();
    gaps.push(now - last);
    last = now;
    if (now - begin < 1000 * seconds) requestAnimationFrame(step);
    else resolve(gaps);
  };
  requestAnimationFrame(step);
})"""
"""The milliseconds between the frames of so many seconds."""


@contextmanager
def serve(longest: float) -> Iterator[tuple[str, int]]:
    """Run the page's server; give its address and process number."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tagbox", "ui", "--port", str(port), "--longest", str(longest)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait()


def separate(address: str, path: Path, minutes: float, preset: str) -> tuple[str, float]:
    """Have the voice of a recording, repeated to a length, separated; return the song and the seconds."""
    recording = audio.read(path)
    length = round(60 * minutes * recording.rate)
    samples = recording.samples.repeat(1, -(-length // recording.samples.shape[1]))[:, :length]
    content = io.BytesIO()
    soundfile.write(content, samples.T.numpy(), recording.rate, format="FLAC")
    query = {"name": "song.flac", "words": "vocals", "preset": preset}
    begin = time.perf_counter()
    answer = httpx.post(f"{address}/api/songs", params=query, content=content.getvalue(), timeout=600)
    token = answer.raise_for_status().json()["song"]
    while (state := httpx.get(f"{address}/api/songs/{token}", timeout=60).json())["state"] != "done":
        if state["error"]:
            raise SystemExit(state["error"])
        time.sleep(0.2)
    return token, time.perf_counter() - begin


def smoothness(gaps: list[float]) -> dict[str, float]:
    """Describe the milliseconds between frames."""
    ordered = sorted(gaps)
    late = sum(gap > LATE_MS for gap in gaps)
    return {
        "median_ms": round(ordered[len(ordered) // 2], 1),
        "longest_ms": round(ordered[-1], 1),
        "late_percent": round(100 * late / len(gaps), 2),
    }


def measure(page: Page, address: str, token: str) -> dict[str, Any]:
    """Open a song's mixer, play, and zoom while it plays."""
    begin = time.perf_counter()
    page.goto(f"{address}/mixer?song={token}")
    page.locator("body[data-state=done]").wait_for(state="attached")
    page.wait_for_function("document.querySelectorAll('canvas.spectrogram[data-shown]').length === 3")
    opened = time.perf_counter() - begin
    page.evaluate(WATCH)
    page.locator("#play").click()
    page.wait_for_function("mixer.player.currentTime > 0.5")
    found: dict[str, Any] = {"opened_after_s": round(opened, 2)}
    for name, zoom in (("whole", 0), ("zoomed", 50)):
        page.evaluate("(zoom) => mixer.zoomBy(zoom)", zoom)
        before, wall = page.evaluate("mixer.player.currentTime"), time.perf_counter()
        gaps = page.evaluate(FRAMES, PLAYED_SECONDS)
        played = page.evaluate("mixer.player.currentTime") - before
        found[name] = {**smoothness(gaps), "behind_s": round(time.perf_counter() - wall - played, 2)}
    found["late_pieces"] = page.evaluate("window.late")
    found["heap_mb"] = round(page.evaluate("performance.memory.usedJSHeapSize") / 1e6)
    return found


def peak_megabytes(process: int) -> int:
    """Return the most memory that a process has had."""
    status = Path(f"/proc/{process}/status").read_text()
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+)", status)
    return round(int(kilobytes) / 1e3)


def main() -> None:
    """Print what was measured as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--preset", default="default")
    arguments = parser.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        raise SystemExit("no Chromium here; on Debian: apt-get install chromium")
    with serve(60 * arguments.minutes + 1) as (address, server), sync_playwright() as playwright:
        token, seconds = separate(address, arguments.recording, arguments.minutes, arguments.preset)
        found: dict[str, Any] = {"minutes": arguments.minutes, "separated_after_s": round(seconds, 1)}
        # A browser's sound starts without a gesture here, and its clock runs though nobody listens.
        options = ["--no-sandbox", "--mute-audio", "--autoplay-policy=no-user-gesture-required"]
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        for size, viewport in SIZES.items():
            window = browser.new_context(
                viewport=viewport, has_touch=size == "phone", is_mobile=size == "phone"
            )
            window.set_default_timeout(TIMEOUT_MS)
            found[size] = measure(window.new_page(), address, token)
            window.close()
        browser.close()
        found["server_mb"] = peak_megabytes(server)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
