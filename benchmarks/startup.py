"""Measure the time from the start of `tagbox separate`, in a new process, to the first step of its loop.

    python -m benchmarks.startup [--preset default]... [--device cuda]

The first step counts when it ends. Each preset runs once before it is
measured, so that its files are cached in memory.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tagbox.methods.steering import Step

ROOT = Path(__file__).resolve().parents[1]
DUET = ROOT / "examples" / "duet" / "mixture.flac"
PRESETS = ("default", "fast", "components", "steered", "paper")
STEP_MARK = "a step has ended"

# Jukebox and the paper's taggers cannot be shipped.
EXTRA_OPTIONS = {"paper": ("--generator", "embedded", "--tagger", "mtat/pons-musicnn")}


def run_tagbox() -> None:
    """Run the command line, and print a line to standard error at the end of every step."""
    from tagbox.cli import main, progress

    show_step = progress.RunReporter.step

    def mark_step(self: progress.RunReporter, step: "Step") -> None:
        print(STEP_MARK, file=sys.stderr, flush=True)
        show_step(self, step)

    progress.RunReporter.step = mark_step  # type: ignore[method-assign]
    main()


def measure(preset: str, device: str) -> float:
    """Measure the seconds from the start of the process until its first step ends."""
    with tempfile.TemporaryDirectory() as folder:
        # Presets that infer gates report no step, so that the command itself prints none.
        program = "from benchmarks.startup import run_tagbox; run_tagbox()"
        command = [
            sys.executable,
            "-c",
            program,
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
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=ROOT
        ) as process:
            assert process.stderr is not None
            lines = []
            for line in process.stderr:
                lines.append(line)
                if first is None and STEP_MARK in line:
                    first = time.monotonic() - begin
    if process.returncode or first is None:
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
