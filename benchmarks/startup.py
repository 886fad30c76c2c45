"""From `tagbox separate` to the loop's first step: a new process, models at hand.

    python -m benchmarks.startup [--preset default]... [--device cuda]

What counts is when the program tells its first step, at that step's end. Each preset runs once before, so
that files are in memory; a disk that is asked for the first time is slower.
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

# The rest of what `paper` wants cannot be shipped.
OWN = {"paper": ("--generator", "embedded", "--tagger", "mtat/pons-musicnn")}


def measure(preset: str, device: str) -> float:
    """Seconds from the start of the process until it tells its first step."""
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
        command += ["--steps", "1", "--device", device, "-o", folder, *OWN.get(preset, ())]
        begun, first = time.monotonic(), None
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as program:
            assert program.stderr is not None
            said = []
            for line in program.stderr:
                said.append(line)
                if first is None and ": step 1," in line:
                    first = time.monotonic() - begun
    if program.returncode or first is None:
        raise SystemExit(f"{' '.join(command)} told no first step:\n{''.join(said)}")
    return first


def run(presets: Sequence[str], device: str) -> dict[str, float]:
    """Of each preset, the second of two runs."""
    return {preset: [measure(preset, device) for _ in range(2)][1] for preset in presets}


def table(found: dict[str, float]) -> str:
    """Markdown."""
    rows = [f"| {preset} | {seconds:.1f} |" for preset, seconds in found.items()]
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
