"""How the command line feels: first mistakes, completion, --quiet, --verbose, --json, colours, estimates."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile

from tagbox import cli, presets
from tagbox.cli import completion, cost_estimate
from tagbox.cli.options import overrides_of
from tagbox.cli.output import Output
from tagbox.cli.progress import StepReporter, remaining
from tagbox.errors import TagBoxError
from tagbox.methods import objectives
from tagbox.methods.steering import Step
from tagbox.presets import PRESETS, Settings

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DUET = EXAMPLES / "duet" / "mixture.flac"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line as the program does: (exit code, standard output, standard error)."""

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tagbox", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
            raise SystemExit(0)
        out, err = capsys.readouterr()
        return int(end.value.code or 0), out, err

    return call


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a recording called song.flac and a folder of two."""
    (tmp_path / "album").mkdir()
    samples, rate = soundfile.read(DUET, frames=44100)
    for name in ("song.flac", "album/one.flac", "album/two.flac"):
        soundfile.write(tmp_path / name, samples, rate)
    monkeypatch.chdir(tmp_path)
    return tmp_path


MISTAKES = [
    ("separate song.flac -o out", "no tag is given; .*--tags violin.*`tagbox tag song.flac`"),
    ("separate song.flac violin -o out", "violin is no file; .* write --tags violin"),
    ("separate song.flac --tags violin piano -o out", "piano is no file; .* write --tags piano"),
    ("separate song.flac --tags violn -o out", "no tagger knows 'violn'; did you mean violin?"),
    ("separate song.flac --tags violin,piano -o out", "--tags violin --tags piano"),
    ("separate song.flac --tags + -o out", "a tag is empty"),
    ("separate album --tags violin -o out", r"album is a folder with 2 recordings; .* album/\*.flac"),
    ("separate . --tags violin -o out", r"\. is a folder with a recording; name the files: song.flac"),
    ("separate https://a.org/b.mp3 --tags violin -o out", "https://a.org/b.mp3 is an address; download"),
    ("tag https://a.org/b.mp3", "https://a.org/b.mp3 is an address; download"),
    ("https://a.org/b.mp3", "https://a.org/b.mp3 is an address; download"),
    ("separate sogn.flac --tags violin -o out", "there is no file sogn.flac; did you mean song.flac?"),
    ("separate song.mp3 --tags violin -o out", "there is no file song.mp3; did you mean song.flac?"),
    ("separate away/song.flac --tags violin -o out", "nor a folder away"),
    ("tag sogn.flac", "did you mean song.flac?"),
    ("separate song.flac album/nine.flac --tags violin -o out", "there is no file album/nine.flac"),
    ("separate song.flac --tags violin -o song.flac", "song.flac is a file, and results need a folder"),
    ("transfer song.flac --tags guitar -o song.flac/a.wav", "song.flac is a file, and results need a folder"),
    ("separate song.flac --tags violin", "where is the result to go? give a folder with -o"),
    ("transfer song.flac --tags violin", "give a file with -o, for example -o guitar.wav"),
    ("separate song.flac --tags violin -o", "-o needs a value"),
    ("song.flac", "`tagbox tag song.flac` .* `tagbox separate song.flac --tags WORD -o out`"),
    ("separat song.flac", "did you mean `tagbox separate`?"),
    ("models pul jukebox", "did you mean `tagbox models pull`?"),
    ("models path", "NAME is missing"),
    ("separate", "no recording is given; for example: tagbox separate"),
    ("tag", "no recording is given; for example: tagbox tag"),
    ("evaluate", "no data set is given"),
    ("evaluate https://a.org/b -o out", "https://a.org/b is an address"),
    ("separate song.flac --tag violin -o out", "no option --tag; did you mean --tags?"),
    ("separate song.flac --tags violin --output out", "--output is which side .* give a folder with -o"),
    ("separate song.flac --tags violin -o out --wibble", "`tagbox separate --help` lists all"),
    ("separate song.flac --tags violin -o out --steps many", "--steps wants a whole number"),
    ("separate song.flac --tags violin -o out --lr fast", "--lr wants a number"),
    ("tag song.flac --top 0", "--top cannot be used so"),
    ("separate song.flac --tags violin -o out --preset stered", "no preset is called 'stered'"),
    ("separate song.flac --tags violin -o out --preset steered --tagger mtat/fnc", "did you mean mtat/fcn"),
    ("separate song.flac --tags violin -o out --preset paper", "tagbox models pull mtat/fcn"),
    ("separate song.flac --tags violin -o out --quiet --verbose", "contradict each other"),
    ("--quiet tag song.flac", "--quiet comes after the command"),
]


@pytest.mark.parametrize(("words", "answer"), MISTAKES, ids=[words for words, _ in MISTAKES])
def test_a_first_mistake_gets_one_line_that_helps(
    here: Path, run: Run, monkeypatch: pytest.MonkeyPatch, words: str, answer: str
) -> None:
    monkeypatch.setenv("TAGBOX_HOME", str(here / "home"))
    before = sorted(here.rglob("*"))
    code, out, err = run(*words.split())
    assert (code, out) == (2, "")
    assert re.fullmatch(r"tagbox: [^\n]+\n", err), err
    assert re.search(answer.replace("?", r"\?"), err), err
    assert sorted(here.rglob("*")) == before


def test_mistakes_help_and_completion_do_not_wait_for_pytorch(here: Path) -> None:
    program = (
        "import sys\n"
        "from tagbox import cli\n"
        "from tagbox.cli import complete\n"
        "for name in 'tags presets taggers models data generators objectives devices'.split():\n"
        "    assert getattr(complete, name)(''), name\n"
        "for words in ('--help', 'separate --help', 'presets', 'separate sogn.flac --tags violin -o out',\n"
        "              'separate song.flac --tags violn -o out'):\n"
        "    sys.argv = ['tagbox', *words.split()]\n"
        "    try:\n"
        "        cli.main()\n"
        "    except SystemExit:\n"
        "        pass\n"
        "heavy = {'torch', 'numpy', 'soundfile'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    assert "did you mean violin?" in ended.stderr


COMPLETIONS = [
    ("separate song.flac --tags viol", "violin"),
    ("separate song.flac --tags violin+cel", "violin+cello"),
    ("separate song.flac --preset st", "steered"),
    ("transfer song.flac --preset tr", "transfer"),
    ("separate song.flac --tagger mtat/f", "mtat/fcn"),
    ("separate song.flac --generator juk", "jukebox"),
    ("separate song.flac --objective two", "two-sided"),
    ("tag song.flac --device c", "cuda"),
    ("models pull juk", "jukebox"),
    ("sep", "separate"),
]


@pytest.mark.parametrize(("words", "offered"), COMPLETIONS, ids=[words for words, _ in COMPLETIONS])
def test_the_shell_offers_values(run: Run, monkeypatch: pytest.MonkeyPatch, words: str, offered: str) -> None:
    monkeypatch.setenv("_TAGBOX_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"tagbox {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    code, out, _ = run()
    assert code == 0
    assert offered in out.split()


def test_completion_is_shown_and_installed_for_the_shell(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "HOME": str(tmp_path),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
    }
    for option in ("--show-completion", "--install-completion"):
        # What follows keeps the shell there, which is what the program asks about.
        ended = subprocess.run(
            ["bash", "-c", f"{sys.executable} -m tagbox {option}; code=$?; exit $code"],
            capture_output=True,
            text=True,
            timeout=60,
            env=environment,
        )
        assert ended.returncode == 0, ended.stderr
        assert "bash" in ended.stdout or "COMPREPLY" in ended.stdout
    assert any(path.is_file() for path in tmp_path.rglob("*"))


def test_what_completion_and_help_know_is_what_there_is(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tuple(objectives.OBJECTIVES) == completion.OBJECTIVES
    assert [name for name, _ in completion.presets("")] == list(PRESETS)
    monkeypatch.setenv("COLUMNS", "4000")
    code, out, _ = run("separate", "--help")
    assert code == 0
    for name, preset in PRESETS.items():
        assert f"{name}: {preset.help.split(';')[0]}" in out


def test_presets_are_listed_for_people_and_for_programs(run: Run) -> None:
    code, out, err = run("presets")
    assert (code, err) == (0, "")
    for name, preset in PRESETS.items():
        assert f"{name}: {preset.help}\n" in out
    code, out, _ = run("presets", "--json")
    told = json.loads(out)
    assert list(told) == list(PRESETS)
    assert told["paper"]["settings"]["steps"] == PRESETS["paper"].settings.steps
    code, out, _ = run("presets", "fast")
    assert code == 0 and "    begin heard\n" in out and "paper" not in out
    assert run("presets", "fats")[0] == 2


def test_quiet_says_nothing_and_json_is_one_document(here: Path, run: Run) -> None:
    command = ("separate", "song.flac", "album/one.flac", "--tags", "violin", "--preset", "fast", "-o", "out")
    code, out, err = run(*command, "--quiet", "--json")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert [one["input"]["file"] for one in told] == ["song.flac", "one.flac"]
    assert told[0]["written"] == ["out/song/violin.wav", "out/song/residual.wav"]
    kept = json.loads((here / "out/song/run.json").read_text())
    assert kept.items() <= told[0].items()
    code, out, err = run(*command, "--quiet", "--force")
    assert (code, out, err) == (0, "", "")
    code, out, err = run(*command, "--quiet")
    assert (code, out) == (2, "") and "--force" in err


def test_verbose_tells_what_is_loaded_the_settings_and_the_times(here: Path, run: Run) -> None:
    command = ("separate", "song.flac", "--tags", "violin", "--preset", "fast", "-o", "out")
    code, out, err = run(*command, "--verbose")
    assert code == 0
    assert "loaded rendered/listener, weights " in err
    assert "preset fast: steer gates" in err and "factorisations 2" in err
    assert re.search(r"seconds: loading [\d.]+, steering [\d.]+.*memory at the most: [\d.]+ GB", err)
    assert "loaded" not in out and "out/song/violin.wav" in out


@pytest.mark.parametrize("words", ["tags violin", "tags", "models", "presets", "tag song.flac --top 2"])
def test_whatever_lists_has_quiet_and_json(here: Path, run: Run, words: str) -> None:
    assert run(*words.split(), "--quiet") == (0, "", "")
    code, out, err = run(*words.split(), "--quiet", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)


def test_a_transfer_tells_programs_what_it_wrote(here: Path, run: Run) -> None:
    command = ("transfer", "song.flac", "--tags", "guitar", "-o", "g.wav", "--duration", "1", "--steps", "2")
    code, out, err = run(*command, "--json")
    assert code == 0
    told = json.loads(out)
    assert told["written"][0] == "g.wav" and told["preset"] == "transfer"
    assert "step 1" in err


def test_an_evaluation_tells_programs_its_table(here: Path, run: Run) -> None:
    command = ("evaluate", EXAMPLES, "-o", "out", "--limit", "1", "--sources", "drums", "--seconds", "1")
    code, out, err = run(*command, "--preset", "fast", "--judge", "none", "--json", "--quiet")
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert {row["method"] for row in told["rows"]} >= {"fast", "mixture"}
    assert all(Path(path).is_file() for path in told["written"])


def on_a_terminal(*words: str, **environment: str) -> str:
    """What the program says to a terminal."""
    ours, theirs = os.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "tagbox", *words],
        stdout=theirs,
        stderr=theirs,
        env={**kept, "TERM": "xterm-256color", "COLUMNS": "100", **environment},
    )
    os.close(theirs)
    said = b""
    try:
        while block := os.read(ours, 4096):
            said += block
    except OSError:  # Linux says so when the other end is closed.
        pass
    os.close(ours)
    process.wait(timeout=60)
    return said.decode()


@pytest.mark.parametrize("words", [["nothing"], ["models"]])
def test_colours_on_a_terminal_alone_and_not_against_no_color(words: list[str]) -> None:
    colour = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38;)")
    assert colour.search(on_a_terminal(*words))
    assert not colour.search(on_a_terminal(*words, NO_COLOR="1"))
    piped = subprocess.run(
        [sys.executable, "-m", "tagbox", *words], capture_output=True, text=True, timeout=60
    )
    assert "\x1b" not in piped.stdout + piped.stderr


def expected(preset: str, seconds: float, sources: int = 1, **changes: Any) -> cost_estimate.Forecast:
    settings = replace(PRESETS[preset].settings, **changes)
    return cost_estimate.expect(settings, seconds, 2, sources, cores=1)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_estimates_grow_with_the_recording_and_memory_stops_at_a_segment(preset: str) -> None:
    each = [expected(preset, seconds) for seconds in (1, 5, 15, 29, 60, 600, 3600)]
    times, sizes = [one.seconds for one in each], [one.bytes for one in each]
    assert times == sorted(times) and len(set(times)) == len(times)
    assert sizes == sorted(sizes)
    assert sizes[-1] == sizes[-2] == sizes[-3]


@pytest.mark.parametrize(
    ("preset", "seconds", "sources", "took", "held"),
    [
        ("default", 5, 1, 2.9, 0.5),
        ("default", 30, 1, 11.8, 0.9),
        ("default", 120, 1, 44.8, 1.1),
        ("fast", 15, 1, 2.8, 0.5),
        ("fast", 120, 1, 14.2, 0.7),
        ("best", 30, 1, 16.5, 1.3),
        ("best", 120, 1, 65.9, 1.4),
        ("steered", 5, 1, 8.6, 0.5),
        ("steered", 15, 2, 37.2, 1.3),
        ("steered", 30, 1, 39.1, 1.3),
        ("steered", 120, 1, 37.8, 1.2),
        ("transfer", 5, 1, 20.6, 0.7),
        ("transfer", 15, 1, 59.6, 1.5),
    ],
)
def test_estimates_are_near_what_was_seen(
    preset: str, seconds: float, sources: int, took: float, held: float
) -> None:
    """Seconds and GB of the runs that the constants are fitted to: one thread, nothing else to do."""
    estimate = expected(preset, seconds, sources)
    assert 0.75 * took < estimate.seconds < 1.35 * took
    assert 0.9 * held < estimate.bytes / 1e9 < 1.4 * held


def test_estimates_grow_with_the_work() -> None:
    assert expected("fast", 20).seconds < expected("default", 20).seconds < expected("best", 20).seconds
    assert expected("fast", 20).bytes < expected("default", 20).bytes < expected("best", 20).bytes
    assert expected("steered", 20, steps=5).seconds < expected("steered", 20, steps=50).seconds
    assert expected("steered", 20, sources=1).bytes < expected("steered", 20, sources=3).bytes
    assert expected("transfer", 5).seconds < expected("paper", 5).seconds
    assert expected("paper", 30, segment=5.0).bytes < expected("paper", 30, segment=20.0).bytes
    one = expected("default", 20)
    both = cost_estimate.together([one, one])
    assert one.seconds < both.seconds < 2 * one.seconds and both.bytes == one.bytes
    assert cost_estimate.together([one, one], jobs=2).bytes == 2 * one.bytes
    short = cost_estimate.expect_training(3, 100, 8, 8192, 32)
    assert short.seconds < cost_estimate.expect_training(3, 200, 8, 8192, 32).seconds
    assert short.bytes < cost_estimate.expect_training(3, 100, 16, 8192, 32).bytes
    many = cost_estimate.expect(Settings(), 20, 1, 1, cores=8)
    assert many.seconds < cost_estimate.expect(Settings(), 20, 1, 1, cores=1).seconds


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.2, "1 s"), (3.2, "3 s"), (44, "45 s"), (400, "7 min"), (9000, "2.5 h")]
)
def test_estimates_are_said_as_people_do(seconds: float, told: str) -> None:
    assert str(cost_estimate.Forecast(seconds, 912e6)) == f"about {told}, 0.9 GB"


def test_an_estimate_is_one_line_and_says_what_to_change(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cost_estimate.announce(Output(), Settings(), 600, 2, 1, "cpu")
    out, err = capsys.readouterr()
    assert out == "" and re.match(r"about \d+ (s|min), \d\.\d GB\n", err)
    cost_estimate.announce(Output(quiet=True), Settings(), 600, 2, 1, "cpu")
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(cost_estimate, "free_memory", lambda: 5e8)
    cost_estimate.announce(Output(), Settings(), 600, 2, 1, "cpu")
    warning = capsys.readouterr().err.splitlines()[1]
    assert "0.5 GB that are free" in warning and "--segment 15" in warning and "--factorisations 4" in warning
    monkeypatch.setattr(cost_estimate, "free_memory", lambda: None)
    cost_estimate.announce(Output(), Settings(steps=1, factorisations=1), 1, 1, 1, "cpu")
    assert capsys.readouterr() == ("", "")


def test_what_is_free_and_what_was_held_is_known_here() -> None:
    assert cost_estimate.peak_memory() > 1e7
    if sys.platform == "linux":
        assert (cost_estimate.free_memory() or 0) > 1e7


def test_progress_tells_how_long_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert remaining(6.0, 3, 9) == ", about 12 s left"
    assert remaining(0.0, 0, 9) == remaining(9.0, 9, 9) == ""
    with StepReporter("song.flac", Output(), steps=11) as reporter:
        # The first step is left out of the reckoning: it warms up.
        for index in range(11):
            reporter.step(Step(index, -1.0, (), 30.0 + 10.0 * index))
    said = capsys.readouterr().err.splitlines()
    assert said[1] == "song.flac: step 1, loss -1.0000"
    assert said[2] == "song.flac: step 2, loss -1.0000, about 90 s left"
    assert said[-1] == "song.flac: step 11, loss -1.0000"


@pytest.mark.parametrize(
    ("preset", "tagger", "data", "means"),
    [
        ("default", ["listener"], None, ("rendered/listener",)),
        ("default", ["listener", "hcnn"], None, ("rendered/listener", "mtat/hcnn")),
        ("steered", ["fcn"], None, ("mtat/fcn",)),
        ("steered", ["fcn"], ["jamendo", "msd"], ("jamendo/fcn", "msd/fcn")),
        ("steered", ["listener", "jamendo/fcn"], None, ("mtat/listener", "jamendo/fcn")),
        ("steered", None, ["mtat"], ("mtat/pons-musicnn",)),
    ],
)
def test_a_tagger_without_data_is_the_presets_or_mtats(
    preset: str, tagger: list[str] | None, data: list[str] | None, means: tuple[str, ...]
) -> None:
    assert overrides_of(preset, tagger, data, None)["taggers"] == means


def test_a_tagger_that_cannot_begin_as_heard_is_refused_with_what_to_take() -> None:
    with pytest.raises(TagBoxError, match="preset steered"):
        overrides_of("default", ["fcn"], None, None)
    assert presets.find("steered").settings.begin == "even"
