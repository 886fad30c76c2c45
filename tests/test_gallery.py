"""The gallery: its page, built from the committed results, is complete and says what they say."""

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

from scripts.gallery import files, page, prose, runs
from scripts.gallery.__main__ import main
from scripts.gallery.examples import EXAMPLES, ROOT, SECONDS, Example, Setup, find_runs
from scripts.gallery.measures import flutter
from tagbox import audio
from tagbox.cli import app
from tagbox.evaluation.metrics import si_sdr

GALLERY = ROOT / "docs" / "gallery"
MAX_BYTES = 20_000_000
RUNS = [pytest.param(e, s, id=f"{e.name}/{s.name}") for e in EXAMPLES for s in e.setups]
# Attributes whose addresses a browser loads with the page, unlike those of links.
LOADED = {"src", "srcset", "poster", "data", "background"}


@dataclass
class ParsedPage(HTMLParser):
    """The addresses that a page loads, its links, and the text of its figures by run and name."""

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
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gallery with its page, built from the committed results."""
    folder = tmp_path_factory.mktemp("gallery") / "gallery"
    for place in (files.AUDIO, files.PICTURES, files.RUNS):
        shutil.copytree(GALLERY / place, folder / place)
    assert main(["--page", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def html(gallery: Path) -> str:
    return (gallery / files.PAGE).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed(html: str) -> ParsedPage:
    parsed = ParsedPage()
    parsed.feed(html)
    return parsed


def test_the_page_loads_only_its_own_files(html: str, parsed: ParsedPage) -> None:
    assert parsed.loaded
    for address in parsed.loaded:
        assert re.fullmatch(r"(audio|pictures)/[\w.-]+", address), address
    assert not {"script", "iframe", "link", "object"} & set(parsed.tags)
    assert "@import" not in html and "url(" not in html


def test_the_files_of_the_page_are_committed_and_no_others(parsed: ParsedPage) -> None:
    used = {*parsed.loaded, *(link for link in parsed.links if link.startswith(files.RUNS))}
    assert used == set(page.used_files(EXAMPLES))
    committed = {path.relative_to(GALLERY).as_posix() for path in GALLERY.rglob("*") if path.is_file()}
    assert committed - {files.PAGE} == used
    inside = [link[1:] for link in parsed.links if link.startswith("#")]
    assert inside == [example.name for example in EXAMPLES]
    assert set(inside) <= set(parsed.identifiers)


def test_the_gallery_is_small(gallery: Path) -> None:
    assert sum(path.stat().st_size for path in gallery.rglob("*") if path.is_file()) < MAX_BYTES


def test_no_result_is_of_other_weights_or_settings() -> None:
    old = [f"{e.name}/{s.name}" for e in EXAMPLES for s in e.setups if not runs.is_current(e, s, GALLERY)]
    assert not old, "make gallery"


@pytest.mark.parametrize(("example", "setup"), RUNS)
def test_each_run_has_its_figures_table_players_and_command(
    example: Example, setup: Setup, html: str, parsed: ParsedPage
) -> None:
    kept = runs.read_result(example, setup, GALLERY)
    assert kept is not None
    assert kept["key"]["command"] in parsed.code
    for track in runs.result_tracks(example):
        name = files.track_name(example, setup, track)
        assert files.audio_path(name) in parsed.loaded and files.picture_path(name) in parsed.loaded
    section = html[html.index(f'<section id="{example.name}">') :].partition("</section>")[0]
    assert all(f"<td>{name}</td><td>{value}</td>" in section for name, value in example.table)
    run = f"{example.name}-{setup.name}"
    loop = kept["manifest"]["runs"][0]
    assert parsed.figures[run, "loss"] == (
        "no loop" if loop["steps"] == 1 else f"{loop['loss_first']:.3f} to {loop['loss_last']:.3f}"
    )
    if example.stem is None:
        assert (run, "improvement") not in parsed.figures
        assert float(parsed.figures[run, "kept"]) == pytest.approx(kept["figures"]["kept"], abs=0.0501)
        return
    ratios = kept["figures"]["si_sdr"]
    for name, value in (
        ("before", ratios["mixture"]),
        ("after", ratios["source"]),
        ("improvement", ratios["source"] - ratios["mixture"]),
        ("residual", ratios["residual"] - ratios["mixture"]),
    ):
        assert float(parsed.figures[run, name]) == pytest.approx(value, abs=0.0501)


@pytest.mark.parametrize(("example", "setup"), RUNS)
def test_the_players_play_what_was_measured(example: Example, setup: Setup) -> None:
    """Compare the players with the stems in examples/: MP3 at 160 kbit/s hardly changes the ratios."""
    kept = runs.read_result(example, setup, GALLERY)
    assert kept is not None
    for track in runs.result_tracks(example):
        played = audio.read(GALLERY / files.audio_path(files.track_name(example, setup, track)))
        assert played.duration == pytest.approx(SECONDS, abs=1e-3)
        reference = runs.read_excerpt(example, example.stem or "mixture").samples
        measured = kept["figures"]["si_sdr"][track] if example.stem else kept["figures"]["kept"]
        assert si_sdr(played.samples, reference) == pytest.approx(measured, abs=0.3)


@pytest.mark.parametrize(("example", "setup"), RUNS)
def test_the_commands_have_the_settings_of_their_results(example: Example, setup: Setup) -> None:
    command, *arguments = example.arguments(setup)
    parser = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    given = parser.make_context(command, arguments).params
    assert (given["start"], given["duration"], given["preset"]) == (example.start, SECONDS, setup.preset)
    kept = runs.read_result(example, setup, GALLERY)
    assert kept is not None
    # The run had no other arguments than the command's, so its settings are what the command means.
    assert kept["key"]["command"] == example.command_line(setup)
    settings = runs.effective_settings(dataclasses.asdict(setup.settings))
    assert runs.effective_settings(kept["manifest"]["settings"]) == settings


def test_every_example_of_the_published_page_is_there() -> None:
    originals = " ".join(example.original for example in EXAMPLES)
    for title in ("Wonderwall", "Howl's Moving Castle", "Smoke On The Water", "multiple FFT sizes", "Style"):
        assert title in originals
    by_paper = [e for e in EXAMPLES if any(setup.preset == "paper" for setup in e.setups)]
    assert {example.original for example in by_paper} == {example.original for example in EXAMPLES}
    assert all(len(example.table) == len(EXAMPLES[0].table) for example in EXAMPLES)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Example, Setup]]:
    """A gallery of one short run, made by the real command."""
    setup = Setup("fast", "fast", "Quick.", {"precision": "float32"})
    example = Example(
        "quick", "Quick", "none", "A duet.", "duet", "violin", (setup,), EXAMPLES[1].table, stem="violin"
    )
    for module in ("examples", "runs", "page"):
        monkeypatch.setattr(f"scripts.gallery.{module}.SECONDS", 2.0)
    show_only(example, monkeypatch)
    yield example, setup
    shutil.rmtree(ROOT / "out" / "gallery" / "quick", ignore_errors=True)


def show_only(example: Example, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("examples", "__main__", "page"):
        monkeypatch.setattr(f"scripts.gallery.{module}.EXAMPLES", (example,))


def test_a_result_is_kept_until_its_weights_or_settings_change(
    quick: tuple[Example, Setup],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    example, setup = quick
    out = tmp_path / "gallery"
    assert main(["--out", str(out), "--list"]) == 0
    assert "quick/fast: to be run" in capfd.readouterr().out
    assert main(["--out", str(out), "--page"]) == 1
    assert not (out / files.PAGE).exists()
    assert main(["--out", str(out)]) == 0
    assert "took" in capfd.readouterr().out
    (out / "audio" / "left-from-before.mp3").touch()
    first = (out / files.run_path(example, setup)).stat().st_mtime_ns
    (out / files.PAGE).unlink()
    assert main(["--out", str(out), "--only", "quick"]) == 0
    assert "up to date" in capfd.readouterr().out
    assert (out / files.PAGE).is_file()
    assert not (out / "audio" / "left-from-before.mp3").exists()
    assert (out / files.run_path(example, setup)).stat().st_mtime_ns == first
    assert runs.is_current(example, setup, out)
    monkeypatch.setattr(audio, "fingerprint", lambda path: "other weights")
    assert not runs.is_current(example, setup, out)
    monkeypatch.undo()
    (out / files.picture_path(files.track_name(example, setup, "source"))).unlink()
    assert not runs.is_current(example, setup, out)


def test_a_run_that_fails_leaves_the_page_unchanged(
    quick: tuple[Example, Setup],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    example, _ = quick
    show_only(dataclasses.replace(example, tag="kazoo"), monkeypatch)
    (tmp_path / files.PAGE).write_text("before", encoding="utf-8")
    assert main(["--out", str(tmp_path)]) == 1
    assert "quick/fast: failed with 2" in capfd.readouterr().out
    assert (tmp_path / files.PAGE).read_text(encoding="utf-8") == "before"


def test_runs_are_found_by_name() -> None:
    assert [(e.name, s.name) for e, s in find_runs("violin/paper")] == [("violin", "paper")]
    assert len(find_runs("vocals")) == 3
    with pytest.raises(SystemExit) as ended:
        main(["--only", "kazoo"])
    assert ended.value.code == 2


def test_flutter_is_higher_for_an_unsteady_tone() -> None:
    seconds = torch.arange(44100) / 44100
    tone = 0.5 * torch.sin(2 * torch.pi * 440 * seconds)[None]
    wavering = tone * (1 + 0.8 * torch.sin(2 * torch.pi * 20 * seconds))
    assert flutter(wavering, tone) > flutter(tone, tone) + 0.5


@pytest.mark.parametrize(
    ("source", "residual", "expected", "unexpected"),
    [
        (5, -5, ["5.0 dB closer to the reference violin"], ["loss", "residual"]),
        (0.4, -5, ["+0.4 dB", "loss decreased"], ["residual"]),
        (-3, -5, ["does not separate", "3.0 dB"], ["residual"]),
        (-3, -1, ["residual is closer", "-1.0 dB"], []),
    ],
)
def test_the_verdict_follows_from_the_figures(
    source: float, residual: float, expected: list[str], unexpected: list[str]
) -> None:
    (violin,) = (example for example in EXAMPLES if example.name == "violin")
    ratios = {"mixture": 0.0, "source": source, "residual": residual}
    loop = {"loss_first": 1.0, "loss_last": 0.5}
    verdict = prose.verdict(violin, {"figures": {"si_sdr": ratios}, "manifest": {"runs": [loop]}})
    assert all(part in verdict for part in expected)
    assert not any(part in verdict for part in unexpected)


def test_the_players_files_are_mp3() -> None:
    for path in sorted((GALLERY / files.AUDIO).iterdir()):
        info = soundfile.info(path)
        assert (info.format, info.samplerate) == ("MP3", 44100)


def test_the_page_plays_offline_and_fits_a_phone(gallery: Path, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 1200, "height": 900}, offline=True)
    opened = context.new_page()
    requested: list[str] = []
    opened.on("request", lambda request: requested.append(request.url))
    opened.set_default_timeout(120_000)
    opened.goto((gallery / files.PAGE).as_uri())
    opened.wait_for_function(
        "[...document.querySelectorAll('audio')].every(each => each.readyState >= 1 || each.error)"
    )
    lengths = opened.evaluate("[...document.querySelectorAll('audio')].map(each => each.duration)")
    assert lengths == pytest.approx([SECONDS] * len(lengths), abs=0.1) and len(lengths) > len(RUNS)
    # Pictures are loaded once they are near the visible part of the page.
    for image in opened.locator("img").all():
        image.scroll_into_view_if_needed()
    opened.wait_for_function("[...document.images].every(each => each.complete && each.naturalWidth)")
    for width in (1200, 360):
        opened.set_viewport_size({"width": width, "height": 900})
        assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert all(url.startswith("file:") for url in requested)
    context.close()
