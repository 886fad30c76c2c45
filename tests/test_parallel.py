"""Engines, parts, the number of processes, and what a batch leaves behind; real processes, no models."""

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from cli_runner import assert_refused, run_tagbox
from parallel_work import prepare_deeds
from tagbox.cli import batch_display
from tagbox.cli.batch_display import BatchDisplay
from tagbox.cli.batch_records import append_record, records_path
from tagbox.cli.output import Output
from tagbox.errors import FailedWriteError, MachineError, TagBoxError
from tagbox.parallel import job_count
from tagbox.parallel.engine import Died, Engine, Finished, Progress, ThisProcess
from tagbox.parallel.parts import Part, parse_part
from tagbox.parallel.processes import Processes
from tagbox.parallel.ray_actors import Resources, choose_resources
from tagbox.temporary_files import PREFIX

TESTS = Path(__file__).resolve().parent
DUET = TESTS.parent / "examples" / "duet" / "mixture.flac"


def run(engine: Engine, items: list[tuple[str, Any]]) -> tuple[dict[int, Any], dict[int, str], list[int]]:
    """Run an engine: results and deaths by index, and the indices of which progress was told."""
    results, deaths, told = {}, {}, []
    for event in engine.run(prepare_deeds, items, lambda index, progress: told.append(index)):
        if isinstance(event, Finished):
            results[event.index] = event.result
        elif isinstance(event, Died):
            deaths[event.index] = event.reason
    return results, deaths, told


def test_a_process_that_is_killed_costs_its_item_only() -> None:
    items = [("return", 0), ("die", None), *(("return", i) for i in range(2, 8))]
    results, deaths, _ = run(Processes(2), items)
    assert {index: value for index, (_, value, _) in results.items()} == {i: i for i in range(8) if i != 1}
    assert list(deaths) == [1] and "SIGKILL" in deaths[1]
    assert os.getpid() not in {process for *_, process in results.values()}


def test_one_process_does_the_same_here() -> None:
    results, deaths, told = run(ThisProcess(), [("return", "a"), ("return", "b")])
    assert results == {0: ("return", "a", os.getpid()), 1: ("return", "b", os.getpid())}
    assert not deaths and told == [0, 1]


def test_what_the_work_raises_is_raised() -> None:
    with pytest.raises(TagBoxError, match="by the work"):
        run(Processes(2), [("raise", "by the work"), ("return", 1)])


def test_processes_that_cannot_start_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAGBOX_TEST_START", "fails")
    with pytest.raises(MachineError, match="exit code 3"):
        run(Processes(1), [("return", 1)])


def test_closing_ends_all_processes_and_their_temporary_files(tmp_path: Path) -> None:
    with closing(Processes(2).run(prepare_deeds, [("hold", tmp_path)] * 2, lambda *_: None)) as events:
        for _ in range(2):
            next(events)
        wait_for(lambda: len(list(tmp_path.glob(f"{PREFIX}*"))) == 2)
        children = descendants(os.getpid())
        assert len(children) >= 2
    assert not list(tmp_path.iterdir())
    assert not any(is_worker(child) for child in children)


PROGRAM = """
import sys
from cli_runner import assert_refused, run_tagbox
from parallel_work import prepare_deeds
from tagbox.parallel.processes import Processes
if __name__ == "__main__":
    for event in Processes(1).run(prepare_deeds, [("hold", sys.argv[1])], lambda *_: None):
        print(event, flush=True)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked up in /proc")
def test_processes_end_with_a_program_that_is_killed(tmp_path: Path) -> None:
    program, held = tmp_path / "program.py", tmp_path / "held"
    program.write_text(PROGRAM)
    held.mkdir()
    path = os.pathsep.join([str(TESTS), *filter(None, sys.path)])
    process = subprocess.Popen([sys.executable, program, held], env={**os.environ, "PYTHONPATH": path})
    try:
        wait_for(lambda: bool(list(held.iterdir())))
        children = [child for child in descendants(process.pid) if is_worker(child)]
        assert children
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: not any(is_worker(child) for child in children))
    assert not list(held.iterdir())


def wait_for(condition: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def descendants(process: int) -> list[int]:
    found = Path(f"/proc/{process}/task/{process}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


def is_worker(process: int) -> bool:
    """Whether a process lives, and is one of `Processes`."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" and b"spawn_main" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


def test_items_are_made_while_processes_work() -> None:
    made: list[int] = []

    def make() -> Iterator[tuple[str, int]]:
        for i in range(20):
            made.append(i)
            yield "return", i

    for event in Processes(1).run(prepare_deeds, make(), lambda *_: None):
        if isinstance(event, Finished):
            # One in its hands, and one in advance.
            assert len(made) <= event.index + 3
    assert len(made) == 20


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_parts_are_all_and_nothing_twice(count: int) -> None:
    names = [str(i) for i in range(23)]
    parts = [parse_part(f"{i + 1}/{count}").of(names) for i in range(count)]
    assert sorted(name for part in parts for name in part) == sorted(names)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "-1/3", "1/0", "1.5/3", ""])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(TagBoxError, match="3/20"):
        parse_part(text)


