"""The engine on Ray: a real cluster of two nodes on this machine, of which actors are killed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from cli_runner import StartProgram, run_tagbox
from parallel_work import prepare_deeds
from tagbox.errors import TagBoxError
from tagbox.parallel.engine import Died, Finished
from tagbox.temporary_files import PREFIX

ray_cluster = pytest.importorskip(
    "ray.cluster_utils", reason="Ray is not installed (pip install 'tagbox[ray]')"
)

from tagbox.parallel import ray_actors  # noqa: E402
from tagbox.parallel.ray_actors import RayActors  # noqa: E402

# Ray's own threads run in the process of the tests, and where they crash, which was seen once beside a second
# cluster, so does the process.
pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
DUET = ROOT / "examples" / "duet" / "mixture.flac"
CHEAP = ("--steps", "1", "--components", "4", "--factorisations", "1", "--device", "cpu")
OPTIONS = ("--tags", "violin", *CHEAP, "--segment", "3", "--overlap", "0.5")
NODE = {
    "num_cpus": 1,
    "memory": 2_000_000_000,
    "object_store_memory": 80_000_000,
    "include_dashboard": False,
}
ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Else Ray writes a token into the home of whoever runs the tests.
    "RAY_AUTH_MODE": "disabled",
    # Other programs on the machine may take all memory; that is not what is tested.
    "RAY_memory_monitor_refresh_ms": "0",
    # Nor is how long they keep a node from answering.
    "RAY_health_check_failure_threshold": "100",
    "RAY_worker_register_timeout_seconds": "600",
    "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests")]),
}
DEADLINE_SECONDS = 300
MAX_STARTS = 3


@contextmanager
def cluster_of_two() -> Iterator[Any]:
    """Run a cluster of two nodes, each with room for one actor."""
    # The paths of sockets are to be short.
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        cluster = start_cluster(folder)
        try:
            yield cluster
        finally:
            cluster.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def start_cluster(folder: str) -> Any:
    """Start a cluster; Ray gives a node 30 s, which a machine that is busy may not have the first time."""
    for _ in range(MAX_STARTS):
        cluster = ray_cluster.Cluster()
        try:
            cluster.add_node(**NODE, temp_dir=folder)
            cluster.add_node(**NODE)
            return cluster
        except Exception as error:
            reason = str(error)
            cluster.shutdown()
    return pytest.skip(f"no cluster of Ray starts here: {reason}")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a cluster."""
    with cluster_of_two() as cluster:
        yield cluster.address


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """A folder with three recordings, one of which is long."""
    folder = tmp_path / "music"
    folder.mkdir()
    samples, rate = soundfile.read(DUET, frames=2 * 44100, always_2d=True)
    for i in range(2):
        soundfile.write(folder / f"{i}.wav", np.roll(samples, i * 9000, axis=0), rate)
    soundfile.write(folder / "long.wav", np.tile(samples, (10, 1)), rate)
    return folder


def test_actors_that_are_killed_cost_no_item(address: str, tmp_path: Path) -> None:
    """What kills its actor each time is given up, and what killed it once is done by another."""
    items: list[tuple[str, Any]] = [("return", i) for i in range(6)]
    items[2:2] = [("die once", tmp_path / "died"), ("die", None)]
    results, deaths = {}, {}
    for event in RayActors(address).run(prepare_deeds, items, lambda *_: None):
        if isinstance(event, Finished):
            assert event.index not in results
            results[event.index] = event.result
        elif isinstance(event, Died):
            deaths[event.index] = event.reason
    assert {index: result[:2] for index, result in results.items()} == {
        index: item for index, item in enumerate(items) if item[0] != "die"
    }
    assert list(deaths) == [items.index(("die", None))]
    assert os.getpid() not in {process for *_, process in results.values()}


def test_what_the_work_raises_is_raised(address: str) -> None:
    with pytest.raises(TagBoxError, match="by the work"):
        list(RayActors(address, count=1).run(prepare_deeds, [("raise", "by the work")], lambda *_: None))


def test_closing_ends_the_work_and_its_temporary_files(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_actors, "END_SECONDS", DEADLINE_SECONDS)
    items: list[tuple[str, Any]] = [("report", tmp_path), ("report", tmp_path), ("return", 0)]
    with closing(RayActors(address).run(prepare_deeds, items, lambda *_: None)) as events:
        for _ in range(2):
            next(events)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while len(list(tmp_path.glob(f"{PREFIX}*"))) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="processes are looked up in /proc")
