"""Kill commands at random moments; look at what is left, and run the same command again.

The program is imported once and each command runs in a fork of it, so that the moments lie in the work and
not in the imports.
"""

import contextlib
import hashlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tagbox import audio
from tagbox.cli import main
from tagbox.evaluation import result_store
from tagbox.temporary_files import PREFIX
from tagbox.weights import store
from tagbox.weights.catalogue import model_by_identifier

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TINY = ("--steps", "1", "--components", "4", "--factorisations", "1", "--device", "cpu")
STREAMED = ("--segment", "3", "--overlap", "0.5")
MAX_SECONDS = 120.0
UNSTABLE_KEYS = ("seconds", "took", "made")
"""Entries of results that differ from run to run."""

Run = Callable[[Path, bool], None]
"""Runs a command in a folder; the flag says whether it ran there before."""


@dataclass
class Kills:
    """What came of the kills of one command."""

    tried: int = 0
    at_work: int = 0
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """A command that is killed.

    Attributes:
        name: for the report.
        run: the command.
        hashes: a fingerprint of each result, without what differs from run to run.
    """

    name: str
    run: Run
    hashes: Callable[[Path], dict[str, str]]


def run(count: int, seed: int, seconds: float = float("inf")) -> dict[str, Kills]:
    """Kill commands `count` times altogether, or as often as `seconds` allow."""
    random = np.random.default_rng([seed, 15])
    results: dict[str, Kills] = {}
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder, _jobs(Path(folder)) as jobs:
        undisturbed = {}
        for job in jobs:
            out = Path(folder, "undisturbed", job.name.replace(" ", "-"))
            begin = time.monotonic()
            code, words = _in_fork(job.run, out, again=False)
            if code:
                raise SystemExit(f"{job.name} does not run here: {words}")
            undisturbed[job.name] = (job.hashes(out), time.monotonic() - begin)
            results[job.name] = Kills()
        for number in range(count):
            if time.monotonic() > end:
                break
            job = jobs[number % len(jobs)]
            hashes, duration = undisturbed[job.name]
            sent = (signal.SIGTERM, signal.SIGKILL)[int(random.integers(2))]
            out = Path(folder, "killed", str(number))
            _kill_once(job, out, sent, float(random.uniform(0, duration)), hashes, results[job.name])
    return results


def _kill_once(
    job: Job, out: Path, sent: signal.Signals, after: float, hashes: dict[str, str], kills: Kills
) -> None:
    kills.tried += 1
    code, _ = _in_fork(job.run, out, again=False, kill=(sent, after))
    kills.at_work += code != 0
    moment = f"{sent.name} after {after:.2f} s"
    kills.faults += [f"{moment}: {fault}" for fault in _broken_files(out)]
    code, words = _in_fork(job.run, out, again=True)
    if code:
        kills.faults.append(f"{moment}: the second run ended with {code}: {words}")
        return
    now = job.hashes(out)
    differing = sorted(name for name in {*now, *hashes} if now.get(name) != hashes.get(name))
    if differing:
        kills.faults.append(f"{moment}: the second run has other results: {', '.join(differing)}")
    left = [path.name for path in out.rglob("*") if path.name.startswith(PREFIX)]
    if left:
        kills.faults.append(f"{moment}: {left} are left after the second run")


def _in_fork(
    run_job: Run, out: Path, again: bool, kill: tuple[signal.Signals, float] | None = None
) -> tuple[int, str]:
    """Run a job in a fork; return its exit code, negative for a signal, and the last line that it wrote."""
    with tempfile.TemporaryFile() as written:
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                for stream in (1, 2):
                    os.dup2(written.fileno(), stream)
                run_job(out, again)
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException as error:
                print(repr(error), file=sys.stderr, flush=True)
            finally:
                os._exit(code)
        deadline = time.monotonic() + (kill[1] if kill else MAX_SECONDS)
        status = 0
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                break
            if time.monotonic() > deadline:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, kill[0] if kill else signal.SIGKILL)
                deadline = float("inf")
            time.sleep(0.005)
        written.seek(0)
        lines = written.read().decode("utf-8", "replace").strip().splitlines()
    return os.waitstatus_to_exitcode(status), lines[-1][:300] if lines else ""


