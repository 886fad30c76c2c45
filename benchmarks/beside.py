"""Time one program alone and two at once on the same two cores: `python -m benchmarks.beside`.

Two that share the cores fairly take twice as long as one that uses both, and as long as one that uses one of
them. Programs whose threads spin while they wait for each other take many times as long.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "band" / "mixture.flac"

PYTHON = """
import sys, time, resource
import torch, tagbox
from tagbox import audio
recording = audio.read(sys.argv[1], 0, float(sys.argv[2]))
began = time.monotonic()
tagbox.separate(recording.samples, recording.rate, tags=["drums"])
usage = resource.getrusage(resource.RUSAGE_SELF)
print(time.monotonic() - began, usage.ru_utime + usage.ru_stime, torch.get_num_threads())
"""


def commands(seconds: float, folder: Path) -> dict[str, list[str]]:
    """Return the programs to time, by their names in the table; `{}` stands for a number."""
    line = [sys.executable, "-m", "tagbox", "separate", str(EXAMPLE), "--tags", "drums", "--quiet"]
    return {
        "command line": [*line, "--duration", f"{seconds:g}", "--force", "-o", str(folder / "{}")],
        "Python": [sys.executable, "-c", PYTHON, str(EXAMPLE), f"{seconds:g}"],
    }


def run_at_once(command: Sequence[str], count: int) -> float:
    """Run `count` programs at once; return the seconds until the last has ended.

    Raises:
        subprocess.CalledProcessError: one failed.
    """
    began = time.monotonic()
    programs = [
        subprocess.Popen([word.replace("{}", str(i)) for word in command], stdout=subprocess.DEVNULL)
        for i in range(count)
    ]
    for program in programs:
        if program.wait():
            raise subprocess.CalledProcessError(program.returncode, command)
    return time.monotonic() - began


def main() -> None:
    """Print a table: the best of several repeats, which is what the programs need on a quiet machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, nargs="*", default=[3.0, 10.0], help="of audio")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])
    print("| program | audio | one | two at once | times |\n|---|---|---|---|---|")
    for seconds in options.seconds:
        with tempfile.TemporaryDirectory() as folder:
            for name, command in commands(seconds, Path(folder)).items():
                one, two = (
                    min(run_at_once(command, count) for _ in range(options.repeats)) for count in (1, 2)
                )
                print(f"| {name} | {seconds:g} s | {one:.1f} s | {two:.1f} s | {two / one:.2f} |", flush=True)


if __name__ == "__main__":
    main()