def test_how_many_processes_pay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [tmp_path / f"{i}.mp3" for i in range(5)]
    for file in files:
        file.write_bytes(bytes(job_count.MIN_BYTES_PER_PROCESS))
    monkeypatch.setattr(job_count, "available_cores", lambda: 4)
    monkeypatch.setattr(job_count, "available_memory", lambda: 100 * job_count.WORKER_BYTES)
    monkeypatch.setattr(job_count, "may_have_gpu", lambda: False)
    count = job_count.processes_that_pay
    assert count(files, single_threaded=True) == 4
    assert count(files[:3], single_threaded=True) == 3
    assert count(files[:1], single_threaded=True) == 1
    assert count(files, single_threaded=False) == 1
    for file in files:
        file.write_bytes(b"small")
    assert count([*files, tmp_path / "missing.mp3"], single_threaded=True) == 1
    for file in files:
        file.write_bytes(bytes(job_count.MIN_BYTES_PER_PROCESS))
    monkeypatch.setattr(job_count, "available_memory", lambda: 2.5 * job_count.WORKER_BYTES)
    assert count(files, single_threaded=True) == 2
    monkeypatch.setattr(job_count, "may_have_gpu", lambda: True)
    assert (count(files, True), count(files, True, "cpu")) == (1, 2)


def test_memory_that_a_container_allows(tmp_path: Path) -> None:
    assert job_count.available_memory(tmp_path) == sys.maxsize
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   2000000 kB\n")
    assert job_count.available_memory(tmp_path) == 2_048_000_000
    (tmp_path / "sys" / "fs" / "cgroup").mkdir(parents=True)
    (tmp_path / "sys" / "fs" / "cgroup" / "memory.max").write_text("1000\n")
    assert job_count.available_memory(tmp_path) == 1000


def test_records_stay_whole_whoever_writes_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = records_path(tmp_path / "out", None)
    threads = [
        threading.Thread(
            target=lambda i=i: [append_record(path, {"who": i, "text": "x" * 3000}) for _ in range(20)]
        )
        for i in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(json.loads(line)["who"] for line in path.read_text().splitlines()) == sorted(
        [*range(4)] * 20
    )

    # A program was killed in the middle of a line: only that one cannot be read.
    path.write_bytes(b'{"who": 1}\n{"who"')
    append_record(path, {"recording": "\udce9.wav"})
    first, cut, last = path.read_text().splitlines()
    assert (first, cut, json.loads(last)) == ('{"who": 1}', '{"who"', {"recording": "\udce9.wav"})

    # A disk that is full takes half a line, which is taken back.
    before, write = path.read_bytes(), os.write
    full = iter([lambda handle, data: write(handle, data[:5])])

    def fill(handle: int, data: bytes) -> int:
        for each in full:
            return each(handle, data)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", fill)
    with pytest.raises(FailedWriteError, match="full"):
        append_record(path, {"who": 2})
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert records_path(tmp_path, Part(3, 20)).name == "batch-3-of-20.jsonl"


def test_one_display_tells_how_far_a_batch_has_come(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [1000.0]
    monkeypatch.setattr(batch_display.time, "monotonic", lambda: now[0])
    display = BatchDisplay(10, "recordings", Output())
    display.start(0, "done before.wav")
    now[0] += 5
    display.finish(0, of_earlier_run=True)
    display.start(1, "a.wav")
    display.start(2, "b.wav")
    now[0] += 60
    display.finish(1)
    display.progress(2, Progress("segment 1 of 2", 0.5))
    # One and a half in 60 s, so the other seven and a half take 300 s.
    assert display.describe() == "2 of 10 recordings done, 60 an hour, about 5 min left"
    display.finish(2, failed=True)
    now[0] += 60
    assert display.describe() == "2 of 10 recordings done, 1 failed, 60 an hour, about 7 min left"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and "b.wav" in lines[0]


def test_requests_that_no_cluster_can_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("separate", DUET, "--tags", "violin")
    out = tmp_path / "out"
    refused = [
        ((*words, "-o", out, "--engine", "spark"), "spark"),
        ((*words, "-o", out, "--address", "auto"), "--engine ray"),
        ((*words, "--stdout", "--engine", "ray"), "--stdout"),
        (("separate", "-", "--tags", "violin", "-o", out, "--engine", "ray"), "standard input"),
        (("tag", "-", "--engine", "ray"), "standard input"),
    ]
    for command, fact in refused:
        assert_refused(run_tagbox(*command), fact, path=out)
    if importlib.util.find_spec("ray") is not None:
        # Port 1 is nobody's.
        refused_connection = (*words, "-o", out, "--engine", "ray", "--address", "127.0.0.1:1", "--quiet")
        assert_refused(run_tagbox(*refused_connection), "127.0.0.1:1", path=out)
    monkeypatch.setitem(sys.modules, "ray", None)
    command = (*words, "-o", out, "--engine", "ray")
    assert_refused(run_tagbox(*command), "pip install 'tagbox[ray]'", path=out)


def test_what_an_actor_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    small, large = {"CPU": 4.0, "memory": 3e9}, {"CPU": 16.0, "memory": 64e9}
    with_gpu = {"CPU": 8.0, "memory": 64e9, "GPU": 2.0}
    assert choose_resources([{"memory": 1e9}, small, large], True, "auto") == Resources(1)
    assert choose_resources([small, large], False, "cpu") == Resources(4)
    assert choose_resources([small, with_gpu], True, "auto") == Resources(1, gpus=1)
    assert choose_resources([small, with_gpu], True, "cpu") == Resources(1)
    assert [Resources(1).fits(each) for each in (small, large, {})] == [3, 16, 0]
    assert [Resources(1, gpus=1).fits(each) for each in (small, with_gpu)] == [0, 2]
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert choose_resources([large], True, "cpu") == Resources(2)
