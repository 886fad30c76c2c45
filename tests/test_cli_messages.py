"""What the command line says: errors, help, completion, --quiet, --verbose, --json, colours, progress."""

import contextlib
import doctest
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import typer

from cli_runner import Terminal, assert_refused, run_tagbox
from tagbox import presets
from tagbox.cli import completion, error_messages, progress, run_report
from tagbox.cli.options import PUBLISHED_PANEL, SETTINGS_PANEL, overrides_from
from tagbox.cli.output import Output
from tagbox.cli.progress import RunReporter, format_seconds, time_left
from tagbox.errors import FailedWriteError, TagBoxError
from tagbox.methods import objectives
from tagbox.methods.steering import Step
from tagbox.presets import PRESETS
from tagbox.settings import PUBLISHED_FIELDS, Settings

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
DUET = EXAMPLES / "duet" / "mixture.flac"


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recording called song.flac, a folder of two, and no models but those inside."""
    folder = tmp_path_factory.mktemp("recordings")
    (folder / "album").mkdir()
    samples, rate = soundfile.read(DUET, frames=44100)
    for name in ("song.flac", "album/one.flac", "album/two.flac"):
        soundfile.write(folder / name, samples, rate)
    return folder


@pytest.fixture
def here(recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of recordings as the current one; what a test writes goes to `tmp_path`."""
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(recordings)
    return recordings


ERRORS = [
    ("separate song.flac -o out", ["--tags is missing", "tagbox separate duet.flac --tags violin -o out"]),
    ("separate song.flac violin -o out", ["there is no file violin", "write --tags violin"]),
    ("separate song.flac --tags violin piano -o out", ["there is no file piano", "write --tags piano"]),
    ("separate song.flac --tags violn -o out", ["'violn'", "did you mean violin?"]),
    ("separate song.flac --tags violin,piano -o out", ["--tags violin --tags piano", "violin+piano"]),
    ("separate song.flac --tags + -o out", ["a tag is empty"]),
    ("tag album", ["album is a folder with 2 recordings", "album/*.flac"]),
    ("tag .", ["is a folder with a recording", "song.flac"]),
    ("separate *.ogg --tags violin -o out", ["no recording matches *.ogg"]),
    ("separate https://a.org/b.mp3 --tags violin -o out", ["https://a.org/b.mp3", "download"]),
    ("tag https://a.org/b.mp3", ["https://a.org/b.mp3 is an address", "download"]),
    ("https://a.org/b.mp3", ["`tagbox tag https://a.org/b.mp3`"]),
    ("separate sogn.flac --tags violin -o out", ["there is no file sogn.flac", "did you mean song.flac?"]),
    ("separate song.mp3 --tags violin -o out", ["there is no file song.mp3", "did you mean song.flac?"]),
    ("separate away/song.flac --tags violin -o out", ["nor a folder away"]),
    ("tag sogn.flac", ["did you mean song.flac?"]),
    ("separate song.flac --tags violin -o song.flac", ["song.flac is a file", "folder"]),
    ("transfer song.flac --tags guitar -o song.flac/a.wav", ["song.flac is a file", "folder"]),
    ("separate song.flac --tags violin", ["--out is missing", "-o out"]),
    ("transfer song.flac --tags violin", ["--out is missing", "-o guitar.wav"]),
    ("separate song.flac --tags violin -o", ["'-o' requires an argument"]),
    ("song.flac", ["`tagbox tag song.flac`", "`tagbox separate song.flac --tags violin -o out`"]),
    ("separat song.flac", ["did you mean `tagbox separate`?"]),
    ("models pul jukebox", ["did you mean `tagbox models pull`?"]),
    ("models path", ["NAME is missing", "tagbox models path mtat/fcn"]),
    ("separate", ["RECORDING is missing", "for example: tagbox separate"]),
    ("tag", ["RECORDING is missing", "for example: tagbox tag"]),
    ("evaluate", ["DATASET is missing", "for example: tagbox evaluate"]),
    ("evaluate https://a.org/b -o out", ["https://a.org/b is an address"]),
    ("separate song.flac --tag violin -o out", ["no option --tag", "did you mean --tags?"]),
    ("separate song.flac --tags violin --output out", ["--output", "masked or residual", "--out"]),
    ("separate song.flac --tags violin -o out --wibble", ["--wibble", "`tagbox separate --help`"]),
    ("separate song.flac --tags violin -o out --steps many", ["--steps", "integer"]),
    ("separate song.flac --tags violin -o out --lr fast", ["--lr", "`tagbox separate --help`"]),
    ("tag song.flac --top 0", ["--top", "1"]),
    ("tags --json=1", ["'--json' does not take a value"]),
    ("dataset one two", ["unexpected", "two", "`tagbox dataset --help`"]),
    ("separate song.flac --tags violin -o out --preset stered", ["no preset is called 'stered'"]),
    ("separate song.flac --tags violin -o out --preset steered --tagger mtat/fnc", ["did you mean mtat/fcn"]),
    ("separate song.flac --tags violin -o out --preset paper", ["tagbox models pull mtat/fcn"]),
    ("separate song.flac --tags violin -o out --quiet --verbose", ["contradict each other"]),
    ("--quiet tag song.flac", ["--quiet", "options come after the command"]),
    ("tag song.flac --padding noise", ["'noise'", "repeat or zeros"]),
]


