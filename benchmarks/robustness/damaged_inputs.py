"""Have damaged inputs of every format read in child processes, and count what comes of them."""

import json
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.robustness.seeds import Target, make_targets

SECONDS_PER_INPUT = 120.0
"""Milliseconds are enough on an idle machine; on a busy one ffmpeg takes seconds to start."""
START_SECONDS = 180.0
"""A child imports PyTorch first, on a machine that may be busy."""
INPUTS_PER_CHILD = 400
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Count:
    """What came of the damaged inputs of one format."""

    tried: int = 0
    read: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)

    def add(self, outcome: str, why: str) -> None:
        """Count one input."""
        self.tried += 1
        self.read += outcome == "read"
        self.refused += outcome == "refused"
        if outcome == "fault":
            self.faults.append(why)


def run(
    count: int,
    seed: int,
    only: str | None = None,
    jobs: int = 1,
    number: int | None = None,
    report: Callable[[dict[str, Count]], None] = lambda counts: None,
) -> dict[str, Count]:
    """Try about `count` damaged inputs; return what came of them by format.

    Args:
        count: of all formats together.
        seed: of the damage.
        only: formats whose names hold this.
        jobs: child processes at a time.
        number: only the input of this number of each format.
        report: called with all counts whenever a format is done.
    """
    targets = [each for each in make_targets() if only is None or only in each.name]
    targets = [each for each in targets if each.name == only] or targets
    total = sum(each.weight for each in targets)
    counts: dict[str, Count] = {}
    with tempfile.TemporaryDirectory() as folder:
        seeds = Path(folder, "seeds.pickle")
        seeds.write_bytes(pickle.dumps(targets))

        def try_target(target: Target) -> None:
            share = max(1, round(count * target.weight / total))
            first, stop = (0, share) if number is None else (number, number + 1)
            result = Count()
            for start in range(first, stop, INPUTS_PER_CHILD):
                _try_range(seeds, target, seed, start, min(stop, start + INPUTS_PER_CHILD), result)
            counts[target.name] = result
            print(target.name, _in_words(result), file=sys.stderr, flush=True)
            report(counts)

        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(try_target, targets))
    return {target.name: counts[target.name] for target in targets}


def _in_words(count: Count) -> str:
    return f"{count.tried} tried, {count.read} read, {count.refused} refused, {len(count.faults)} faults"


def _try_range(seeds: Path, target: Target, seed: int, first: int, last: int, count: Count) -> None:
    while first < last:
        with tempfile.TemporaryDirectory() as folder:
            words = [str(seeds), target.name, str(seed), str(first), str(last), folder]
            for line in _child_lines(words):
                if "outcome" in line:
                    why = line["why"] if line["outcome"] != "fault" else f"input {line['end']}: {line['why']}"
                    count.add(line["outcome"], why)
                    first = line["end"] + 1
                elif "died" in line:
                    count.add("fault", f"input {first}: {line['died']}")
                    first += 1


def _child_lines(words: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the lines of a child, and a last one with "died" where it did not come to its end."""
    command = [sys.executable, "-m", "benchmarks.robustness.child", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT, env=environment)
        lines: queue.Queue[bytes] = queue.Queue()
        assert child.stdout is not None
        reading = threading.Thread(target=_collect, args=(child.stdout, lines), daemon=True)
        reading.start()
        allowed = START_SECONDS
        try:
            while True:
                line = lines.get(timeout=allowed)
                if not line:
                    break
                allowed = SECONDS_PER_INPUT
                yield json.loads(line)
        except queue.Empty:
            child.kill()
            yield {"died": f"no end after {allowed:g} s"}
            return
        finally:
            code = child.wait()
            reading.join()
        if code:
            errors.seek(0)
            last = errors.read().decode("utf-8", "replace").strip().splitlines()[-1:] or [""]
            yield {"died": f"the process ended with {code}: {last[0][:150]}"}


def _collect(pipe: Any, lines: "queue.Queue[bytes]") -> None:
    for line in pipe:
        lines.put(line)
    lines.put(b"")