def _broken_files(folder: Path) -> list[str]:
    """Return what is wrong with the files that a killed command left under their own names."""
    faults = []
    for path in folder.rglob("*"):
        hidden = any(part.startswith(PREFIX) for part in path.relative_to(folder).parts)
        if hidden or not path.is_file():
            continue
        try:
            if path.suffix in (".wav", ".flac", ".mp3"):
                info = soundfile.info(path)
                if len(soundfile.read(path)[0]) != info.frames or info.frames == 0:
                    faults.append(f"{path.name} is shorter than it says")
            elif path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".jsonl":
                result_store.read_records(path.parent)
        except Exception as error:
            faults.append(f"{path.name}: {error}")
    return faults


@contextlib.contextmanager
def _jobs(folder: Path) -> Any:
    """Yield the jobs, for which a server of weights runs."""
    from benchmarks.robustness.checkpoints import git_blob, tagger_checkpoint
    from benchmarks.robustness.weights_server import Server

    song = folder / "song.wav"
    cut = audio.read(EXAMPLES / "duet" / "mixture.flac", 0, 8)
    audio.write(song, cut.samples, cut.rate)
    data = folder / "data"
    for name in ("mixture", "violin", "piano"):
        part = audio.read(EXAMPLES / "duet" / f"{name}.flac", 3, 2)
        audio.write(data / "duet" / f"{name}.wav", part.samples, part.rate)
    checkpoint = tagger_checkpoint("crnn", "mtat")
    (folder / "crnn.pth").write_bytes(checkpoint)
    published = model_by_identifier("mtat/crnn")
    model = replace(published, git_blob=git_blob(checkpoint), size=len(checkpoint), sha256=None)
    server = Server()
    server.files["crnn.pth"] = checkpoint
    server.pause = 0.02

    def separate(out: Path, again: bool, options: Sequence[str] = ()) -> None:
        force = ("--force",) if again else ()
        _tagbox("separate", song, "--tags", "violin", "-o", out, *TINY, *options, *force)

    def evaluate(out: Path, again: bool) -> None:
        resume = ("--resume",) if again else ()
        preset = "tiny=default:steps=1,components=4,factorisations=1"
        _tagbox("evaluate", data, "-o", out, "--preset", preset, "--seconds", 1, "--players", 1, *resume)

    def pull(out: Path, again: bool) -> None:
        os.environ["TAGBOX_HOME"] = str(out)
        store.pull(model, source=f"{server.base}/slow/crnn.pth")

    def import_file(out: Path, again: bool) -> None:
        os.environ["TAGBOX_HOME"] = str(out)
        store.import_file(model, folder / "crnn.pth")

    try:
        yield [
            Job("separate", separate, _hashes),
            Job(
                "separate --segment 3",
                partial(separate, options=STREAMED),
                _hashes,
            ),
            Job("separate to flac", partial(separate, options=("--format", "flac")), _hashes),
            Job("evaluate", evaluate, _record_hashes),
            Job("models pull", pull, _hashes),
            Job("models import", import_file, _hashes),
        ]
    finally:
        server.close()


def _tagbox(*words: object) -> None:
    sys.argv = ["tagbox", *map(str, words)]
    main()


def _hashes(folder: Path) -> dict[str, str]:
    """Return the hash of each file in a folder, of JSON without what differs from run to run."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.name.startswith(PREFIX) or path.suffix == ".lock":
            continue
        if path.suffix == ".json":
            found[name] = _hash(json.dumps(_stable(json.loads(path.read_text(encoding="utf-8")))).encode())
        elif path.suffix in (".wav", ".flac"):
            # libsndfile writes the time into wav files of floats.
            found[name] = _hash(soundfile.read(path, dtype="float64")[0].tobytes())
        else:
            found[name] = _hash(path.read_bytes())
    return found


def _record_hashes(folder: Path) -> dict[str, str]:
    """Return the hash of each record of an evaluation."""
    return {
        record["key"]: _hash(json.dumps(_stable(record), sort_keys=True).encode())
        for record in result_store.read_records(folder)
    }


def _stable(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _stable(value) for key, value in data.items() if key not in UNSTABLE_KEYS}
    return [_stable(each) for each in data] if isinstance(data, list) else data


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
