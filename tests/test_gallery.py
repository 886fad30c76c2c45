"""The gallery as it is committed: whole, of this repository alone, and saying what its runs say."""

import dataclasses
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch
import typer

from scripts.gallery import files, page, runs, words
from scripts.gallery.__main__ import main
from scripts.gallery.examples import EXAMPLES, ROOT, SECONDS, Example, Setup, find
from tagbox import audio
from tagbox.cli import app
from tagbox.evaluation.metrics import si_sdr

GALLERY = ROOT / "docs" / "gallery"
LARGEST = 20_000_000
RUNS = [pytest.param(e, s, id=f"{e.name}/{s.name}") for e in EXAMPLES for s in e.setups]
# What loads at once when a page is shown; a plain link does not.
LOADED = {"src", "srcset", "poster", "data", "background"}


@dataclass
class Seen(HTMLParser):
    """What a page names: addresses it loads, links, and the text of cells with figures, by run and name."""

    loaded: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)
    identifiers: list[str] = field(default_factory=list)
    figures: dict[tuple[str, str], str] = field(default_factory=dict)
    code: list[str] = field(default_factory=list)
    _run: str = ""
    _figure: str = ""
    _in_code: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.loaded += [value for name, value in given.items() if name in LOADED]
        if "href" in given:
            (self.links if tag == "a" else self.loaded).append(given["href"])
        if "id" in given:
            self.identifiers.append(given["id"])
        if tag == "tr":
            self._run = given.get("data-run", given.get("data-control", ""))
        self._figure = given.get("data-figure", "")
        if tag == "pre":
            self.code.append("")
            self._in_code = True

    def handle_data(self, data: str) -> None:
        if self._figure:
            self.figures[self._run, self._figure] = data
        if self._in_code:
            self.code[-1] += data

    def handle_endtag(self, tag: str) -> None:
        self._figure = ""
        if tag == "pre":
            self._in_code = False


@pytest.fixture(scope="module")
def html() -> str:
    return (GALLERY / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def seen(html: str) -> Seen:
    parsed = Seen()
    parsed.feed(html)
    return parsed


def test_it_needs_no_other_place(html: str, seen: Seen) -> None:
    assert seen.loaded
    for address in seen.loaded:
        assert re.fullmatch(r"(audio|pictures)/[\w.-]+", address), address
    assert not {"script", "iframe", "link", "object"} & set(seen.tags)
    assert "@import" not in html and "url(" not in html


def test_all_that_it_names_is_there_and_nothing_else(seen: Seen) -> None:
    named = {*seen.loaded, *(link for link in seen.links if link.startswith(files.RUNS))}
    assert named == set(page.files_of(EXAMPLES))
    there = {path.relative_to(GALLERY).as_posix() for path in GALLERY.rglob("*") if path.is_file()}
    assert there == named | {"index.html"}
    inside = [link[1:] for link in seen.links if link.startswith("#")]
    assert inside == [example.name for example in EXAMPLES]
    assert set(inside) <= set(seen.identifiers)


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in GALLERY.rglob("*") if path.is_file()) < LARGEST


def test_it_is_what_its_runs_make(html: str) -> None:
    """Nothing was changed by hand, and nothing is left from before."""
    kept = [(e, {s.name: runs.read(e, s, GALLERY) or {} for s in e.setups}) for e in EXAMPLES]
    assert page.render(kept) == html


def test_no_result_is_of_other_weights_or_settings() -> None:
    old = [f"{e.name}/{s.name}" for e in EXAMPLES for s in e.setups if not runs.is_done(e, s, GALLERY)]
    assert not old, "make gallery"


