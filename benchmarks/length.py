"""Measure how time and memory grow with the length of a recording.

    python -m benchmarks.length [--minutes 1 5 20] [--preset default] [--option steps=2]...

The recording is the band in examples/, repeated, in stereo at 44.1 kHz, from a 16-bit wav file to float wav
files. Every length has a process of its own. "Streaming" is everything except the loop on representative
excerpts, where a preset has that. Exponents are the slope of log time against log length. Compare CPU seconds
on a machine that others use as well.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.reports import parse_settings

BAND = Path(__file__).resolve().parents[1] / "examples" / "band" / "mixture.flac"
RATE = 44_100


def write_recording(path: Path, minutes: float) -> None:
    """Write the band, repeated until the recording has the length."""
    import soundfile

    phrase, rate = soundfile.read(BAND, dtype="float32", always_2d=True)
    with soundfile.SoundFile(path, "w", rate, phrase.shape[1], "PCM_16") as file:
        remaining = round(minutes * 60 * rate)
        while remaining > 0:
            file.write(phrase[:remaining])
            remaining -= len(phrase)


def measure(path: Path, preset: str, options: dict[str, Any]) -> dict[str, float]:
    """Separate `path` in this process, and return seconds, CPU seconds and bytes."""
    from tagbox.api import separate_file

    marks: dict[str, tuple[float, float]] = {}

    def mark(name: str) -> None:
        marks.setdefault(name, (time.monotonic(), time.process_time()))

    def on_step(step: object) -> None:
        mark("steering")

    def on_segment(done: int, count: int) -> None:
        mark("segments")

    mark("begin")
    with tempfile.TemporaryDirectory() as out:
        written = separate_file(
            path, Path(out), ["drums"], preset=preset, on_step=on_step, on_segment=on_segment, **options
        )
    mark("end")
    wall, cpu = (marks["end"][i] - marks["begin"][i] for i in (0, 1))
    steering = [0.0, 0.0]
    if "digest" in written.manifest.get("streamed", {}):
        steering = [marks["segments"][i] - marks["steering"][i] for i in (0, 1)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "wall": wall,
        "cpu": cpu,
        "streaming_wall": wall - steering[0],
        "streaming_cpu": cpu - steering[1],
        "peak": peak,
    }


def exponent(lengths: Sequence[float], times: Sequence[float]) -> float:
    """Fit the slope of log time against log length by least squares."""
    x, y = [math.log(value) for value in lengths], [math.log(value) for value in times]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - mean_x) ** 2 for a in x)


def run(minutes: Sequence[float], preset: str, settings: Sequence[str]) -> list[dict[str, float]]:
    """Measure each length in its own process, and return the figures of each."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "long.wav")
        for length in minutes:
            write_recording(path, length)
            command = [sys.executable, "-m", "benchmarks.length", "--measure", str(path)]
            command += ["--preset", preset, *(word for setting in settings for word in ("--option", setting))]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows.append({"minutes": length, **json.loads(done.stdout.splitlines()[-1])})
            print(format_row(rows[-1]), file=sys.stderr, flush=True)
    return rows


def format_row(figures: dict[str, float]) -> str:
    """Return a row of the table, for one length."""
    return (
        f"| {figures['minutes']:g} | {figures['wall']:.1f} | {figures['cpu']:.1f} | "
        f"{figures['cpu'] / 60 / figures['minutes']:.2f} | {figures['streaming_wall']:.1f} | "
        f"{figures['streaming_cpu']:.1f} | {figures['peak'] / 1e6:.0f} |"
    )


def table(rows: Sequence[dict[str, float]], preset: str, settings: Sequence[str]) -> str:
    """Return a Markdown table."""
    lines = [
        f"preset {preset}, {' '.join(settings) or 'its own settings'}",
        "",
        "| minutes | s | CPU s | CPU s a second of music | streaming, s | streaming, CPU s | peak, MB |",
        "|---|---|---|---|---|---|---|",
        *(format_row(figures) for figures in rows),
    ]
    if len(rows) > 1:
        lengths = [figures["minutes"] for figures in rows]
        wall, cpu, streaming_wall, streaming_cpu = (
            f"{exponent(lengths, [figures[name] for figures in rows]):.2f}"
            for name in ("wall", "cpu", "streaming_wall", "streaming_cpu")
        )
        lines.append(f"| exponent | {wall} | {cpu} | | {streaming_wall} | {streaming_cpu} | |")
    return "\n".join(lines)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 5, 20])
    parser.add_argument("--preset", default="default")
    parser.add_argument("--option", action="append", default=[], help="a setting, as name=value")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure is not None:
        print(json.dumps(measure(args.measure, args.preset, parse_settings(args.option))))
        return
    print(table(run(args.minutes, args.preset, args.option), args.preset, args.option))


if __name__ == "__main__":
    main()
