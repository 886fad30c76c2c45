"""Measure the time from the start of `tagbox separate`, in a new process, to the first step of its loop.

    python -m benchmarks.startup [--preset default]... [--device cuda]

The first step counts when it ends, which is when the program reports it. Each preset runs once before it is
measured, so that its files are cached in memory.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"
PRESETS = ("default", "fast", "steered", "paper")

# Jukebox and the paper's taggers cannot be shipped.
EXTRA_OPTIONS = {"paper": ("--generator", "embedded", "--tagger", "mtat/pons-musicnn")}


def measure(preset: str, device: str) -> float:
    """Measure the seconds from the start of the process until it reports its first step."""
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "tagbox",
            "separate",
            str(DUET),
            "--tags",
            "violin",
            "--preset",
            preset,
        ]
        command += ["--steps", "1", "--device", device, "-o", folder, *EXTRA_OPTIONS.get(preset, ())]
        begin, first = time.monotonic(), None
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as program:
            assert program.stderr is not None
            lines = []
            for line in program.stderr:
                lines.append(line)
                if first is None and ": step 1," in line:
                    first = time.monotonic() - begin
    if program.returncode or first is None:
        raise SystemExit(f"{' '.join(command)} reported no first step:\n{''.join(lines)}")
    return first


def run(presets: Sequence[str], device: str) -> dict[str, float]:
    """Measure each preset twice, and return the second time (s)."""
    return {preset: [measure(preset, device) for _ in range(2)][1] for preset in presets}


def table(seconds_by_preset: dict[str, float]) -> str:
    """Return a Markdown table."""
    rows = [f"| {preset} | {seconds:.1f} |" for preset, seconds in seconds_by_preset.items()]
    return "\n".join(["examples/duet, violin", "", "| preset | s to the first step |", "|---|---|", *rows])


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", action="append", help=f"of {', '.join(PRESETS)}")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    args = parser.parse_args()
    print(table(run(args.preset or PRESETS, args.device)))


if __name__ == "__main__":
    main()