@pytest.mark.parametrize(("example", "setup"), RUNS)
def test_each_run_has_its_figures_table_players_and_command(
    example: Example, setup: Setup, html: str, seen: Seen
) -> None:
    kept = runs.read(example, setup, GALLERY)
    assert kept is not None
    assert kept["key"]["command"] in seen.code
    for track in runs.tracks_of(example):
        name = files.stem(example, setup, track)
        assert files.audio_of(name) in seen.loaded and files.picture_of(name) in seen.loaded
    section = html[html.index(f'<section id="{example.name}">') :].partition("</section>")[0]
    assert all(f"<td>{name}</td><td>{value}</td>" in section for name, value in example.table)
    run = f"{example.name}-{setup.name}"
    loop = kept["manifest"]["runs"][0]
    assert seen.figures[run, "loss"] == (
        "no loop" if loop["steps"] == 1 else f"{loop['loss_first']:.3f} to {loop['loss_last']:.3f}"
    )
    if example.stem is None:
        assert (run, "improvement") not in seen.figures
        assert float(seen.figures[run, "kept"]) == pytest.approx(kept["figures"]["kept"], abs=0.0501)
        return
    ratios = kept["figures"]["si_sdr"]
    for name, value in (
        ("before", ratios["mixture"]),
        ("after", ratios["source"]),
        ("improvement", ratios["source"] - ratios["mixture"]),
        ("residual", ratios["residual"] - ratios["mixture"]),
    ):
        assert float(seen.figures[run, name]) == pytest.approx(value, abs=0.0501)


@pytest.mark.parametrize(("example", "setup"), RUNS)
def test_what_is_heard_is_what_was_measured(example: Example, setup: Setup) -> None:
    """The players' files against the stems in examples/: MP3 at 160 kbit/s costs little of such ratios."""
    kept = runs.read(example, setup, GALLERY)
    assert kept is not None
    for track in runs.tracks_of(example):
        heard = audio.read(GALLERY / files.audio_of(files.stem(example, setup, track)))
        assert heard.duration == pytest.approx(SECONDS, abs=1e-3)
        truth = runs.excerpt(example, example.stem or "mixture").samples
        told = kept["figures"]["si_sdr"][track] if example.stem else kept["figures"]["kept"]
        assert si_sdr(heard.samples, truth) == pytest.approx(told, abs=0.3)


@pytest.mark.parametrize(("example", "setup"), RUNS)
def test_commands_are_understood_and_mean_the_settings_told(example: Example, setup: Setup) -> None:
    command, *arguments = example.arguments(setup)
    parser = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    given = parser.make_context(command, arguments).params
    assert (given["start"], given["duration"], given["preset"]) == (example.start, SECONDS, setup.preset)
    kept = runs.read(example, setup, GALLERY)
    assert kept is not None
    # What ran was told by the command alone, so its settings are what the command means.
    assert kept["key"]["command"] == example.shell(setup)
    told = runs.deciding(dataclasses.asdict(setup.settings))
    assert runs.deciding(kept["manifest"]["settings"]) == told


def test_every_example_of_the_original_page_is_there() -> None:
    originals = " ".join(example.original for example in EXAMPLES)
    for title in ("Wonderwall", "Howl's Moving Castle", "Smoke On The Water", "multiple FFT sizes", "Style"):
        assert title in originals
    assert all(any(setup.preset == "paper" for setup in example.setups) for example in EXAMPLES)
    assert all(len(example.table) == len(EXAMPLES[0].table) for example in EXAMPLES)


@pytest.fixture
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Example, Setup]]:
    """A run of the gallery that takes a moment, in the repository's own way."""
    quick = Setup("fast", "fast", "Quick.", {"components": 4})
    made = Example(
        "quick", "Quick", "none", "A duet.", "duet", "violin", (quick,), EXAMPLES[1].table, stem="violin"
    )
    for module in ("examples", "runs", "page"):
        monkeypatch.setattr(f"scripts.gallery.{module}.SECONDS", 2.0)
    monkeypatch.setattr("scripts.gallery.examples.EXAMPLES", (made,))
    monkeypatch.setattr("scripts.gallery.__main__.EXAMPLES", (made,))
    monkeypatch.setattr("scripts.gallery.page.EXAMPLES", (made,))
    yield made, quick
    shutil.rmtree(ROOT / "out" / "gallery" / "quick", ignore_errors=True)


