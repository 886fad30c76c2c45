"""Time TagBox beside htdemucs, the separator that most people would take: `python -m benchmarks.peers`.

Demucs is installed into an environment of its own below --cache, with the same version of PyTorch as here.
Both programs write four files for each recording: vocals, drums, bass and what is left. They run one after
the other on the same recordings, on as many threads, each as its command does by default; TagBox in one
process. How well they separate is another matter, in which htdemucs is far ahead for such sources.

Computing is processor time, which other programs on the machine disturb less than the time on the clock;
memory is the most that a process held. Start-up is a run on one second of audio. Songs of a few seconds do
htdemucs wrong: it computes whole segments of 7.8 s.

`--hour` measures the memory for a recording of an hour instead. Demucs then has a network of few channels,
which computes an hour in minutes: the whole network takes more.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.scale import make_songs

RUNNER = Path(__file__).with_name("peers_demucs.py")
TAGS = ("vocals", "drums", "bass")
PRESETS = ("default", "fast")
HOUR_SECONDS = 3600.0
DEFAULT_CACHE = Path("~/.cache/tagbox-benchmarks").expanduser()


@dataclass(frozen=True)
class Run:
    """What a command took.

    Attributes:
        wall: time on the clock, s.
        computing: processor time, s.
        memory: the most that it held, bytes.
    """

    wall: float
    computing: float
    memory: int


@dataclass(frozen=True)
class Figures:
    """What a program took.

    Attributes:
        name: of the program.
        start: a second of audio.
        one: a song.
        many: several songs in one command.
        minutes: of music in those.
    """

    name: str
    start: Run
    one: Run
    many: Run
    minutes: float

    @property
    def computing_a_minute(self) -> float:
        """Processor time for a minute of music, without start-up, s."""
        return (self.many.computing - self.start.computing) / self.minutes


def install(cache: Path, demucs: str) -> Path:
    """Install Demucs into an environment below `cache`, unless it is there; return its Python.

    Raises:
        subprocess.CalledProcessError: that failed.
    """
    torch = version("torch").split("+")[0]
    folder = cache / f"demucs-{demucs}-torch-{torch}"
    python = folder / "bin" / "python"
    installed = folder / "installed"
    if not installed.exists():
        venv.create(folder, with_pip=True, clear=True)
        # Demucs 4.1 imports NumPy, which it does not require.
        packages = [f"demucs=={demucs}", f"torch=={torch}", "numpy"]
        command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
        subprocess.run(command, check=True)
        installed.touch()
    return python


def measure(command: Sequence[str], environment: Mapping[str, str]) -> Run:
    """Run a command to its end.

    Raises:
        SystemExit: it failed.
    """
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - began
        if process.returncode:
            output.seek(0)
            text = output.read().decode(errors="replace")[-2000:]
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{text}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * unit)


def table(figures: Sequence[Figures], songs: int) -> str:
    """Return a Markdown table."""
    rows = []
    for each in figures:
        runs = (each.one, each.many)
        cells = [
            each.name,
            f"{each.start.computing:.1f} s",
            *(f"{run.computing:.1f} s ({run.wall:.1f} s)" for run in runs),
            f"{each.computing_a_minute:.1f} s",
            f"{max(run.memory for run in runs) / 1e9:.2f} GB",
        ]
        rows.append(f"| {' | '.join(cells)} |")
    columns = ("start-up", "one song", f"{songs} songs", "a minute of music", "memory")
    return "\n".join([f"| computing (on the clock) | {' | '.join(columns)} |", "|---" * 6 + "|", *rows])


def print_memory_for_an_hour(programs: Mapping[str, Sequence[str]], environment: Mapping[str, str]) -> None:
    """Measure and print what each of the programs, named commands, holds of an hour of music."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_songs(folder / "songs", 1, HOUR_SECONDS)
        for program, command in programs.items():
            out = folder / "out" / program
            run = measure([*command, "-o", str(out), str(folder / "songs" / "0.flac")], environment)
            print(f"an hour of music: {program}: memory {run.memory / 1e9:.2f} GB", flush=True)
            shutil.rmtree(out)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=180.0, help="of each song")
    parser.add_argument("--songs", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--demucs", default="4.1.0", help="version")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="folder for Demucs's environment")
    parser.add_argument("--hour", action="store_true", help="measure memory for an hour of music instead")
    options = parser.parse_args()
    python = install(options.cache, options.demucs)
    environment = {**os.environ, "OMP_NUM_THREADS": str(options.threads)}
    words = [word for tag in TAGS for word in ("--tags", tag)]
    tagbox = [sys.executable, "-m", "tagbox", "separate", "--jobs", "1", "--device", "cpu", "--quiet", *words]
    programs = {f"TagBox, {preset}": [*tagbox, "--preset", preset] for preset in PRESETS}
    htdemucs = ["-n", "htdemucs", "-d", "cpu"]
    if options.hour:
        narrow = {"htdemucs, more than": [str(python), str(RUNNER), "narrow", *htdemucs]}
        print_memory_for_an_hour(programs | narrow, environment)
        return
    check = [str(python), str(RUNNER), "check"]
    told = subprocess.run(check, check=True, env=environment, stdout=subprocess.PIPE, text=True).stdout
    # Whatever Demucs prints comes before.
    weights = told.split()[-1]
    figures = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_songs(folder / "start", 1, 1.0)
        make_songs(folder / "songs", options.songs, options.seconds)
        start = [str(folder / "start" / "0.flac")]
        songs = [str(folder / "songs" / f"{i}.flac") for i in range(options.songs)]

        programs["htdemucs"] = [str(python), str(RUNNER), weights, *htdemucs]
        for name, command in programs.items():
            out = folder / "out" / name
            cases = {"start": start, "one": songs[:1], "many": songs}
            runs = {
                label: measure([*command, "-o", str(out / label), *recordings], environment)
                for label, recordings in cases.items()
            }
            figures.append(Figures(name, **runs, minutes=options.songs * options.seconds / 60))

    random = "random weights, on which speed does not depend" if weights == "random" else "its own weights"
    print(
        f"Demucs {options.demucs} with {random}; songs of {options.seconds:g} s, threads {options.threads}, ",
        end="",
    )
    print(f"load of the machine at the end {os.getloadavg()[0]:.1f}\n")
    print(table(figures, options.songs))


if __name__ == "__main__":
    main()
