"""Songs an hour, computing and memory of batches: `python -m benchmarks.scale`.

One process on one thread, one on two threads, and two processes separate the same songs. Where Ray is
installed, so do one actor on a cluster of one node, and two on one of two, each node with one core of this
machine. Computing is processor time, which other programs on the machine disturb less than the time on the
clock; that of Ray's actors is not known.

Overhead is the share of the processes' time in which they worked on no song: their start, and waiting. Most
comes once, so it is told for the songs that were measured and for a thousand. Between songs is what lies
between the end of one and the beginning of the next in the same process: what the engine costs for each.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = [ROOT / "examples" / name / "mixture.flac" for name in ("band", "duet", "song")]
START_SECONDS = 120.0
"""For as long a node of Ray may take to start."""
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
        computing: processor time of all processes, s; None where it is not known.
        in_songs: the time in which the processes worked on songs, added up, s.
        between_songs: the mean time from the end of a song to the beginning of the same process's next, s.
        memory: the most that a process held, bytes.
    """

    name: str
    processes: int
    songs: int
    wall: float
    computing: float | None
    in_songs: float
    between_songs: float
    memory: float

    @property
    def songs_an_hour(self) -> float:
        """How many songs an hour."""
        return 3600 * self.songs / self.wall

    @property
    def seconds_a_song(self) -> float:
        """How long a process works on a song, s."""
        return self.in_songs / self.songs

    @property
    def overhead(self) -> float:
        """The share of the processes' time in which they worked on no song."""
        return 1 - self.in_songs / (self.processes * self.wall)

    @property
    def overhead_of_a_song(self) -> float:
        """The share of the processes' time that comes between two songs."""
        return self.between_songs / (self.between_songs + self.seconds_a_song)

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


@dataclass(frozen=True)
class Way:
    """A way of separating songs.

    Attributes:
        name: of the way.
        jobs: how many processes, or actors of Ray.
        threads: of each; what the command chooses if None.
        nodes: of a Ray cluster, each with one core; none without Ray.
    """

    name: str
    jobs: int
    threads: int | None = 1
    nodes: int = 0


WAYS = (
    Way("1 process, 1 thread", 1),
    Way("1 process, 2 threads", 1, threads=2),
    Way("2 processes", 2, threads=None),
)
RAY_WAYS = (Way("Ray, 1 node of 1 core", 1, nodes=1), Way("Ray, 2 nodes of 1 core", 2, nodes=2))


