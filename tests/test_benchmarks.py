"""The benchmarks run and write their results; times are not tested."""

import json
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as benchmarks_command
from benchmarks import ears, evaluation_reports, reports, startup, work
from benchmarks.length import exponent

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`python -m benchmarks` in this process; what it measures has processes of its own."""

    def run(*words: str) -> None:
        monkeypatch.chdir(ROOT)
        monkeypatch.setattr(sys, "argv", ["benchmarks", *words])
        benchmarks_command.main()

    return run


def test_a_quick_run_prints_and_writes_a_table(
    run: Callable[..., None], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    run("--quick", "--only", "length", "-o", str(tmp_path))
    printed = capfd.readouterr().out
    assert "| minutes |" in printed
    assert "exponent" in printed
    assert "Missing here, for want of a GPU" in printed
    report = json.loads((tmp_path / "length.json").read_text())
    assert report["quick"]
    assert report["figures"][0]["wall"] > 0
    assert report["table"] in (tmp_path / "length.md").read_text()
    assert report["machine"] == reports.machine("cpu")


def test_startup_is_the_time_to_the_first_step() -> None:
    begin = time.monotonic()
    seconds = startup.measure("fast", "cpu")
    assert 0.2 < seconds < time.monotonic() - begin
    with pytest.raises(SystemExit, match="no-such"):
        startup.measure("no-such", "cpu")


@pytest.mark.slow
def test_a_quick_run_compares_the_loops(run: Callable[..., None], tmp_path: Path) -> None:
    run("--quick", "--only", "loop", "-o", str(tmp_path))
    found = json.loads((tmp_path / "loop.json").read_text())["figures"]
    plain, exact = found["loops"][:2]
    assert plain["losses"][0] == pytest.approx(exact["losses"][0], rel=1e-3)
    assert all(one["step"] > 0 and one["peak"] > 0 for one in found["loops"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is at hand")
def test_without_a_gpu_the_missing_figures_are_named(
    run: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        run("--device", "cuda")
    assert refused.value.code == 2
    printed = capsys.readouterr().err
    assert "finds no GPU" in printed
    assert "40 % of the roofline" in printed


def test_a_step_has_the_operations_of_its_convolutions() -> None:
    # A position of a block: three taps and one of 64 x 64, forward and backward, each a product and a sum.
    blocks = 8 * 4 * 64 * 64 * 2 * 2 * sum(work.frames(1.0) * 2**doubled for doubled in range(3))
    decoder = work.count_operations(1.0, (), 1)
    assert blocks < decoder < 1.2 * blocks
    assert work.count_operations(2.0, (), 1) == pytest.approx(2 * decoder, rel=0.01)
    # A window of fcn has 29 s: of 4 s of audio and 25 s of padding, the padding is cached.
    tagger = [
        work.count_operations(seconds, ("fcn",), 1) - work.count_operations(seconds, (), 1)
        for seconds in (4.0, 28.0)
    ]
    assert 0 < tagger[0] < 0.3 * tagger[1]
    assert work.count_traffic(1.0, torch.float32) == 2 * work.count_traffic(1.0, torch.bfloat16)


def test_time_that_grows_with_the_square_has_exponent_two() -> None:
    assert exponent([1, 2, 5], [3, 12, 75]) == pytest.approx(2)


def test_settings_are_parsed() -> None:
    assert reports.parse_settings(["steps=2", "device=cpu", "fft=(512, 1024)"]) == {
        "steps": 2,
        "device": "cpu",
        "fft": (512, 1024),
    }


@pytest.mark.parametrize(
    "request_file", sorted((ROOT / "benchmarks/evaluation").glob("*/run.json")), ids=lambda p: p.parent.name
)
def test_committed_tables_are_those_of_the_committed_records(request_file: Path, tmp_path: Path) -> None:
    folder = request_file.parent
    for name in ("run.json", "results.jsonl"):
        shutil.copy(folder / name, tmp_path)
    evaluation_reports.build_reports(tmp_path)
    for name in ("table.csv", "report.md"):
        assert (tmp_path / name).read_text() == (folder / name).read_text()


def test_ears_measures_what_is_here_and_lists_the_rest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TAGBOX_HOME", str(tmp_path / "home"))
    shutil.copytree(ROOT / "examples" / "duet", tmp_path / "stems" / "duet")
    models = [word for name in ("mtat/pons-musicnn", "embedded", "mtat/fcn") for word in ("--model", name)]
    options = ["--seconds", "2", "--steps", "0", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", ["ears", str(tmp_path / "stems"), *models, *options])
    ears.main()
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()]
    cells = {row[1].strip(): [cell.strip() for cell in row[2:-1]] for row in rows if len(row) > 3}
    assert cells["`mtat/pons-musicnn`"][0] == "2"
    # The embedded generator's latents say more than their codes, and both much.
    plain, coded = map(float, cells["`embedded`"][:2])
    assert plain > coded > 10
    assert any("tagbox models pull mtat/fcn" in row[0] for row in rows)
