"""Commands of the program on recordings of a second or two, to be killed or to be given a failing disk."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import soundfile
from safetensors.numpy import load_file

from tagbox import audio
from tagbox.cli import main
from tagbox.evaluation import result_store
from tagbox.temporary_files import PREFIX
from tagbox.weights import catalogue
from tagbox.weights.catalogue import model_by_identifier

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TINY = ("--steps", "1", "--components", "4", "--factorisations", "1", "--device", "cpu")
STREAMED = ("--segment", "3", "--overlap", "0.5")
MAX_SECONDS = 240.0
BATCH_RECORDS = "batch.jsonl"
UNSTABLE_KEYS = ("seconds", "took", "made", "plot")
"""Entries of results that differ from run to run; a plot is added when it is drawn."""

LOGS = tempfile.gettempdir()
"""Where the words of commands go, also where their own temporary files go elsewhere."""

Run = Callable[[Path, bool], None]
"""Runs a command in a folder; the flag says whether it ran there before."""


@dataclass(frozen=True)
class Job:
    """A command.

    Attributes:
        name: for the report.
        run: the command.
        hashes: a fingerprint of each result, without what differs from run to run.
        is_slow: whether it takes seconds, of which most are no writing.
        is_redirected: whether its result is standard output, whose file the shell empties before it begins.
        resumes_from: a folder that a stopped run leaves, from which another goes on.
    """

    name: str
    run: Run
    hashes: Callable[[Path], dict[str, str]]
    is_slow: bool = False
    is_redirected: bool = False
    resumes_from: str | None = None


def in_fork(
    run_job: Run, out: Path, again: bool, kill: tuple[signal.Signals, float] | None = None
) -> tuple[int, list[str]]:
    """Run a job in a fork; return its exit code, negative for a signal, and the lines of standard error."""
    with tempfile.TemporaryFile(dir=LOGS) as written, Path(os.devnull).open("wb") as nowhere:
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                os.dup2(nowhere.fileno(), 1)
                os.dup2(written.fileno(), 2)
                run_job(out, again)
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException as error:
                print(f"Traceback: {error!r}", file=sys.stderr, flush=True)
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
    return os.waitstatus_to_exitcode(status), lines


def broken_files(folder: Path) -> list[str]:
    """Return what is wrong with the files that stand in a folder under their own names."""
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
            elif path.name == BATCH_RECORDS:
                for line in path.read_text(encoding="utf-8").splitlines():
                    json.loads(line)
            elif path.suffix == ".jsonl":
                result_store.read_records(path.parent)
        except Exception as error:
            faults.append(f"{path.name}: {error}")
    return faults


def temporary_names(folder: Path) -> list[str]:
    """Return the names of the program's temporary files below a folder."""
    return sorted(path.name for path in folder.rglob(f"{PREFIX}*"))


