"""`tagbox evaluate` as users run it: files, resumption after interruptions, and errors."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

import tagbox
from cli_runner import StartProgram, run_tagbox
from tagbox import audio, cli
from tagbox.errors import TagBoxError
from tagbox.evaluation import result_store
from tagbox.evaluation.baselines import find_baseline
from tagbox.evaluation.evaluate import parse_preset
from tagbox.evaluation.systems import SystemInput, SystemKind, SystemOutput

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TINY = "tiny=default:steps=1,components=4"
SYSTEMS = ("--preset", TINY)
# Sums in one order are equal to the last bit.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def command(*words: object) -> list[str]:
    return [sys.executable, "-m", "tagbox", "evaluate", *map(str, words)]


def evaluate(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*words), capture_output=True, text=True, timeout=300, env=ENVIRONMENT)


def table(folder: Path) -> list[dict[str, str]]:
    """table.csv without the time that everything took."""
    with (folder / "table.csv").open(newline="") as file:
        return [
            {name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)
        ]


def records(folder: Path) -> dict[str, dict[str, object]]:
    """All records by key, without the time that they took."""
    read = result_store.read_records(folder)
    assert len({record["key"] for record in read}) == len(read)
    return {record["key"]: {name: v for name, v in record.items() if name != "took"} for record in read}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two short tracks of two sources each, cut from the examples."""
    folder = tmp_path_factory.mktemp("data")
    for track, stems in (("band", ("drums", "guitar")), ("duet", ("violin", "piano"))):
        for name in ("mixture", *stems):
            cut = audio.read(EXAMPLES / track / f"{name}.flac", 3, 2)
            audio.write(folder / track / f"{name}.wav", cut.samples, cut.rate)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a whole evaluation, and its standard output."""
    folder = tmp_path_factory.mktemp("whole") / "results"
    result = evaluate(data, "-o", folder, *SYSTEMS, "--seconds", 1, "--players", 2)
    assert result.returncode == 0, result.stderr
    assert "24 of 24 cases" in result.stderr
    return folder, result.stdout


def test_files_of_an_evaluation(uninterrupted: tuple[Path, str]) -> None:
    folder, said = uninterrupted
    names = {"run.json", "results.jsonl", "table.csv", "report.md", "report.html", "audio"}
    assert {path.name for path in folder.iterdir()} == names
    methods = ["silence", "mixture", "half the mixture", "random mask", "ideal ratio mask", "tiny"]
    rows = table(folder)
    assert [row["method"] for row in rows if row["source"] == "violin"] == methods
    assert {row["source"] for row in rows} == {"drums", "guitar", "piano", "violin", "all"}
    by_name = {row["method"]: row for row in rows if row["source"] == "all"}
    assert float(by_name["mixture"]["si_sdri"]) == 0
    assert float(by_name["half the mixture"]["sdri"]) > 1
    assert float(by_name["ideal ratio mask"]["si_sdri"]) > 5
    assert int(by_name["silence"]["silent"]) == 4
    # Two tracks are too few to claim anything, however good it is.
    assert {row["separates"] for row in rows if row["method"] == "tiny"} == {"no"}
    assert "too few to claim it" in said or "does not separate" in said
    for name in ("table.csv", "report.md", "report.html"):
        assert str(folder / name) in said
    report = (folder / "report.md").read_text()
    assert "| ideal ratio mask |" in report
    assert "components 4" in report


def test_a_record_holds_excerpt_steps_and_losses(uninterrupted: tuple[Path, str]) -> None:
    record = records(uninterrupted[0])["duet/violin/tiny"]
    assert record["status"] == "ok"
    assert (record["kind"], record["seconds"], record["steps"]) == ("preset", 1, 1)
    assert record["start"] in (0, 1)
    assert isinstance(record["loss_last"], float)
    assert 0 <= float(str(record["heard_after"])) <= 1
    request = json.loads((uninterrupted[0] / "run.json").read_text())
    assert request["judge"] == "mtat/pons-vgg"
    assert request["methods"]["tiny"]["settings"]["components"] == 4


class Page(HTMLParser):
    """Collects the addresses that a page loads, and its elements."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [
            v or "" for k, v in attrs if k in ("src", "href", "srcset", "data", "action", "poster")
        ]


