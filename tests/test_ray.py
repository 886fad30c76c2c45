"""The engine on Ray: a real cluster of two nodes on this machine, of which actors are killed.

All that imports Ray runs in processes of its own: what crashes in Ray's threads ends a process.
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import tagbox
from cli_runner import StartProgram, run_tagbox
from parallel_work import prepare_deeds
from ray_cluster import ENVIRONMENT, cluster_of_two
from s3_server import s3_server
from tagbox.parallel.ray_actors import MAX_TRIES, ActorWork
from tagbox.temporary_files import PREFIX

if importlib.util.find_spec("ray") is None:
    pytest.skip("Ray is not installed (pip install 'tagbox[ray]')", allow_module_level=True)

TESTS = Path(__file__).resolve().parent
DUET = TESTS.parent / "examples" / "duet" / "mixture.flac"
CHEAP = ("--steps", "1", "--components", "4", "--factorisations", "1", "--device", "cpu")
OPTIONS = ("--tags", "violin", *CHEAP, "--segment", "3", "--overlap", "0.5")
DEADLINE_SECONDS = 900
"""A machine may have other things to do; nothing here waits for so long."""
DRIVER = (sys.executable, str(TESTS / "ray_driver.py"))
TAGBOX = (sys.executable, "-m", "tagbox")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a cluster."""
    with cluster_of_two() as cluster:
        yield cluster.address


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A folder with three recordings, one of which has several segments."""
    folder = tmp_path / "music"
    folder.mkdir()
    samples, rate = soundfile.read(DUET, frames=2 * 44100, always_2d=True)
    for i in range(2):
        soundfile.write(folder / f"{i}.wav", np.roll(samples, i * 9000, axis=0), rate)
    soundfile.write(folder / "long.wav", np.tile(samples, (3, 1)), rate)
    return folder


def run(
    *command: object, folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> tuple[int, str, str]:
    """Run a program that uses the cluster: exit code, standard output, standard error."""
    done = subprocess.run(
        list(map(str, command)),
        cwd=folder,
        env={**os.environ, **ENVIRONMENT, **(environment or {})},
        timeout=DEADLINE_SECONDS,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout, done.stderr


def do_deeds(address: str, count: int, items: list[Any], *folder: Path) -> list[Any]:
    """Do deeds with actors; return the events by kind."""
    code, out, err = run(*DRIVER, "deeds", address, count, json.dumps(items), *folder)
    assert code == 0, err
    events: list[Any] = json.loads(out)
    return events


def test_actors_that_are_killed_cost_no_item(address: str, tmp_path: Path) -> None:
    """What kills its actor each time is given up, and what killed it once is done by another."""
    items: list[Any] = [["return", i] for i in range(6)]
    items[2:2] = [["die once", str(tmp_path / "died")], ["die", None]]
    events = do_deeds(address, 0, items)
    finished = [event["index"] for kind, event in events if kind == "Finished"]
    assert sorted(finished) == [index for index, item in enumerate(items) if item[0] != "die"]
    results = [event for kind, event in events if kind == "Finished"]
    assert all(event["result"][:2] == items[event["index"]] for event in results)
    (death,) = [event for kind, event in events if kind == "Died"]
    assert items[death["index"]] == ["die", None]
    assert "2 others before it" in death["reason"]


def test_an_actor_that_was_idle_takes_up_what_others_die_of(address: str, tmp_path: Path) -> None:
    """Also when it dies of that itself."""
    items = [["return", 0], ["die", str(tmp_path / "died")]]
    events = do_deeds(address, 0, items)
    assert [event["index"] for kind, event in events if kind == "Finished"] == [0]
    assert [event["index"] for kind, event in events if kind == "Died"] == [1]
    assert sum(kind == "Started" for kind, _ in events) == 1 + MAX_TRIES


def test_what_the_work_raises_is_raised(address: str) -> None:
    assert do_deeds(address, 1, [["raise", "by the work"]])[-1] == ["TagBoxError", "by the work"]


def test_closing_ends_the_work_and_its_temporary_files(address: str, tmp_path: Path) -> None:
    items = [["report", str(tmp_path)], ["report", str(tmp_path)], ["return", 0]]
    assert [kind for kind, _ in do_deeds(address, 0, items, tmp_path)] == ["Started", "Started"]
    assert not list(tmp_path.iterdir())


def test_songs_are_done_once_and_whole_when_an_actor_is_killed(
    address: str, music: Path, tmp_path: Path
) -> None:
    """The files are the samples that one process gives; relative paths are those of the command."""
    out, killed = tmp_path / "out", tmp_path / "killed"
    words = ("separate", "music", *OPTIONS, "-o", "out", "--engine", "ray", "--address", address, "--json")
    code, text, err = run(*DRIVER, "tagbox", "long", killed, *words, folder=tmp_path)
    assert code == 0, err
    assert [Path(each["written"][0]).parent.name for each in json.loads(text)] == ["0", "1", "long"]
    records = [json.loads(line) for line in (out / "batch.jsonl").read_text().splitlines()]
    assert sorted(record["folder"] for record in records) == ["0", "1", "long"]
    assert {record["status"] for record in records} == {"done"}
    assert int(killed.read_text()) not in {each["process"] for each in records if each["folder"] == "long"}
    assert not list(out.rglob(f"{PREFIX}*"))

    code, text, _ = run_tagbox("separate", music, *OPTIONS, "-o", out)
    assert code == 0 and text.count("done already") == 3
    code, _, err = run_tagbox("separate", music, *OPTIONS, "-o", tmp_path / "one", "--jobs", 1)
    assert code == 0, err
    paths = sorted((tmp_path / "one").rglob("*.wav"))
    assert len(paths) == 6
    for path in paths:
        twin = out / path.relative_to(tmp_path / "one")
        np.testing.assert_array_equal(soundfile.read(path)[0], soundfile.read(twin)[0])


def test_actors_need_a_folder_only_where_paths_are_given(tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    arguments = (prepare_deeds, 1, missing)
    assert ActorWork().prepare(*arguments, False, tagbox.__version__) == ("ready", None)
    kind, error = ActorWork().prepare(*arguments, True, tagbox.__version__)
    assert kind == "raised" and missing in str(error)


@pytest.mark.slow
def test_the_same_command_goes_on_when_the_head_runs_again(
    music: Path, tmp_path: Path, start_program: StartProgram
) -> None:
    """Without a head the command ends; so it does by Ctrl-C, which leaves nothing that is half done."""
    out, records, held = tmp_path / "out", tmp_path / "out" / "batch.jsonl", tmp_path / "held"
    held.mkdir()
    words = ["separate", music, *OPTIONS, "-o", out, "--engine", "ray", "--address"]

    def start(address: str) -> subprocess.Popen[str]:
        command = list(map(str, [*DRIVER, "tagbox", "long", f"{held}/", *words, address]))
        environment = {**os.environ, **ENVIRONMENT}
        return start_program(command, stdout=subprocess.PIPE, env=environment, process_group=0)

    def wait_for_records(process: subprocess.Popen[str], count: int) -> None:
        """Wait until `count` recordings are done, and that which comes to no end has begun."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (
            (held / "long").exists() and records.exists() and records.read_bytes().count(b"\n") >= count
        ):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.1)

    with cluster_of_two() as cluster:
        process = start(cluster.address)
        wait_for_records(process, 1)
        cluster.kill_head()
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 1 and "goes on" in errors and "Traceback" not in errors, errors
    done = {path.parent: path.stat().st_mtime_ns for path in out.rglob("run.json")}
    assert out / "long" not in done
    (held / "long").unlink()

    with cluster_of_two() as cluster:
        process = start(cluster.address)
        wait_for_records(process, 2)
        # As a terminal does, to all processes.
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 130, errors
        assert "the same command goes on" in errors and "Traceback" not in errors
        assert not list(out.rglob(f"{PREFIX}*")) and not (out / "long" / "run.json").exists()
        code, text, err = run(*TAGBOX, *words, cluster.address)
        assert code == 0 and text.count("done already") == 2, err
    assert all((folder / "run.json").stat().st_mtime_ns == when for folder, when in done.items())
    told = [json.loads(line) for line in records.read_text().splitlines()]
    assert sorted(each["folder"] for each in told) == ["0", "1", "long"]