def test_songs_are_done_once_and_whole_when_an_actor_is_killed(
    address: str, music: Path, tmp_path: Path
) -> None:
    """The files are the samples that one process gives; relative paths are those of the command."""
    out = tmp_path / "out"
    killed: list[int] = []
    watcher = threading.Thread(target=lambda: killed.append(kill_who_writes(out / "long")))
    watcher.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        code, text, err = run_tagbox(
            "separate", "music", *OPTIONS, "-o", "out", "--engine", "ray", "--address", address, "--json"
        )
    watcher.join(DEADLINE_SECONDS)
    assert code == 0, err
    assert len(killed) == 1 and killed != [os.getpid()]
    assert [Path(each["written"][0]).parent.name for each in json.loads(text)] == ["0", "1", "long"]
    records = [json.loads(line) for line in (out / "batch.jsonl").read_text().splitlines()]
    assert sorted(record["folder"] for record in records) == ["0", "1", "long"]
    assert {record["status"] for record in records} == {"done"}
    assert os.getpid() not in {record["process"] for record in records}
    assert killed[0] not in {each["process"] for each in records if each["folder"] == "long"}
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


IMPATIENT = """
import sys
from tagbox.cli import main
from tagbox.parallel import ray_actors
ray_actors.HEAD_SECONDS = 5.0
main()
"""


@pytest.mark.slow
def test_the_same_command_goes_on_when_the_head_runs_again(
    music: Path, tmp_path: Path, start_program: StartProgram
) -> None:
    """Without a head the command ends; so it does by Ctrl-C, which leaves nothing that is half done."""
    samples, rate = soundfile.read(music / "long.wav")
    soundfile.write(music / "z-longer.wav", np.tile(samples, 20), rate)
    out, records = tmp_path / "out", tmp_path / "out" / "batch.jsonl"
    words = ["separate", str(music), *OPTIONS, "-o", str(out), "--engine", "ray", "--address"]

    def start(address: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", IMPATIENT, *words, address]
        return start_program(command, stdout=subprocess.PIPE, process_group=0)

    def wait_for_records(process: subprocess.Popen[str], count: int) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not (records.exists() and records.read_bytes().count(b"\n") >= count):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()[1]
            time.sleep(0.1)

    with cluster_of_two() as cluster:
        process = start(cluster.address)
        wait_for_records(process, 1)
        cluster.head_node.kill_gcs_server()
        cluster.head_node.kill_raylet()
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 1 and "goes on" in errors and "Traceback" not in errors, errors
    done = {path.parent: path.stat().st_mtime_ns for path in out.rglob("run.json")}
    assert out / "z-longer" not in done

    with cluster_of_two() as cluster:
        process = start(cluster.address)
        wait_for_records(process, 3)
        # As a terminal does, to all processes.
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 130, errors
        assert "the same command goes on" in errors and "Traceback" not in errors
        assert not list(out.rglob(f"{PREFIX}*")) and not (out / "z-longer" / "run.json").exists()
        (music / "z-longer.wav").unlink()
        code, text, err = run_tagbox(*words, cluster.address)
        assert code == 0 and text.count("done already") == 3, err
    assert all((folder / "run.json").stat().st_mtime_ns == when for folder, when in done.items())
    told = [json.loads(line) for line in records.read_text().splitlines()]
    assert sorted(each["folder"] for each in told) == ["0", "1", "long"]


@pytest.mark.slow
def test_a_cluster_of_this_machine_only(music: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        words = ("--engine", "ray", "--address", "local", "--jobs", 1)
        code, text, err = run_tagbox("tag", music / "0.wav", music / "1.wav", "--json", *words)
    assert code == 0, err
    assert [Path(each["file"]).name for each in json.loads(text)] == ["0.wav", "1.wav"]
    here = run_tagbox("tag", music / "0.wav", music / "1.wav", "--json", "--jobs", 1)
    assert json.loads(here[1]) == json.loads(text)


def kill_who_writes(folder: Path) -> int:
    """Kill the process that first has a file open in `folder`; return which it was."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        for process in Path("/proc").iterdir():
            if process.name.isdigit() and int(process.name) != os.getpid():
                for opened in _opened(process):
                    if opened.startswith(f"{folder}/"):
                        os.kill(int(process.name), signal.SIGKILL)
                        return int(process.name)
        time.sleep(0.1)
    raise TimeoutError(f"nobody writes into {folder}")


def _opened(process: Path) -> list[str]:
    try:
        return [os.readlink(each) for each in (process / "fd").iterdir()]  # noqa: PTH115
    except OSError:
        return []