def test_the_report_loads_nothing_from_elsewhere(uninterrupted: tuple[Path, str]) -> None:
    text = (uninterrupted[0] / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert len(page.addresses) == page.tags.count("audio") == 2 * 4
    assert all(address.startswith("data:audio/mpeg;base64,") for address in page.addresses)
    assert page.tags.count("svg") == 5 + 1 + 1
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    for outside in ("http:", "https:", "url(", "@import", "file:"):
        assert outside not in text


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The tests' process sums in the same order as the commands, which have one thread each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_evaluation_resumes_to_the_same_table(
    data: Path,
    uninterrupted: tuple[Path, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two processes are killed halfway and one resumes: this also shows that two give what one gives."""
    words = [data, "-o", tmp_path / "r", *SYSTEMS, "--seconds", 1, "--players", 2]
    process = subprocess.Popen(command(*words, "--jobs", 2), stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    lines = tmp_path / "r" / "results.jsonl"
    deadline = time.monotonic() + 120
    while not (lines.exists() and lines.read_bytes().count(b"\n") >= 12):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    children = descendants(process.pid)
    process.kill()
    process.wait()
    assert 12 <= lines.read_bytes().count(b"\n") < 24
    # No worker is left that could go on writing.
    while any(Path(f"/proc/{child}/cmdline").exists() and alive(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # The worst moment to be killed: in the middle of a line.
    with lines.open("a") as file:
        file.write('{"key": "duet/violin/ti')
    assert "--resume" in refused(words, capsys, monkeypatch)
    monkeypatch.setattr(sys, "argv", ["tagbox", "evaluate", *map(str, words), "--resume"])
    with pytest.raises(SystemExit) as finished:
        cli.main()
    assert finished.value.code == 0
    assert table(tmp_path / "r") == table(uninterrupted[0])
    assert records(tmp_path / "r") == records(uninterrupted[0])


def descendants(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_ctrl_c_keeps_finished_cases_and_names_resume(
    data: Path, tmp_path: Path, start_program: StartProgram
) -> None:
    words = (data, "-o", tmp_path / "r", "--preset", "long=default:steps=100000", "--judge", "none")
    process = start_program(command(*words), env=ENVIRONMENT)
    lines = tmp_path / "r" / "results.jsonl"
    deadline = time.monotonic() + 120
    # The five controls of the first source; then the endless preset.
    while not (lines.exists() and lines.read_bytes().count(b"\n") == 5):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(1.0)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "stopped; 5 of 24 cases" in errors and "--resume" in errors
    assert "Traceback" not in errors
    assert lines.read_bytes().count(b"\n") == 5


def refused(words: list[object], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the error message of a command that fails, which has to be one line."""
    monkeypatch.setattr(sys, "argv", ["tagbox", "evaluate", *map(str, words)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1, said
    return said


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--layout", "spiral"], "choose one of slakh, musdb, stems"),
        (["--preset", "papr"], "no preset is called 'papr'"),
        (["--preset", "default:colour=red"], "changes no setting of default"),
        (["--preset", "default:steps=many"], "steps cannot be 'many'"),
        (["--preset", "default:steps=0"], "give 1 or more"),
        (["--preset", "steered:taggers=mtat/hcnn"], "tagbox models pull mtat/hcnn"),
        (["--preset", "default", "--preset", "default"], "two methods are called 'default'"),
        (["--preset", "mixture=default"], "two methods are called 'mixture'"),
        (["--baseline", "magic"], "choose one of hpss, repet-sim"),
        (["--estimates", "demucs"], "write NAME=FOLDER"),
        (["--estimates", "demucs=nowhere"], "there is no folder nowhere"),
        (["--judge", "rendered/listener"], "in the loop"),
        (["--judge", "whoever"], "data/architecture"),
        (["--sources", "tuba"], "has a source 'tuba'"),
        (["--split", "test"], "it has no splits at all"),
        (["--seconds", "0"], "above 0"),
    ],
)
def test_an_error_is_one_line_and_writes_nothing(
    words: list[object],
    complaint: str,
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path / "home"))
    assert complaint in refused([data, "-o", tmp_path / "r", *words], capsys, monkeypatch)
    assert not (tmp_path / "r").exists()


def test_other_options_cannot_resume(
    uninterrupted: tuple[Path, str],
    data: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {path: path.read_bytes() for path in uninterrupted[0].glob("*.*")}
    words = [data, "-o", uninterrupted[0], *SYSTEMS, "--players", 2, "--resume"]
    assert "seconds was 1.0, now 2" in refused([*words, "--seconds", 2], capsys, monkeypatch)
    other = [word if word != TINY else TINY.replace("4", "5") for word in words]
    assert "methods 'tiny' differ" in refused([*other, "--seconds", 1], capsys, monkeypatch)
    assert {path: path.read_bytes() for path in uninterrupted[0].glob("*.*")} == before


@dataclass(frozen=True)
class Quieter:
    """A system that a user wrote."""

    name: str = "quieter"
    kind: SystemKind = "baseline"

    def describe(self) -> dict[str, Any]:
        return {"gain": 0.8}

    def separate(self, excerpt: SystemInput) -> SystemOutput:
        return SystemOutput(dict.fromkeys(excerpt.references, 0.8 * excerpt.mixture))


def test_a_system_that_a_user_wrote(data: Path, tmp_path: Path) -> None:
    summary = tagbox.evaluate(
        data, tmp_path, methods=[Quieter()], sources=["violin"], judge="none", players=0
    )
    (verdict,) = summary.verdicts
    assert (verdict.method, verdict.answer) == ("quieter", "no")
    assert json.loads((tmp_path / "run.json").read_text())["methods"]["quieter"]["gain"] == 0.8


@dataclass(frozen=True)
class Broken(Quieter):
    """A system whose estimates are NaN, or of another length."""

    def separate(self, excerpt: SystemInput) -> SystemOutput:
        return SystemOutput({"violin": excerpt.mixture * float("nan"), "piano": excerpt.mixture[:, :-1]})


def test_estimates_that_cannot_be_measured_are_reported(data: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "duet").symlink_to(data / "duet")
    summary = tagbox.evaluate(
        tmp_path / "data", tmp_path / "r", methods=[Broken("broken")], together=True, judge="none", players=0
    )
    said = "\n".join(summary.not_measured)
    assert "broken, violin (duet): its estimate cannot be measured: a signal has samples that are not" in said
    assert "broken, piano (duet): its estimate cannot be measured: the estimate has shape" in said
    row = summary.row("all", "broken")
    assert row is not None and (row.measured, row.missing) == (0, 2)
    assert next(v for v in summary.verdicts if v.source == "all").words.startswith("broken has no estimate")


def test_external_stems_and_a_system_added_later(data: Path, tmp_path: Path) -> None:
    for name in ("drums", "guitar"):
        truth = audio.read(data / "band" / f"{name}.wav")
        audio.write(tmp_path / "peer" / "band" / f"{name}.wav", 0.5 * truth.samples, truth.rate)
    told: list[tuple[int, int]] = []
    summary = tagbox.evaluate(
        data,
        tmp_path / "results",
        estimates={"peer": tmp_path / "peer"},
        judge="none",
        together=True,
        players=0,
        on_records=lambda done, total, fresh: told.append((done, total)),
    )
    assert told[-1] == (12, 12)
    peer = summary.row("drums", "peer")
    assert peer is not None and peer.si_sdri is not None
    assert peer.si_sdr == pytest.approx(70, abs=2)  # 16 bits, halved and rounded
    everything = summary.row("all", "peer")
    assert everything is not None and (everything.measured, everything.missing) == (2, 2)
    assert "peer, piano (duet): no estimate of piano for duet" in summary.not_measured
    words = next(v.words for v in summary.verdicts if (v.source, v.method) == ("all", "peer"))
    assert words.endswith("It gave no estimate in 2 cases more.")
    assert "default" not in summary.methods
    assert not (tmp_path / "results" / "audio").exists()
    # A further system is run on the same cases; what is measured stays as it is.
    more = tagbox.evaluate(
        data,
        tmp_path / "results",
        estimates={"peer": tmp_path / "peer"},
        methods=[Quieter()],
        judge="none",
        together=True,
        players=0,
        resume=True,
        on_records=lambda done, total, fresh: told.append((done, total)),
    )
    assert told[-2:] == [(13, 14), (14, 14)]
    assert more.row("drums", "peer") == peer
    assert more.row("drums", "quieter") is not None
    assert set(json.loads((tmp_path / "results" / "run.json").read_text())["methods"]) == set(more.methods)


def test_a_damaged_recording_loses_only_its_own_cases(data: Path, tmp_path: Path) -> None:
    for name in ("mixture", "drums", "guitar"):
        cut = audio.read(data / "band" / f"{name}.wav")
        audio.write(tmp_path / "data" / "a" / f"{name}.flac", cut.samples, cut.rate)
    damaged = tmp_path / "data" / "a" / "guitar.flac"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    summary = tagbox.evaluate(
        tmp_path / "data", tmp_path / "results", methods=[Quieter()], judge="none", players=0
    )
    drums, guitar = summary.row("drums", "quieter"), summary.row("guitar", "quieter")
    assert drums is not None and drums.measured == 1
    assert guitar is not None and guitar.measured == 0
    assert any("guitar (a)" in line and "damaged" in line for line in summary.not_measured)


def test_files_that_are_not_as_they_say_are_named_and_measured_whole(data: Path, tmp_path: Path) -> None:
    """The mixture's FLAC header has no length, as in a pipe; the stem's has half of what there is."""
    for name in ("mixture", "drums"):
        cut = audio.read(data / "band" / f"{name}.wav")
        path = tmp_path / "data" / "a" / f"{name}.flac"
        audio.write(path, cut.samples, cut.rate)
        header = bytearray(path.read_bytes())
        samples = 0 if name == "mixture" else cut.rate
        header[21:26] = bytes([header[21] & 0xF0]) + samples.to_bytes(4)
        path.write_bytes(header)
    code, out, err = run_tagbox(
        "evaluate", tmp_path / "data", "-o", tmp_path / "results", *SYSTEMS, "--judge", "none", "--players",
        0, "--json",
    )  # fmt: skip
    assert code == 0, err
    notes = json.loads(out)["notes"]
    assert len(notes) == 2
    assert notes[0].startswith("a: mixture.flac does not say how long")
    assert notes[1].startswith("a: drums.flac says that it lasts 1.00 s; the 2.00 s")
    assert all(err.count(note) == 1 for note in notes)
    assert {record["seconds"] for record in records(tmp_path / "results").values()} == {2.0}
    for report in ("report.md", "report.html"):
        assert "drums.flac says" in (tmp_path / "results" / report).read_text()


@pytest.mark.parametrize(("name", "repeating"), [("hpss", ("drums",)), ("repet-sim", ("drums", "bass"))])
def test_baselines_split_the_mixture_in_two(name: str, repeating: tuple[str, ...]) -> None:
    """HPSS and REPET-SIM have two parts, which add up to the mixture; a source gets one of them."""
    mixture = audio.read(EXAMPLES / "band" / "mixture.flac", 3, 2)
    references = dict.fromkeys(("drums", "bass", "guitar"), mixture.samples)
    baseline = find_baseline(name)
    excerpt = SystemInput("band", "", mixture.samples, mixture.rate, references, 3.0, 0)
    estimates = baseline.separate(excerpt).estimates
    assert baseline.kind == "baseline"
    other_part = estimates["guitar"]
    for query in ("drums", "bass"):
        if query in repeating:
            # Both parts are the mixture's float32 STFT times masks that add up to one.
            torch.testing.assert_close(estimates[query] + other_part, mixture.samples, rtol=0, atol=1e-5)
            assert not torch.equal(estimates[query], other_part)
        else:
            assert torch.equal(estimates[query], other_part)


def test_presets_with_changes() -> None:
    changed = parse_preset("finer=paper:taggers=mtat/fcn+mtat/musicnn,fft=512+1024,lr=5,normalise=true")
    assert (changed.name, changed.preset) == ("finer", "paper")
    assert changed.settings.taggers == ("mtat/fcn", "mtat/musicnn")
    assert (changed.settings.fft, changed.settings.lr, changed.settings.normalise) == ((512, 1024), 5.0, True)
    assert parse_preset("paper").name == "paper"
    assert parse_preset("paper:generator=my=file").settings.generator == "my=file"
    with pytest.raises(TagBoxError, match="write FIELD=VALUE"):
        parse_preset("paper:steps")


def test_a_damaged_record_is_reported(tmp_path: Path) -> None:
    result_store.open_run(tmp_path, {"a": 1}, resume=False)
    result_store.append_records(tmp_path, [{"key": "one"}, {"key": "two"}])
    path = tmp_path / result_store.RECORDS_FILE
    path.write_text(path.read_text().replace('{"key": "one"}', '{"key": "on'))
    with pytest.raises(TagBoxError, match="line 1 is damaged"):
        result_store.open_run(tmp_path, {"a": 1}, resume=True)


def test_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, tagbox.cli; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'librosa')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