@pytest.mark.slow
def test_a_cluster_of_this_machine_only(music: Path) -> None:
    files = (music / "0.wav", music / "1.wav")
    words = ("tag", *files, "--json", "--jobs", 1)
    code, text, err = run(*TAGBOX, *words, "--engine", "ray", "--address", "local")
    assert code == 0, err
    assert [Path(each["file"]).name for each in json.loads(text)] == ["0.wav", "1.wav"]
    assert json.loads(run_tagbox(*words)[1]) == json.loads(text)


@pytest.mark.slow
def test_recordings_and_results_on_storage(music: Path, tmp_path: Path) -> None:
    if not all(map(importlib.util.find_spec, ("s3fs", "moto", "flask_cors"))):
        pytest.skip("s3fs or moto is not installed (pip install s3fs moto[s3] flask flask-cors)")
    folder = tmp_path / "s3"
    folder.mkdir()
    words = ("separate", "s3://songs/in", *OPTIONS, "-o", "s3://songs/out")
    engine = ("--engine", "ray", "--address", "local", "--jobs", 1)
    with s3_server(folder) as server:
        server.make_bucket("songs")
        for name in ("0.wav", "1.wav"):
            server.put(f"songs/in/{name}", (music / name).read_bytes())
        server.put("songs/in/2.wav", b"no recording")
        code, _, err = run(*TAGBOX, *words, *engine, folder=tmp_path, environment=server.environment)
        assert code == 2 and "1 of 3 recordings failed" in err and "s3://songs/in/2.wav" in err, err
        code, out, err = run(*TAGBOX, *words, "--json", "--jobs", 1, environment=server.environment)
        assert code == 2 and "1 of 3 recordings failed" in err, err
    done = [each["written"][0] for each in json.loads(out) if each.get("done_already")]
    assert done == ["s3://songs/out/0/violin.wav", "s3://songs/out/1/violin.wav"]
