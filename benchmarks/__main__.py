"""All speed benchmarks, one table each: ratios, throughput, memory, start-up, precision, scaling with length.

    python -m benchmarks [--only loop startup precision length song] [--quick] [--device cuda] [-o FOLDER]

Each runs in a process of its own. `-o` keeps what was found as FOLDER/<name>.json and FOLDER/<name>.md, with
the machine's description. `--quick` takes seconds and shows that all of it runs: its figures mean nothing.
`--device cuda` runs the same on a GPU, and the four-minute song that only makes sense there. Real weights of
published taggers are used where they are at hand, and random ones otherwise: the tables say which.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks import length, loop, precision, reports, startup
from tagbox import models
from tagbox.atomic_files import write_atomically
from tagbox.errors import TagBoxError
from tagbox.weights import store

Found = dict[str, Any]
"""What a benchmark says: a "table" in Markdown, and the "figures" that it is made of."""

GPU_GOALS = (
    "loop: 10 x the published loop and 40 % of the roofline",
    "song: 4 minutes with the preset paper in 30 s",
)


def run_loop(device: str, quick: bool) -> Found:
    """Steps a second against the published loop."""
    seconds, steps = (0.2, 1) if quick else (8.0, 20 if device.startswith("cuda") else 5)
    found = loop.compare(seconds, steps, os.cpu_count() or 1, device)
    return {"table": loop.table(found), "figures": found}


def run_startup(device: str, quick: bool) -> Found:
    """From the command to the loop's first step."""
    found = startup.run(startup.PRESETS[:1] if quick else startup.PRESETS, device)
    return {"table": startup.table(found), "figures": found}


def run_precision(device: str, quick: bool) -> Found:
    """SI-SDR in float32 and bfloat16: of what is heard, and of what is steered."""
    folder = None if quick else precision.default_folder()
    seconds = 2.0 if quick else 8.0
    where = "the development duets" if folder else "examples/duet"
    tables, figures = [], {}
    for preset in ("default", "steered"):
        options: dict[str, Any] = {"device": device, **({"steps": 2} if quick else {})}
        figures[preset] = precision.compare(folder, preset, seconds, None, options)
        tables.append(f"preset {preset}, {where}, {seconds:g} s\n\n{precision.table(figures[preset])}")
    return {"table": "\n\n".join(tables), "figures": figures}


def run_length(device: str, quick: bool) -> Found:
    """Time and memory as recordings get longer."""
    minutes, preset = ((0.05, 0.1), "fast") if quick else ((1.0, 5.0, 20.0), "default")
    words = [f"device={device}"]
    rows = length.run(minutes, preset, words)
    return {"table": length.table(rows, preset, words), "figures": rows}


def run_song(device: str, quick: bool) -> Found:
    """Four minutes with the preset paper, or what of it is at hand; a few seconds of it on a CPU."""
    minutes = 4.0 if device.startswith("cuda") and not quick else 0.05
    words, missing = [f"device={device}"], []
    try:
        store.locate("generator", "jukebox")
    except TagBoxError:
        words.append("generator=embedded")
        missing.append("Jukebox's weights (the small generator that ships stands in: not the goal's figure)")
    try:
        for name in ("fcn", "hcnn", "musicnn"):
            models.load_tagger(name, "mtat", "cpu")
    except TagBoxError:
        words.append("taggers=('mtat/pons-musicnn',)")
        missing.append("weights of the preset's taggers (pons-musicnn stands in)")
    if quick:
        words.append("steps=2")
    rows = length.run([minutes], "paper", words)
    notes = "".join(f"\n\nMissing here: {one}." for one in missing)
    return {"table": length.table(rows, "paper", words) + notes, "figures": rows}


BENCHMARKS: dict[str, Callable[[str, bool], Found]] = {
    "loop": run_loop,
    "startup": run_startup,
    "precision": run_precision,
    "length": run_length,
    "song": run_song,
}


def in_its_own_process(name: str, device: str, quick: bool) -> Found:
    """Run one benchmark; what it prints goes to standard error."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "found.json")
        command = [sys.executable, "-m", "benchmarks", "--one", name, str(path), "--device", device]
        subprocess.run(command + ["--quick"] * quick, check=True, stdout=sys.stderr)
        found: Found = json.loads(path.read_text())
        return found


def keep(folder: Path, name: str, report: Found) -> None:
    """FOLDER/<name>.json and FOLDER/<name>.md, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    with write_atomically(folder / f"{name}.json", force=True) as beside:
        Path(beside).write_text(json.dumps(report, indent=1) + "\n")
    with write_atomically(folder / f"{name}.md", force=True) as beside:
        Path(beside).write_text(text(name, report))


def text(name: str, report: Found) -> str:
    """Markdown."""
    busy = report["load"]
    others = "" if busy is None else f"; {busy:.1f} processes wanted a core as it began"
    quick = "\n\nA quick run: its figures mean nothing." if report["quick"] else ""
    return f"# {name}\n\n{report['machine']}{others}.{quick}\n\n{report['table']}\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="seconds, to see that all of it runs")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("-o", "--output", type=Path, help="a folder to keep the results in")
    parser.add_argument("--one", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU here. Missing without one: " + "; ".join(GPU_GOALS))
    if args.one:
        name, path = args.one
        Path(path).write_text(json.dumps(BENCHMARKS[name](args.device, args.quick)))
        return
    gpu = args.device.startswith("cuda")
    for name in args.only or [name for name in BENCHMARKS if gpu or name != "song"]:
        report: Found = {"machine": reports.machine(args.device), "load": reports.load(), "quick": args.quick}
        report |= in_its_own_process(name, args.device, args.quick)
        print(text(name, report), flush=True)
        if args.output:
            keep(args.output, name if not gpu else f"{name}-cuda", report)
    if not gpu:
        print("Missing here, for want of a GPU (python -m benchmarks --device cuda gets them):")
        print("\n".join(f"- {goal}" for goal in GPU_GOALS))


if __name__ == "__main__":
    main()
