"""`tagbox separate` of several recordings: folders, wildcards, faults in between, and what is done."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path, PurePath

import numpy as np
import pytest
import soundfile

from cli_runner import StartProgram, assert_refused, run_tagbox
from tagbox.cli.recordings import find_recordings, result_folder, safe_path
from tagbox.temporary_files import PREFIX

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"
OPTIONS = ("--tags", "violin", "--preset", "fast")


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A folder of three recordings, one of them silent and one in a folder of its own, and other files."""
    folder = tmp_path / "music"
    (folder / "album" / ".hidden").mkdir(parents=True)
    samples, rate = soundfile.read(DUET, frames=44100)
    soundfile.write(folder / "a.wav", samples, rate)
    soundfile.write(folder / "b.wav", np.zeros((44100, 2)), rate)
    soundfile.write(folder / "album" / "c.flac", samples, rate)
    soundfile.write(folder / "album" / ".hidden" / "d.wav", samples, rate)
    (folder / "cover.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "._a.wav").write_bytes(b"\0\5\x16\7")
    return folder


def test_a_folder_keeps_its_structure_and_what_is_done_is_left_alone(music: Path, tmp_path: Path) -> None:
    out = music / "out"
    code, _, err = run_tagbox("separate", music, *OPTIONS, "-o", out)
    assert code == 0, err
    manifests = sorted(path.relative_to(out) for path in out.rglob("run.json"))
    assert manifests == [Path("a/run.json"), Path("album/c/run.json"), Path("b/run.json")]
    assert err.count("silent") == 1 and "b.wav" in err
    assert np.abs(soundfile.read(out / "b" / "violin.wav")[0]).max() == 0

    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.rglob("*.*")}
    code, text, err = run_tagbox("separate", music, *OPTIONS, "-o", out)
    assert code == 0 and text.count("done already") == 3, err
    assert {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.rglob("*.*")} == before
    code, text, _ = run_tagbox("separate", music / "a.wav", *OPTIONS, "-o", out, "--json")
    (document,) = json.loads(text)
    assert code == 0 and document["done_already"] and str(out / "a" / "violin.wav") in document["written"]


