"""Songs an hour, computing and memory of batches: `python -m benchmarks.scale`.

One process on one thread, one on two threads, two processes, and two actors of a Ray cluster of this machine
(where Ray is installed) separate the same songs. Computing is
processor time, which other programs on the machine disturb less than the time on the clock.

Overhead is the share of the processes' time in which they worked on no song: their start, and waiting. Most
comes once, so it is told for the songs that were measured and for a thousand.
"""

import argparse
import importlib.util
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = [ROOT / "examples" / name / "mixture.flac" for name in ("band", "duet", "song")]
MILLION = 1_000_000
MACHINES = 100
SONG_MINUTES = 4.0
"""Of the songs of the estimate on paper."""


@dataclass(frozen=True)
class Figures:
    """What a batch took.

    Attributes:
        name: of the way in which it was done.
        processes: how many.
        songs: how many were separated.
        wall: time on the clock, s.
        computing: processor time of all processes, s.
        in_songs: the time in which the processes worked on songs, added up, s.
        memory: the most that a process held, bytes.
    """

    name: str
    processes: int
    songs: int
    wall: float
    computing: float
    in_songs: float
    memory: float

    @property
    def songs_an_hour(self) -> float:
        """How many songs an hour."""
        return 3600 * self.songs / self.wall

    @property
    def overhead(self) -> float:
        """The share of the processes' time in which they worked on no song."""
        return 1 - self.in_songs / (self.processes * self.wall)

    def overhead_of(self, songs: int) -> float:
        """The same for a batch of `songs`: what is not spent in songs comes once."""
        once = self.processes * self.wall - self.in_songs
        return once / (once + self.in_songs * songs / self.songs)


def make_songs(folder: Path, count: int, seconds: float) -> None:
    """Write `count` songs of `seconds`, repetitions of the examples."""
    folder.mkdir()
    for i in range(count):
        samples, rate = soundfile.read(EXAMPLES[i % len(EXAMPLES)], always_2d=True)
        wanted = round(seconds * rate)
        repeated = np.tile(samples, (-(-wanted // len(samples)), 1))[:wanted]
        soundfile.write(folder / f"{i}.flac", repeated, rate)


def measure(
    name: str, music: Path, out: Path, preset: str, jobs: int, threads: int | None, engine: Sequence[str]
) -> Figures:
    """Separate all songs in `music`.

    Raises:
        subprocess.CalledProcessError: that failed.
    """
    command = [sys.executable, "-m", "tagbox", "separate", str(music), "-o", str(out), "--quiet"]
    command += ["--tags", "vocals", "--preset", preset, "--device", "cpu", "--jobs", str(jobs)]
    command += engine
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    # Ray is to leave no token in the home.
    environment["RAY_AUTH_MODE"] = "disabled"
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(command, check=True, env=environment)
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    computing = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    records = [json.loads(line) for line in (out / "batch.jsonl").read_text().splitlines()]
    in_songs = sum(record["seconds"] for record in records)
    memory = max(record["peak_memory"] for record in records)
    shutil.rmtree(out)
    return Figures(name, jobs, len(records), wall, computing, in_songs, memory)


def table(figures: list[Figures], seconds: float) -> str:
    """Return a Markdown table."""
    rows = [
        f"| {each.name} | {each.songs_an_hour:.0f} | {each.computing / each.songs:.1f} s | "
        f"{each.memory / 1e9:.2f} GB | {100 * each.overhead:.0f} % | {100 * each.overhead_of(1000):.1f} % |"
        for each in figures
    ]
    columns = ("an hour", "computing a song", "memory a process", "overhead", "overhead of 1,000")
    head = f"| songs of {seconds:g} s | {' | '.join(columns)} |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def on_paper(figures: Figures, seconds: float, cores: int) -> str:
    """Say how long a million songs take on a hundred machines, by the computing that one took."""
    a_song = figures.computing / figures.songs * SONG_MINUTES * 60 / seconds
    hours = MILLION * a_song / (MACHINES * cores) / 3600
    machines = f"{MILLION:,} songs on {MACHINES} machines of {cores} cores"
    song = f"A song of {SONG_MINUTES:g} min takes {a_song:.0f} s of one core"
    return f"{song}. {machines}: {hours:.0f} h, if nothing but computing limits them."


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each song")
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--cores", type=int, default=16, help="of a machine in the estimate")
    options = parser.parse_args()
    ways: list[tuple[str, int, int | None, tuple[str, ...]]] = [
        ("1 process, 1 thread", 1, 1, ()),
        ("1 process, 2 threads", 1, 2, ()),
        ("2 processes", 2, None, ()),
    ]
    if importlib.util.find_spec("ray") is not None:
        ways.append(("2 actors of Ray", 2, 1, ("--engine", "ray", "--address", "local")))
    with tempfile.TemporaryDirectory() as folder:
        music, out = Path(folder, "music"), Path(folder, "out")
        make_songs(music, options.songs, options.seconds)
        figures = [
            measure(name, music, out, options.preset, jobs, threads, engine)
            for name, jobs, threads, engine in ways
        ]
    load = os.getloadavg()[0]
    print(f"{options.preset}, load of the machine at the end: {load:.1f}\n")
    print(table(figures, options.seconds))
    print()
    print(on_paper(figures[2], options.seconds, options.cores))


if __name__ == "__main__":
    main()
