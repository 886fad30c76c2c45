"""Let each call of each command that writes to the disk fail once; see what is left and said.

    python -m benchmarks.robustness.failing_calls COMMAND STEP

runs in a process into which `failing_calls.c` was loaded, and prints a line of JSON for each command whose
name holds COMMAND. Commands run in forks of it.
"""

import errno
import json
import mmap
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).with_name("failing_calls.c")
ROOT = Path(__file__).resolve().parents[2]
STATE_BYTES = 32
MAX_CALLS = 2000
RECORDING_SECONDS = 1.0
FAILURES = {"full disk": (errno.ENOSPC, True), "I/O error": (errno.EIO, False)}
"""The error, and whether all later writes fail as well."""


@dataclass
class FailingCalls:
    """What came of a command, each of whose calls failed once.

    Attributes:
        calls: that the command makes.
        tried: runs in which a call failed.
        refused: runs that ended with exit code 1 and a line.
        faults: what was wrong, with the failure and the number of the call.
    """

    calls: int = 0
    tried: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)


def run(only: str | None, step: int, report: Callable[[Mapping[str, Any]], None]) -> dict[str, Any]:
    """Compile the library, try commands in a process of its own, and return their counts.

    Args:
        only: commands whose names hold this.
        step: 1 lets each call fail, 2 every other one.
        report: called with all counts whenever a command is done.
    """
    with tempfile.TemporaryDirectory() as folder:
        environment = preloaded(Path(folder))
        if isinstance(environment, str):
            return {"skipped": environment}
        module = [sys.executable, "-m", "benchmarks.robustness.failing_calls", only or "", str(step)]
        counts: dict[str, Any] = {}
        with subprocess.Popen(module, env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for line in child.stdout:
                counts |= json.loads(line)
                report(counts)
        if child.returncode:
            raise SystemExit(f"the commands could not be tried: exit code {child.returncode}")
        return counts


def preloaded(folder: Path) -> dict[str, str] | str:
    """Compile the library in `folder`; return the environment that loads it, or why there is none.

    Calls on files below `folder`/disk, which is made, can then be made to fail.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        return "it takes a C compiler and Linux"
    library, state, disk = folder / "failing_calls.so", folder / "state", folder / "disk"
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return f"the library cannot be compiled: {done.stderr.strip().splitlines()[-1:]}"
    state.write_bytes(bytes(STATE_BYTES))
    disk.mkdir()
    return {
        **os.environ,
        "LD_PRELOAD": str(library),
        "FAILING_CALLS_STATE": str(state),
        "FAILING_CALLS_FOLDER": str(disk),
        "OMP_NUM_THREADS": "1",
    }


class State:
    """The numbers that are shared with the library."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), STATE_BYTES)

    def begin(self, number: int, code: int = 0, stays: bool = False) -> None:
        """Let call `number` fail from now on; 0 lets none fail."""
        self._memory[:] = struct.pack("4q", 0, number, code, stays)

    def calls(self) -> int:
        """Return the number of calls since `begin`."""
        return int(struct.unpack("4q", self._memory[:])[0])


def main() -> None:
    """Try the commands."""
    from benchmarks.robustness.jobs import make_jobs

    only, step = sys.argv[1], int(sys.argv[2])
    state = State(Path(os.environ["FAILING_CALLS_STATE"]))
    place = Path(os.environ["FAILING_CALLS_FOLDER"])
    tempfile.tempdir = str(place)
    with make_jobs(place.parent / "inputs", RECORDING_SECONDS) as jobs:
        for job in jobs:
            if only in job.name:
                counts = FailingCalls()
                _try_job(job, place, state, step, counts)
                print(json.dumps({job.name: asdict(counts)}), flush=True)


def _try_job(job: Any, place: Path, state: State, step: int, result: FailingCalls) -> None:
    from benchmarks.robustness.jobs import in_fork

    out = place / "out"
    state.begin(0)
    # Without what the job before has left.
    shutil.rmtree(place)
    place.mkdir()
    code, lines = in_fork(job.run, out, again=False)
    result.calls = state.calls()
    if code:
        result.faults.append(f"does not run here: {lines[-1:]}")
        return
    finished, names = job.hashes(out), _names(place)
    for failure, (error, stays) in FAILURES.items():
        for number in range(1, min(result.calls, MAX_CALLS) + 1, step):
            for again in (False, True):
                # Into an empty folder, and every fourth time over the results of an earlier run.
                if again and (number % 4 or job.is_redirected or job.name == "evaluate"):
                    continue
                state.begin(0)
                shutil.rmtree(place)
                place.mkdir()
                if again:
                    in_fork(job.run, out, again=False)
                state.begin(number, error, stays)
                code, lines = in_fork(job.run, out, again)
                calls = state.calls()
                state.begin(0)
                if calls < number:
                    continue
                result.tried += 1
                result.refused += code == 1
                where = f"{failure}, call {number}{', over an earlier run' if again else ''}"
                fault = _fault(job, out, place, code, lines, finished if again else None, finished, names)
                if fault:
                    result.faults.append(f"{where}: {fault}")


def _names(place: Path) -> set[str]:
    return {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file()}


def _fault(
    job: Any,
    out: Path,
    place: Path,
    code: int,
    lines: list[str],
    earlier: dict[str, str] | None,
    finished: dict[str, str],
    names: set[str],
) -> str | None:
    """Return what was wrong with a run in which a call failed."""
    from benchmarks.robustness.jobs import broken_files, temporary_names

    errors = [line for line in lines if line.startswith("tagbox: ")]
    if code not in (0, 1) or any("Traceback" in line for line in lines):
        return f"exit code {code}: {lines[-1:]}"
    if code == 1 and not errors:
        return f"exit code 1, and no line that says why: {lines[-1:]}"
    if left := temporary_names(place):
        return f"{left} are left"
    if broken := broken_files(out):
        return f"broken files are left: {broken}"
    strangers = {name for name in _names(place) - names if job.resumes_from not in Path(name).parts}
    if strangers:
        return f"files are left that no finished run has: {sorted(strangers)}"
    now = job.hashes(out)
    if code == 0 and now != finished:
        return "exit code 0, and not all results"
    # A plot is drawn of finished results, which stay where that fails; the same command draws it then.
    kept = {name: own for name, own in (earlier or {}).items() if not name.endswith(".png")}
    lost = [name for name, own in kept.items() if now.get(name) != own]
    if lost:
        return f"results of the earlier run are lost: {lost}"
    return None


if __name__ == "__main__":
    main()