@pytest.mark.parametrize(("words", "facts"), ERRORS, ids=[words for words, _ in ERRORS])
def test_an_error_is_one_line_that_helps(here: Path, words: str, facts: list[str]) -> None:
    before = sorted(here.rglob("*"))
    assert_refused(run_tagbox(*words.split()), *facts)
    assert sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("error", "fact", "exit_code"),
    [
        (PermissionError(13, "Permission denied", "out/run.json"), "run.json cannot be used: Permission", 1),
        (OSError(28, "No space left on device"), "No space left on device", 1),
        (MemoryError(), "--segment", 1),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "--segment", 1),
        (FailedWriteError("the disk is full"), "the disk is full", 1),
        (typer.BadParameter("is odd.\nVery"), "is odd. Very", 2),
    ],
)
def test_errors_are_described_by_their_class(
    here: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, fact: str, exit_code: int
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(presets, "find", fail)
    result = run_tagbox("separate", "song.flac", "--tags", "violin", "-o", "out")
    assert_refused(result, fact, exit_code=exit_code)


def test_faults_of_the_program_keep_their_traceback(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ValueError("a fault")

    monkeypatch.setattr(presets, "find", fail)
    with pytest.raises(ValueError, match="a fault"):
        run_tagbox("separate", "song.flac", "--tags", "violin", "-o", "out")


def test_a_gpu_without_memory_is_described() -> None:
    import torch

    assert error_messages.is_reported(torch.OutOfMemoryError())
    assert "--segment" in error_messages.describe_error(torch.OutOfMemoryError())


def test_errors_help_and_completion_do_not_load_pytorch(here: Path) -> None:
    program = (
        "import sys\n"
        "import tagbox\n"
        "from tagbox import cli\n"
        "from tagbox.cli import completion\n"
        "for name in 'tags presets taggers models data generators objectives devices'.split():\n"
        "    assert getattr(completion, name)(''), name\n"
        "for words in ('--help', 'separate --help', 'presets', 'tag sogn.flac',\n"
        "              'separate sogn.flac --tags violin -o out',\n"
        "              'separate song.flac --tags violn -o out'):\n"
        "    sys.argv = ['tagbox', *words.split()]\n"
        "    try:\n"
        "        cli.main()\n"
        "    except SystemExit:\n"
        "        pass\n"
        "heavy = {'torch', 'numpy', 'soundfile'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "did you mean violin?" in ended.stderr


COMPLETIONS = [
    ("separate song.flac --tags viol", "violin"),
    ("separate song.flac --tags violin+cel", "violin+cello"),
    ("separate song.flac --preset st", "steered"),
    ("transfer song.flac --preset tr", "transfer"),
    ("transfer song.flac --tags viol", "violin"),
    ("separate song.flac --tagger mtat/f", "mtat/fcn"),
    ("separate song.flac --data jam", "jamendo"),
    ("separate song.flac --generator juk", "jukebox"),
    ("separate song.flac --objective two", "two-sided"),
    ("tag song.flac --device c", "cuda"),
    ("models pull juk", "jukebox"),
    ("sep", "separate"),
]


@pytest.mark.parametrize(("words", "offered"), COMPLETIONS, ids=[words for words, _ in COMPLETIONS])
def test_the_shell_offers_values(monkeypatch: pytest.MonkeyPatch, words: str, offered: str) -> None:
    monkeypatch.setenv("_TAGBOX_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", f"tagbox {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split())))
    code, out, _ = run_tagbox()
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
            timeout=120,
            env=environment,
        )
        assert ended.returncode == 0, ended.stderr
        assert "bash" in ended.stdout or "COMPREPLY" in ended.stdout
    assert any(path.is_file() for path in tmp_path.rglob("*"))


def panels(help_text: str) -> dict[str, str]:
    """The panels of a command's help, by title."""
    parts = re.split(r"^╭─ (.+?) ─*╮$", help_text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("command", ["separate", "transfer"])
def test_settings_and_what_only_the_published_code_needs_have_panels_of_their_own(
    monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "4000")
    code, out, _ = run_tagbox(command, "-h")
    assert code == 0
    by_panel = {
        title: set(re.findall(r"^│ +\*? *(--[\w-]+)", text, re.MULTILINE))
        for title, text in panels(out).items()
    }
    assert {"--tags", "--out", "--preset"} <= by_panel["Options"]
    assert {"--steps", "--tagger", "--data", "--generator"} <= by_panel[SETTINGS_PANEL]
    assert by_panel[PUBLISHED_PANEL] >= {"--padding", "--quantiser"}
    assert by_panel[PUBLISHED_PANEL] <= {f"--{name}" for name in PUBLISHED_FIELDS}
    published = {f"--{name}" for name in PUBLISHED_FIELDS}
    assert not published & (by_panel["Options"] | by_panel[SETTINGS_PANEL])


def test_help_and_completion_name_what_exists(monkeypatch: pytest.MonkeyPatch) -> None:
    assert tuple(objectives.OBJECTIVES) == completion.OBJECTIVES
    assert [name for name, _ in completion.presets("")] == list(PRESETS)
    monkeypatch.setenv("COLUMNS", "4000")
    code, out, _ = run_tagbox("separate", "--help")
    assert code == 0
    for name, preset in PRESETS.items():
        assert f"{name}: {preset.help.split(';')[0]}" in out


def test_presets_are_listed_for_people_and_for_programs() -> None:
    code, out, err = run_tagbox("presets")
    assert (code, err) == (0, "")
    for name, preset in PRESETS.items():
        assert f"{name}: {preset.help}\n" in out
    code, out, _ = run_tagbox("presets", "--json")
    document = json.loads(out)
    assert list(document) == list(PRESETS)
    assert document["paper"]["settings"]["steps"] == PRESETS["paper"].settings.steps
    code, out, _ = run_tagbox("presets", "fast")
    assert code == 0 and "    begin heard\n" in out and "paper" not in out
    assert run_tagbox("presets", "fats")[0] == 2


def test_quiet_prints_nothing_and_json_one_document(here: Path, tmp_path: Path) -> None:
    command = ("separate", "song.flac", "album/one.flac", "--tags", "violin", "--preset", "fast")
    command = (*command, "-o", tmp_path)
    code, out, err = run_tagbox(*command, "--quiet", "--json")
    assert (code, err) == (0, "")
    documents = json.loads(out)
    assert [each["input"]["file"] for each in documents] == ["song.flac", "one.flac"]
    assert documents[0]["written"] == [f"{tmp_path}/song/{name}.wav" for name in ("violin", "residual")]
    manifest = json.loads((tmp_path / "song/run.json").read_text())
    assert manifest.items() <= documents[0].items()
    assert run_tagbox(*command, "--quiet", "--force") == (0, "", "")
    # What is done already is left alone, and another request is no reason to replace it.
    assert run_tagbox(*command, "--quiet") == (0, "", "")
    code, out, err = run_tagbox(*command, "--quiet", "--seed", "1")
    assert (code, out) == (2, "") and err.count("--force") == 2


def test_verbose_prints_models_settings_and_times(here: Path, tmp_path: Path) -> None:
    command = ("separate", "song.flac", "--tags", "violin", "--preset", "fast", "-o", tmp_path)
    code, out, err = run_tagbox(*command, "--verbose")
    assert code == 0
    assert "loaded rendered/listener, weights " in err
    assert "preset fast: steer shares," in err and "begin heard" in err
    assert re.search(r"seconds: loading [\d.]+, steering [\d.]+.*peak memory: [\d.]+ GB", err)
    assert "loaded" not in out and f"{tmp_path}/song/violin.wav" in out


@pytest.mark.parametrize("words", ["tags violin", "tags", "models", "presets", "tag song.flac --top 2"])
def test_whatever_lists_has_quiet_and_json(here: Path, words: str) -> None:
    assert run_tagbox(*words.split(), "--quiet") == (0, "", "")
    code, out, err = run_tagbox(*words.split(), "--quiet", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)


def test_a_transfer_tells_programs_what_it_wrote(here: Path, tmp_path: Path) -> None:
    out_file = tmp_path / "g.wav"
    code, out, err = run_tagbox(
        *("transfer", "song.flac", "--tags", "guitar", "-o", out_file, "--duration", "1"),
        *("--steps", "2", "--json"),
    )
    assert code == 0
    document = json.loads(out)
    assert document["written"][0] == str(out_file) and document["preset"] == "transfer"
    assert "step 1" in err


def test_an_evaluation_tells_programs_its_table(tmp_path: Path) -> None:
    command = ("evaluate", EXAMPLES, "-o", tmp_path, "--limit", "1", "--sources", "drums", "--seconds", "1")
    code, out, err = run_tagbox(*command, "--preset", "fast", "--judge", "none", "--json", "--quiet")
    assert (code, err) == (0, "")
    document = json.loads(out)
    assert {row["method"] for row in document["rows"]} >= {"fast", "mixture"}
    assert all(Path(path).is_file() for path in document["written"])


@pytest.mark.parametrize("words", ["nothing", "models"])
def test_colours_appear_on_terminals_only_and_not_against_no_color(
    monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    colour = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-7]|9[0-7]|38;)")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert colour.search("".join(run_tagbox(words, on_terminal=True)[1:]))
    assert "\x1b" not in "".join(run_tagbox(words)[1:])
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour.search("".join(run_tagbox(words, on_terminal=True)[1:]))


def steps(count: int, seconds: float, first: float = 0.0) -> list[Step]:
    """The steps of a loop that take `seconds` each after the `first`."""
    return [Step(index, -1.0, (), first + seconds * index) for index in range(count)]


def test_the_time_left_is_measured_and_not_guessed() -> None:
    assert time_left(6.0, 3, 9) == ", about 12 s left"
    assert time_left(0.0, 0, 9) == time_left(9.0, 9, 9) == ""
    assert format_seconds(0.2) == "1 s"
    assert doctest.testmod(progress).failed == 0


@pytest.fixture
def lines_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no terminal, every progress is a line."""
    monkeypatch.setattr(progress, "LINE_INTERVAL_SECONDS", 0.0)


@pytest.mark.usefixtures("lines_at_once")
def test_steps_tell_how_long_the_loop_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    with RunReporter("song.flac", Output(), Settings(steps=11)) as reporter:
        # The first step warms up, and is left out of the reckoning.
        for step in steps(11, 10.0, first=30.0):
            reporter.step(step)
    lines = capsys.readouterr().err.splitlines()
    assert "left" not in lines[0] + lines[1] + lines[-1]
    assert "step 1 of 11" in lines[1] and "step 11 of 11" in lines[-1]
    assert "step 2 of 11, about 90 s left" in lines[2]


@pytest.mark.usefixtures("lines_at_once")
def test_steps_of_latents_count_the_sources_that_come_later(capsys: pytest.CaptureFixture[str]) -> None:
    with RunReporter("song.flac", Output(), Settings(steer="latents", steps=4), sources=2) as reporter:
        for _ in range(2):
            for step in steps(4, 30.0):
                reporter.step(step)
    lines = capsys.readouterr().err.splitlines()[1:]
    # Of 8 steps, 6 are to come after the second; 1 after the seventh.
    assert "about 3 min left" in lines[1]
    assert "about 30 s left" in lines[6]
    assert "left" not in lines[7]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


@pytest.mark.usefixtures("lines_at_once")
@pytest.mark.parametrize(
    ("settings", "first_segment_tells"),
    [
        (Settings(), True),
        (Settings(steps=5, begin="even"), False),
        (Settings(steer="latents", steps=3), True),
    ],
)
def test_segments_tell_how_long_a_recording_takes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: Settings,
    first_segment_tells: bool,
) -> None:
    """Segments of 10 s each, after a survey of 50 s; only gates are steered before the first segment."""
    clock = Clock(monkeypatch)

    def loop(seconds: float) -> None:
        each = seconds / settings.steps
        for step in steps(settings.steps, each, first=each):
            clock.now += each
            reporter.step(step)

    with RunReporter("song.flac", Output(), settings, is_long=True) as reporter:
        clock.now += 50
        if not first_segment_tells:
            loop(30)
        for done in range(1, 4):
            if first_segment_tells:
                loop(10)
            else:
                clock.now += 10
            reporter.segment(done, 6)
    lines = capsys.readouterr().err.splitlines()
    segments = [line for line in lines if re.search(r": segment \d of 6 done(, about \d+ s left)?$", line)]
    assert [line.rpartition("done")[2] for line in segments] == [
        ", about 50 s left" if first_segment_tells else "",
        ", about 40 s left",
        ", about 30 s left",
    ]
    within = [line for line in lines if "step 2 of" in line]
    until = "left in this segment" if first_segment_tells else "left before the first segment"
    assert all(until in line for line in within)


def test_a_terminal_shows_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "200")
    with (
        contextlib.redirect_stderr(Terminal()) as err,
        RunReporter("[song].flac", Output(), Settings(steps=3)) as reporter,
    ):
        for step in steps(3, 1.0):
            reporter.step(step)
    shown = err.getvalue()
    assert "[song].flac" in shown and "step 3 of 3" in shown
    assert "[song].flac: " not in shown


@pytest.mark.usefixtures("lines_at_once")
def test_quiet_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with RunReporter("song.flac", Output(quiet=True), Settings(steps=3), is_long=True) as reporter:
        for step in steps(3, 1.0):
            reporter.step(step)
        reporter.segment(1, 2)
    assert capsys.readouterr() == ("", "")


def test_the_peak_of_the_memory_is_known_here() -> None:
    assert run_report.peak_memory() > 1e7


@pytest.mark.parametrize(
    ("preset", "tagger", "data", "expected"),
    [
        ("default", ["listener"], None, ("rendered/listener",)),
        ("default", ["listener", "hcnn"], None, ("rendered/listener", "mtat/hcnn")),
        ("steered", ["fcn"], None, ("mtat/fcn",)),
        ("steered", ["fcn"], ["jamendo", "msd"], ("jamendo/fcn", "msd/fcn")),
        ("steered", ["listener", "jamendo/fcn"], None, ("mtat/listener", "jamendo/fcn")),
        ("steered", None, ["mtat"], ("mtat/pons-musicnn",)),
    ],
)
def test_a_tagger_without_data_has_the_presets_or_mtats(
    preset: str, tagger: list[str] | None, data: list[str] | None, expected: tuple[str, ...]
) -> None:
    assert overrides_from({"tagger": tagger, "data": data}, preset)["taggers"] == expected


def test_only_options_that_are_given_override_a_preset() -> None:
    parameters = {"steps": 7, "lr": None, "fft": [512, 1024], "tagger": (), "data": [], "out": Path("out")}
    assert overrides_from(parameters, "steered") == {"steps": 7, "fft": (512, 1024)}
    # Zero is a value.
    assert overrides_from({"patience": 0, "segment": 0.0}, "default") == {"patience": 0, "segment": 0.0}


def test_a_tagger_that_gates_cannot_be_inferred_from_is_refused() -> None:
    with pytest.raises(TagBoxError, match="preset steered"):
        overrides_from({"tagger": ["fcn"]}, "default")
    assert presets.find("steered").settings.begin == "even"