@contextlib.contextmanager
def ray_cluster(nodes: int, environment: Mapping[str, str]) -> Iterator[str]:
    """Run a cluster for the block, and yield its address.

    Args:
        nodes: how many, each with one core.
        environment: of its processes.

    Raises:
        SystemExit: it does not start.
    """
    with socket.create_server(("", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
    start = [str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus", "1"]
    start += ["--object-store-memory", "100000000", "--disable-usage-stats"]
    head = ["--head", "--port", address.rpartition(":")[2], "--include-dashboard", "false"]
    # Ray's sockets need short paths.
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        started: list[subprocess.Popen[bytes]] = []
        try:
            for node in range(nodes):
                output = Path(folder, f"{node}.txt")
                with output.open("wb") as file:
                    process = subprocess.Popen(
                        [*start, *(["--address", address] if node else head)],
                        env={**environment, "RAY_TMPDIR": folder},
                        stdout=file,
                        stderr=subprocess.STDOUT,
                    )
                started.append(process)
                deadline = time.monotonic() + START_SECONDS
                while "Ray runtime started" not in output.read_text():
                    if process.poll() is not None or time.monotonic() > deadline:
                        raise SystemExit(f"no cluster of Ray starts here:\n{output.read_text()}")
                    time.sleep(0.1)
            yield address
        finally:
            for process in reversed(started):
                process.terminate()
                process.wait()


def measure(way: Way, music: Path, out: Path, preset: str) -> Figures:
    """Separate all songs in `music`.

    Raises:
        SystemExit: a cluster of Ray does not start.
        subprocess.CalledProcessError: the separation failed.
    """
    command = [sys.executable, "-m", "tagbox", "separate", str(music), "-o", str(out), "--quiet"]
    command += ["--tags", "vocals", "--preset", preset, "--device", "cpu", "--jobs", str(way.jobs)]
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    # Ray is to leave no token in the home.
    environment["RAY_AUTH_MODE"] = "disabled"
    if way.threads is not None:
        environment["OMP_NUM_THREADS"] = str(way.threads)
    with contextlib.ExitStack() as stack:
        if way.nodes:
            address = stack.enter_context(ray_cluster(way.nodes, environment))
            command += ["--engine", "ray", "--address", address]
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        subprocess.run(command, check=True, env=environment)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    computing = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    records = [json.loads(line) for line in (out / "batch.jsonl").read_text().splitlines()]
    in_songs = sum(record["seconds"] for record in records)
    memory = max(record["peak_memory"] for record in records)
    shutil.rmtree(out)
    return Figures(
        way.name,
        way.jobs,
        len(records),
        wall,
        # Actors of Ray are not children of the command.
        None if way.nodes else computing,
        in_songs,
        time_between_songs(records),
        memory,
    )


def time_between_songs(records: Sequence[Mapping[str, Any]]) -> float:
    """Return the mean time from the end of a song to the beginning of the same process's next, s.

    Args:
        records: of batch.jsonl, in the order of their ends.
    """
    ends: dict[tuple[str, int], float] = {}
    between = []
    for record in records:
        process, end = (record["host"], record["process"]), datetime.fromisoformat(record["time"]).timestamp()
        if process in ends:
            between.append(end - record["seconds"] - ends[process])
        ends[process] = end
    return statistics.mean(between)


def table(figures: list[Figures], seconds: float) -> str:
    """Return a Markdown table."""
    rows = []
    for each in figures:
        cells = (
            each.name,
            f"{each.songs_an_hour:.0f}",
            f"{each.seconds_a_song:.2f} s",
            computing_a_song(each),
            f"{each.memory / 1e9:.2f} GB",
            f"{100 * each.overhead:.0f} %",
            f"{100 * each.overhead_of(1000):.1f} %",
            f"{1e3 * each.between_songs:.0f} ms",
            f"{100 * each.overhead_of_a_song:.1f} %",
        )
        rows.append(f"| {' | '.join(cells)} |")
    overheads = ("overhead", "overhead of 1,000", "between songs", "overhead of a song")
    columns = ("an hour", "a song", "computing a song", "memory a process", *overheads)
    head = f"| songs of {seconds:g} s | {' | '.join(columns)} |"
    return "\n".join([head, "|---" * (1 + len(columns)) + "|", *rows])


def computing_a_song(figures: Figures) -> str:
    """Return the processor time of a song, for people."""
    return "not known" if figures.computing is None else f"{figures.computing / figures.songs:.1f} s"


def efficiency(one: Figures, two: Figures) -> float:
    """Return how much of twice the songs an hour two processes do, their start aside."""
    working = [each.seconds_a_song + each.between_songs for each in (one, two)]
    return working[0] / working[1]


def on_paper(figures: Figures, seconds: float, cores: int) -> str:
    """Say how long a million songs take on a hundred machines, by the computing that one took."""
    assert figures.computing is not None
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
    ways = WAYS if importlib.util.find_spec("ray") is None else WAYS + RAY_WAYS
    with tempfile.TemporaryDirectory() as folder:
        music, out = Path(folder, "music"), Path(folder, "out")
        make_songs(music, options.songs, options.seconds)
        figures = [measure(way, music, out, options.preset) for way in ways]
    load = os.getloadavg()[0]
    print(f"{options.preset}, load of the machine at the end: {load:.1f}\n")
    print(table(figures, options.seconds))
    print()
    print(f"efficiency of 2 processes: {100 * efficiency(figures[0], figures[2]):.0f} %")
    if len(figures) > len(WAYS):
        print(f"efficiency of 2 nodes of Ray: {100 * efficiency(figures[-2], figures[-1]):.0f} %")
    print(on_paper(figures[2], options.seconds, options.cores))


if __name__ == "__main__":
    main()