def test_one_bad_recording_does_not_stop_the_others(music: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    broken = music / "aa.wav"
    broken.write_text("no audio at all")
    missing = music / "nine.wav"
    code, text, err = run_tagbox(
        "separate", music / "a.wav", broken, missing, music / "album", *OPTIONS, "-o", out
    )
    assert code == 2
    assert {path.parent.name for path in out.rglob("run.json")} == {"a", "c"}
    faults = [line for line in err.splitlines() if line.startswith("tagbox: ")]
    assert len(faults) == 3, err and str(broken) in faults[0] and str(missing) in faults[1]
    assert "2 of 4 recordings failed" in faults[2]
    assert str(out / "c" / "violin.wav") in text


def test_only_faults_of_the_machine_end_in_exit_code_1(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tagbox import api

    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(api, "separate_stream", fail)
    code, _, err = run_tagbox("separate", music, *OPTIONS, "-o", tmp_path / "batch")
    assert code == 1 and err.count("not enough memory") == 3
    records = [json.loads(line) for line in (tmp_path / "batch" / "batch.jsonl").read_text().splitlines()]
    assert [each["status"] for each in records] == 3 * ["failed"]
    assert all("not enough memory" in each["error"] for each in records)
    assert_refused(
        run_tagbox("separate", music / "a.wav", *OPTIONS, "--quiet", "-o", tmp_path / "out"),
        "not enough memory",
        path=tmp_path / "out",
        exit_code=1,
    )


def test_quoted_wildcards(music: Path, tmp_path: Path) -> None:
    found = find_recordings([music / "*"])
    assert sorted(each.folder for each in found) == [PurePath("a"), PurePath("album/c"), PurePath("b")]
    found = find_recordings([music / "**" / "*.flac", music / "album"])
    assert [each.folder for each in found] == [PurePath("album/c")]
    literal = music / "take [1].wav"
    shutil.copy(music / "a.wav", literal)
    assert [each.path for each in find_recordings([literal])] == [literal]
    assert_refused(
        run_tagbox("separate", music / "*.ogg", *OPTIONS, "-o", tmp_path / "out"), "no recording matches"
    )


def test_recordings_that_would_share_a_folder(music: Path, tmp_path: Path) -> None:
    shutil.copy(music / "a.wav", music / "a.flac")
    folders = {each.path.name: str(each.folder) for each in find_recordings([music])}
    assert folders == {"a.flac": "a.flac", "a.wav": "a.wav", "b.wav": "b", "c.flac": "album/c"}
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(music / "b.wav", other)
    result = run_tagbox("separate", music / "b.wav", other / "b.wav", *OPTIONS, "-o", tmp_path / "out")
    assert_refused(result, "b.wav", "one at a time", path=tmp_path / "out")


@pytest.mark.parametrize("name", ["...wav", "..wav", ".wav", "....", "a..", "\udce9.wav", "/etc/passwd.wav"])
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    folder = result_folder(PurePath(name))
    assert folder.parts and not folder.is_absolute()
    assert not {".", "..", ""} & set(folder.parts)
    assert safe_path(PurePath("../../a/./b")) == PurePath("a/b")


def test_force_removes_stems_that_fit_nothing_any_more_and_only_those(music: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("separate", music / "a.wav", "--preset", "fast", "-o", out)
    assert run_tagbox(*command, "--tags", "violin", "--tags", "piano")[0] == 0
    mine = out / "a" / "mine.wav"
    shutil.copy(music / "a.wav", mine)
    assert_refused(run_tagbox(*command, "--tags", "violin", "--quiet"), "another run", "--force")
    assert (out / "a" / "piano.wav").exists()
    # A list that somebody has written into is followed nowhere else.
    manifest = json.loads((out / "a" / "run.json").read_text())
    assert manifest["files"] == ["violin.wav", "piano.wav", "residual.wav"]
    manifest["files"] += ["../../music/b.wav", str(mine), "run.json"]
    (out / "a" / "run.json").write_text(json.dumps(manifest))
    code, _, err = run_tagbox(*command, "--tags", "violin", "--force")
    assert code == 0 and "piano.wav" in err
    assert {path.name for path in (out / "a").iterdir()} == {
        "violin.wav",
        "residual.wav",
        "run.json",
        "mine.wav",
    }
    assert (music / "b.wav").exists()


def test_a_run_that_was_interrupted_is_done_again(music: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = ("separate", music / "a.wav", *OPTIONS, "-o", out)
    assert run_tagbox(*command)[0] == 0
    path = out / "a" / "run.json"
    manifest = json.loads(path.read_text())
    manifest["runs"][0]["stopped"] = "interrupted"
    path.write_text(json.dumps(manifest))
    code, text, _ = run_tagbox(*command)
    assert code == 0 and "done already" not in text
    assert json.loads(path.read_text())["runs"][0]["stopped"] != "interrupted"
    path.write_text("{ damaged")
    assert_refused(run_tagbox(*command, "--quiet"), "--force")


def test_karaoke_is_the_residual_of_vocals(music: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    code, text, err = run_tagbox(
        "separate", music / "a.wav", "--tags", "backing track", "--preset", "fast", "-o", out
    )
    assert code == 0, err
    assert "backing track is the residual of vocals" in text
    folder = out / "a"
    assert {path.name for path in folder.iterdir()} == {"vocals.wav", "backing-track.wav", "run.json"}
    assert json.loads((folder / "run.json").read_text())["residual"]["name"] == "backing track"
    total = sum(soundfile.read(folder / name)[0] for name in ("vocals.wav", "backing-track.wav"))
    np.testing.assert_allclose(total, soundfile.read(music / "a.wav")[0], atol=1e-6)
    both = ("separate", music / "a.wav", "--tags", "karaoke", "--tags", "drums", "-o", out)
    assert_refused(run_tagbox(*both), "all but the vocals")


def test_notes_of_files_are_told_once_and_recorded(tmp_path: Path) -> None:
    cut = tmp_path / "cut.flac"
    data = DUET.read_bytes()
    cut.write_bytes(data[: len(data) // 4])
    out = tmp_path / "out"
    code, text, err = run_tagbox("separate", cut, *OPTIONS, "-o", out, "--duration", 1, "--json")
    assert code == 0 and err.count("cut.flac cannot be decoded to its end") == 1
    (note,) = json.loads(text)[0]["input"]["notes"]
    assert note in err and json.loads((out / "cut" / "run.json").read_text())["input"]["notes"] == [note]
    code, text, err = run_tagbox("tag", cut, "--json")
    assert code == 0 and err.count("cut.flac cannot be decoded to its end") == 1
    assert json.loads(text)[0]["notes"][0] in err
    assert run_tagbox("tag", cut, "--quiet") == (0, "", "")


def test_a_plot_goes_with_the_stems_that_it_shows(music: Path, tmp_path: Path) -> None:
    """The plot of an earlier run would show other stems; a picture that no run lists is somebody's own."""
    out = tmp_path / "out"
    command = ("separate", music / "a.wav", "-o", out, "--preset", "fast", "--quiet", "--tags")
    assert run_tagbox(*command, "violin", "--plot")[0] == 0
    plot, described = out / "a" / "plot.png", out / "a" / "run.json"
    assert json.loads(described.read_text())["plot"] == plot.name and plot.exists()
    assert run_tagbox(*command, "piano", "--force")[0] == 0
    assert not plot.exists() and "plot" not in json.loads(described.read_text())
    plot.write_bytes(b"mine")
    assert run_tagbox(*command, "violin", "--force")[0] == 0
    assert plot.read_bytes() == b"mine"


def test_ctrl_c_while_a_plot_is_drawn_keeps_the_stems(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure
    out = tmp_path / "out"
    command = ("separate", music / "a.wav", "-o", out, "--preset", "fast", "--tags", "violin", "--plot")
    with monkeypatch.context() as patched:
        patched.setattr(figure, "savefig", lambda *_, **__: signal.raise_signal(signal.SIGINT))
        code, _, err = run_tagbox(*command)
    assert code == 130 and "stopped" in err
    assert {path.name for path in (out / "a").iterdir()} == {"violin.wav", "residual.wav", "run.json"}
    assert "plot" not in json.loads((out / "a" / "run.json").read_text())
    assert run_tagbox(*command)[0] == 0
    assert (out / "a" / "plot.png").is_file()


@pytest.mark.integration
@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_two_processes_are_interrupted_and_the_same_command_goes_on(
    music: Path, tmp_path: Path, start_program: StartProgram
) -> None:
    """Ctrl-C leaves whole results and no process; they are the same samples as one process gives."""
    samples, rate = soundfile.read(DUET)
    soundfile.write(music / "z-long.wav", np.tile(samples, 20), rate)
    out, records = tmp_path / "out", tmp_path / "out" / "batch.jsonl"
    words = ["separate", str(music), *OPTIONS, "-o", str(out)]
    command = [sys.executable, "-m", "tagbox", *words, "--jobs", "2"]
    process = start_program(command, stdout=subprocess.DEVNULL, process_group=0)
    deadline = time.monotonic() + 300
    while not (records.exists() and records.read_bytes().count(b"\n") >= 2):
        assert time.monotonic() < deadline
        if process.poll() is not None:
            pytest.fail(f"ended with {process.returncode}: {process.communicate()[1]}")
        time.sleep(0.05)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    # As a terminal does, to all processes.
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert "the same command goes on" in errors and "Traceback" not in errors
    assert not any(Path(f"/proc/{child}/cwd").exists() for child in children)
    assert not list(out.rglob(f"{PREFIX}*")) and not (out / "z-long").exists()
    told = [json.loads(line) for line in records.read_text().splitlines()]
    assert {each["status"] for each in told} == {"done"} and len(told) in (2, 3)

    (music / "z-long.wav").unlink()
    code, text, _ = run_tagbox(*words)
    assert code == 0 and text.count("done already") == len(told)
    code, _, err = run_tagbox(*words[:-1], tmp_path / "one", "--jobs", 1)
    assert code == 0, err
    for path in (tmp_path / "one").rglob("*.wav"):
        twin = out / path.relative_to(tmp_path / "one")
        np.testing.assert_array_equal(soundfile.read(path)[0], soundfile.read(twin)[0])


@pytest.mark.integration
def test_the_script_of_a_job_array_does_its_part(music: Path, tmp_path: Path) -> None:
    script = DUET.parents[1] / "job-array.sh"
    out = tmp_path / "out"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    task = {"PATH": path, "SLURM_ARRAY_TASK_ID": "2", "SLURM_ARRAY_TASK_COUNT": "3"}
    command = ["sh", str(script), str(music), str(out), *OPTIONS]
    done = subprocess.run(command, env={**os.environ, **task}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    names = [each.folder for each in find_recordings([music])]
    (described,) = out.rglob("run.json")
    assert described.parent == out / names[1]
    (record,) = [json.loads(line) for line in (out / "batch-2-of-3.jsonl").read_text().splitlines()]
    assert (record["folder"], record["status"]) == (str(names[1]), "done")
