"""Kill commands at random moments; look at what is left, and run the same command again.

The program is imported once and each command runs in a fork of it, so that the moments lie in the work and
not in the imports.
"""

import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.robustness.jobs import Job, broken_files, in_fork, make_jobs, temporary_names

RECORDING_SECONDS = 4.0
"""Two segments of the streamed commands."""
SENT = (signal.SIGTERM, signal.SIGKILL)


@dataclass
class Kills:
    """What came of the kills of one command.

    Attributes:
        tried: kills.
        terminated: of them by SIGTERM; the others are SIGKILL.
        at_work: those that came before the command had ended by itself.
        faults: what was wrong, with the signal and the moment.
    """

    tried: int = 0
    terminated: int = 0
    at_work: int = 0
    faults: list[str] = field(default_factory=list)


def run(
    count: int,
    seed: int,
    seconds: float = float("inf"),
    report: Callable[[dict[str, Kills]], None] = lambda kills: None,
    only: str | None = None,
) -> dict[str, Kills]:
    """Kill commands `count` times altogether, or as often as `seconds` allow.

    Args:
        count: of all commands together.
        seed: of the signals and the moments.
        seconds: after which no further command is killed.
        report: called with all counts after each kill.
        only: commands whose names hold this.
    """
    random = np.random.default_rng([seed, 15])
    results: dict[str, Kills] = {}
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder, make_jobs(Path(folder), RECORDING_SECONDS) as all_jobs:
        jobs = [
            job
            for job in all_jobs
            if not (job.is_slow or job.is_redirected) and (only is None or only in job.name)
        ]
        undisturbed = {}
        for job in jobs:
            out = Path(folder, "undisturbed", job.name.replace(" ", "-"))
            begin = time.monotonic()
            code, lines = in_fork(job.run, out, again=False)
            if code:
                raise SystemExit(f"{job.name} does not run here: {lines[-1:]}")
            undisturbed[job.name] = (job.hashes(out), time.monotonic() - begin)
            results[job.name] = Kills()
        for number in range(count):
            if time.monotonic() > end:
                break
            job = jobs[number % len(jobs)]
            hashes, duration = undisturbed[job.name]
            sent = SENT[int(random.integers(2))]
            out = Path(folder, "killed", str(number))
            _kill_once(job, out, sent, float(random.uniform(0, duration)), hashes, results[job.name])
            report(results)
    return results


def _kill_once(
    job: Job, out: Path, sent: signal.Signals, after: float, hashes: dict[str, str], kills: Kills
) -> None:
    kills.tried += 1
    kills.terminated += sent == signal.SIGTERM
    code, _ = in_fork(job.run, out, again=False, kill=(sent, after))
    kills.at_work += code != 0
    moment = f"{sent.name} after {after:.2f} s"
    kills.faults += [f"{moment}: {fault}" for fault in broken_files(out)]
    # A signal before the program has taken it over ends it as SIGKILL does.
    if sent == signal.SIGTERM and code != -signal.SIGTERM and (left := temporary_names(out)):
        kills.faults.append(f"{moment}: {left} are left")
    code, lines = in_fork(job.run, out, again=True)
    if code:
        kills.faults.append(f"{moment}: the second run ended with {code}: {lines[-1:]}")
        return
    now = job.hashes(out)
    differing = sorted(name for name in {*now, *hashes} if now.get(name) != hashes.get(name))
    if differing:
        kills.faults.append(f"{moment}: the second run has other results: {', '.join(differing)}")
    if left := temporary_names(out):
        kills.faults.append(f"{moment}: {left} are left after the second run")