@contextlib.contextmanager
def make_jobs(folder: Path, seconds: float) -> Iterator[list[Job]]:
    """Yield the commands, for which a server of weights runs.

    Args:
        folder: for what they read.
        seconds: length of the recordings.
    """
    from benchmarks.robustness.checkpoints import git_blob, tagger_checkpoint
    from benchmarks.robustness.weights_server import Server

    song, short = folder / "song.wav", folder / "short.wav"
    cut = audio.read(EXAMPLES / "duet" / "mixture.flac", 0, seconds)
    audio.write(song, cut.samples, cut.rate)
    audio.write(short, cut.samples[:, : cut.rate], cut.rate)
    albums = folder / "albums"
    for name in ("one", "two"):
        (albums / name).mkdir(parents=True)
        shutil.copy(short, albums / name / "song.wav")
    data = folder / "data"
    for name in ("mixture", "violin", "piano"):
        part = audio.read(EXAMPLES / "duet" / f"{name}.flac", 3, 2)
        audio.write(data / "duet" / f"{name}.wav", part.samples, part.rate)
    checkpoint = tagger_checkpoint("crnn", "mtat")
    (folder / "crnn.pth").write_bytes(checkpoint)
    server = Server()
    server.files["crnn.pth"] = checkpoint
    server.pause = 0.02
    published = model_by_identifier("mtat/crnn")
    model = replace(
        published,
        git_blob=git_blob(checkpoint),
        size=len(checkpoint),
        sha256=None,
        source=f"{server.base}/slow/crnn.pth",
    )
    # The command looks the model up, and finds the server's.
    models = tuple(model if each is published else each for each in catalogue.models())
    changed = mock.patch.object(catalogue, "models", lambda: models)
    changed.start()

    def separate(*options: object, resumes: bool = False, recording: Path = song) -> Run:
        def run(out: Path, again: bool) -> None:
            force = ("--force",) if again and not resumes else ()
            run_command("separate", recording, "--tags", "violin", "-o", out, *TINY, *options, *force)

        return run

    def separate_to_stdout(out: Path, again: bool) -> None:
        _to_file(out / "standard-output", "separate", short, "--tags", "violin", "--stdout", *TINY)

    def tag(out: Path, again: bool) -> None:
        _to_file(out / "standard-output", "tag", short, "--json")

    def transfer(out: Path, again: bool) -> None:
        force = ("--force",) if again else ()
        target = out / "transfer.wav"
        run_command(
            "transfer", short, "--tags", "violin", "-o", target, "--steps", 1, "--device", "cpu", *force
        )

    def evaluate(out: Path, again: bool) -> None:
        resume = ("--resume",) if again else ()
        preset = "tiny=default:steps=1,components=4,factorisations=1"
        run_command("evaluate", data, "-o", out, "--preset", preset, "--seconds", 1, "--players", 1, *resume)

    def pull(out: Path, again: bool) -> None:
        os.environ["TAGBOX_HOME"] = str(out)
        run_command("models", "pull", "mtat/crnn")

    def import_file(out: Path, again: bool) -> None:
        os.environ["TAGBOX_HOME"] = str(out)
        run_command("models", "import", folder / "crnn.pth", "--as", "mtat/crnn")

    def dataset(out: Path, again: bool) -> None:
        from benchmarks.robustness.soundfonts import write

        font = folder / "font.sf2"
        if not font.exists():
            write(font)
        run_command("dataset", out, "--tracks", 1, "--seconds", 2, "--soundfont", font)

    def train(out: Path, again: bool) -> None:
        sizes = ("--levels", 1, "--width", 4, "--depth", 1, "--entries", 8, "--batch", 1, "--samples", 2400)
        resume = ("--resume", "--force") if again else ()
        target = out / "mine.safetensors"
        run_command("train-generator", albums, "-o", target, "--steps", 1, *sizes, "--device", "cpu", *resume)

    jobs = [
        Job("separate", separate(), _hashes),
        Job("separate --segment 3", separate(*STREAMED), _hashes),
        Job("separate --format flac", separate("--format", "flac"), _hashes),
        Job("separate --segment 3 --format flac", separate(*STREAMED, "--format", "flac"), _hashes),
        Job("separate --plot", separate("--plot"), _hashes, is_slow=True),
        Job("separate --stdout", separate_to_stdout, _hashes, is_redirected=True),
        Job("separate FOLDER", separate(recording=albums, resumes=True), _hashes),
        Job("tag", tag, _hashes, is_redirected=True),
        Job("transfer", transfer, _hashes, is_slow=True),
        Job("evaluate", evaluate, _record_hashes),
        Job("models pull", pull, _hashes, resumes_from="partial"),
        Job("models import", import_file, _hashes),
        Job("train-generator", train, _weights_hashes, resumes_from="mine.training"),
    ]
    if shutil.which("fluidsynth"):
        jobs.append(Job("dataset", dataset, _hashes, is_slow=True))
    try:
        yield jobs
    finally:
        changed.stop()
        server.close()


def run_command(*words: object) -> None:
    """Run `tagbox` in this process."""
    sys.argv = ["tagbox", *map(str, words)]
    main()


def _to_file(path: Path, *words: object) -> None:
    """Run a command whose standard output is a file, as the shell's > makes it."""
    try:
        file = _opened(path)
    except OSError:
        # The shell's call, which was to fail, and no other does.
        file = _opened(path)
    os.dup2(file, 1)
    run_command(*words)


def _opened(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)


def _hashes(folder: Path) -> dict[str, str]:
    """Return the hash of each file in a folder, of JSON without what differs from run to run."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if not path.is_file() or path.name.startswith(PREFIX) or path.suffix == ".lock":
            continue
        if path.name == BATCH_RECORDS:
            # What was tried when: another run is told there as another line.
            continue
        if path.suffix == ".json":
            found[name] = _hash(json.dumps(_stable(json.loads(path.read_text(encoding="utf-8")))).encode())
        elif path.suffix in (".wav", ".flac"):
            found[name] = _hash(soundfile.read(path, dtype="float64")[0].tobytes())
        elif path.suffix == ".png":
            found[name] = "a plot"
        else:
            found[name] = _hash(path.read_bytes())
    return found


def _weights_hashes(folder: Path) -> dict[str, str]:
    """Return the hash of the tensors of each file; its header has its entries in no certain order."""
    found = {}
    for path in folder.rglob("*.safetensors"):
        tensors = load_file(path)
        found[path.name] = _hash(
            b"".join(name.encode() + tensors[name].tobytes() for name in sorted(tensors))
        )
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