def test_results_are_kept_until_they_would_differ(
    quick: tuple[Example, Setup],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    example, setup = quick
    out = tmp_path / "gallery"
    assert main(["--out", str(out), "--list"]) == 0
    assert "quick/fast: to be run" in capfd.readouterr().out
    assert main(["--out", str(out)]) == 0
    assert "took" in capfd.readouterr().out
    (out / "audio" / "left-from-before.mp3").touch()
    first = (out / files.run_of(example, setup)).stat().st_mtime_ns
    (out / "index.html").unlink()
    assert main(["--out", str(out), "--only", "quick"]) == 0
    assert "is there" in capfd.readouterr().out
    assert (out / "index.html").is_file()
    assert not (out / "audio" / "left-from-before.mp3").exists()
    assert (out / files.run_of(example, setup)).stat().st_mtime_ns == first
    assert runs.is_done(example, setup, out)
    monkeypatch.setattr(audio, "fingerprint", lambda path: "other weights")
    assert not runs.is_done(example, setup, out)
    monkeypatch.undo()
    (out / files.picture_of(files.stem(example, setup, "source"))).unlink()
    assert not runs.is_done(example, setup, out)


def test_a_run_that_fails_leaves_the_page_as_it_was(
    quick: tuple[Example, Setup],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    made, _ = quick
    unknown = dataclasses.replace(made, tag="kazoo")
    for module in ("examples", "__main__", "page"):
        monkeypatch.setattr(f"scripts.gallery.{module}.EXAMPLES", (unknown,))
    (tmp_path / "index.html").write_text("before", encoding="utf-8")
    assert main(["--out", str(tmp_path)]) == 1
    assert "quick/fast: failed with 2" in capfd.readouterr().out
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == "before"


def test_one_run_can_be_named() -> None:
    assert [(e.name, s.name) for e, s in find("violin/paper")] == [("violin", "paper")]
    assert len(find("vocals")) == 3
    with pytest.raises(SystemExit) as ended:
        main(["--only", "kazoo"])
    assert ended.value.code == 2


def test_flutter_knows_steady_from_unsteady() -> None:
    from scripts.gallery.measures import flutter

    seconds = torch.arange(44100) / 44100
    tone = 0.5 * torch.sin(2 * torch.pi * 440 * seconds)[None]
    wavering = tone * (1 + 0.8 * torch.sin(2 * torch.pi * 20 * seconds))
    assert flutter(wavering, tone) > flutter(tone, tone) + 0.5


def test_verdicts_follow_the_figures() -> None:
    example = EXAMPLES[1]

    def said(source: float, residual: float) -> str:
        ratios = {"mixture": 0.0, "source": source, "residual": residual}
        loop = {"loss_first": 1.0, "loss_last": 0.5}
        kept = {"figures": {"si_sdr": ratios}, "manifest": {"runs": [loop]}}
        return words.verdict(example, example.setups[0], kept)

    assert "5.0 dB nearer to the true violin" in said(5, -5)
    assert "loss fell" not in said(5, -5)
    assert "Next to nothing" in said(0.4, -5) and "loss fell all the same" in said(0.4, -5)
    assert "does not separate" in said(-3, -5) and "residual" not in said(-3, -5)
    assert "residual is nearer" in said(-3, -1)


def test_players_are_what_they_say() -> None:
    for path in sorted((GALLERY / files.AUDIO).iterdir()):
        info = soundfile.info(path)
        assert (info.format, info.samplerate) == ("MP3", 44100)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if chromium is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        try:
            # A sandbox needs rights that containers do not give.
            opened = playwright.chromium.launch(
                executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
            )
        except sync_api.Error as error:
            pytest.skip(f"{chromium} does not start here: {error.message.splitlines()[0]}")
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [1200, 360])
def test_it_plays_in_a_browser_that_is_offline(browser: Any, width: int) -> None:
    opened = browser.new_context(viewport={"width": width, "height": 900}, offline=True).new_page()
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.goto((GALLERY / "index.html").as_uri())
    opened.wait_for_function(
        "[...document.querySelectorAll('audio')].every(each => each.readyState >= 1 || each.error)"
    )
    lengths = opened.evaluate("[...document.querySelectorAll('audio')].map(each => each.duration)")
    assert lengths == pytest.approx([SECONDS] * len(lengths), abs=0.1) and len(lengths) > len(RUNS)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    for image in opened.locator("img").all():
        image.scroll_into_view_if_needed()
    assert opened.evaluate("[...document.images].every(each => each.complete && each.naturalWidth)")
    assert all(url.startswith("file:") for url in asked)
    opened.context.close()
