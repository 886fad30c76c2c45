"""Run all speed benchmarks: time and memory of the loop, start-up, precision, growth with length.

    python -m benchmarks [--only loop startup precision length song] [--quick] [--device cuda] [-o FOLDER]

Each runs in a process of its own. `-o` writes the results to FOLDER/<name>.json and FOLDER/<name>.md, with a
description of the machine. `--quick` takes seconds and only shows that everything runs. `--device cuda` runs
the same on a GPU, and a song of four minutes too. Published weights of taggers are used where they are at
hand, and random ones otherwise: the tables say which.
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
from tagbox.atomic_files import write_atomically, write_json
from tagbox.errors import TagBoxError
from tagbox.models import load_tagger
from tagbox.weights import store

Result = dict[str, Any]
"""The result of a benchmark: a "table" in Markdown, and the "figures" in it."""

GPU_GOALS = (
    "loop: 10 x the published loop and 40 % of the roofline",
    "song: 4 minutes with the preset paper in 30 s",
)


def run_loop(device: str, quick: bool) -> Result:
    """Compare our loop with the published one."""
    seconds, steps = (0.2, 1) if quick else (8.0, 20 if device.startswith("cuda") else 5)
    figures = loop.compare(seconds, steps, os.cpu_count() or 1, device)
    return {"table": loop.table(figures), "figures": figures}


def run_startup(device: str, quick: bool) -> Result:
    """Measure the time from the command to the first step of the loop."""
    figures = startup.run(startup.PRESETS[:1] if quick else startup.PRESETS, device)
    return {"table": startup.table(figures), "figures": figures}


def run_precision(device: str, quick: bool) -> Result:
    """Compare float32 with bfloat16, by inferred gates and by steered ones."""
    folder = None if quick else precision.default_folder()
    seconds = 2.0 if quick else 8.0
    where = "the development duets" if folder else "examples/duet"
    tables, figures = [], {}
    for preset in ("default", "steered"):
        options: dict[str, Any] = {"device": device, **({"steps": 2} if quick else {})}
        figures[preset] = precision.compare(folder, preset, seconds, None, options)
        tables.append(f"preset {preset}, {where}, {seconds:g} s\n\n{precision.table(figures[preset])}")
    return {"table": "\n\n".join(tables), "figures": figures}


def run_length(device: str, quick: bool) -> Result:
    """Measure time and memory of recordings of several lengths."""
    minutes, preset = ((0.05, 0.1), "fast") if quick else ((1.0, 5.0, 20.0), "default")
    settings = [f"device={device}"]
    rows = length.run(minutes, preset, settings)
    return {"table": length.table(rows, preset, settings), "figures": rows}


def run_song(device: str, quick: bool) -> Result:
    """Measure the preset `paper`, or what can stand in for it: four minutes on a GPU, seconds on a CPU."""
    minutes = 4.0 if device.startswith("cuda") and not quick else 0.05
    settings, missing = [f"device={device}"], []
    try:
        store.locate("generator", "jukebox")
    except TagBoxError:
        settings.append("generator=embedded")
        missing.append("Jukebox's weights (the small generator that ships stands in: not the goal's figure)")
    try:
        for name in ("fcn", "hcnn", "musicnn"):
            load_tagger(name, "mtat", "cpu")
    except TagBoxError:
        settings.append("taggers=('mtat/pons-musicnn',)")
        missing.append("weights of the preset's taggers (pons-musicnn stands in)")
    if quick:
        settings.append("steps=2")
    rows = length.run([minutes], "paper", settings)
    notes = "".join(f"\n\nMissing here: {one}." for one in missing)
    return {"table": length.table(rows, "paper", settings) + notes, "figures": rows}


BENCHMARKS: dict[str, Callable[[str, bool], Result]] = {
    "loop": run_loop,
    "startup": run_startup,
    "precision": run_precision,
    "length": run_length,
    "song": run_song,
}


def run_in_process(name: str, device: str, quick: bool) -> Result:
    """Run one benchmark in a new process, whose output goes to standard error."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "result.json")
        command = [sys.executable, "-m", "benchmarks", "--one", name, str(path), "--device", device]
        subprocess.run(command + ["--quick"] * quick, check=True, stdout=sys.stderr)
        result: Result = json.loads(path.read_text())
        return result


def write_result(folder: Path, name: str, report: Result) -> None:
    """Write FOLDER/<name>.json and FOLDER/<name>.md."""
    write_json(report, folder / f"{name}.json", force=True)
    with write_atomically(folder / f"{name}.md", force=True) as temporary:
        temporary.write_text(render_markdown(name, report), encoding="utf-8")


def render_markdown(name: str, report: Result) -> str:
    """Render a page with the machine and the table."""
    load = report["load"]
    others = "" if load is None else f"; {load:.1f} processes wanted a core as it began"
    quick = "\n\nA quick run: its figures mean nothing." if report["quick"] else ""
    return f"# {name}\n\n{report['machine']}{others}.{quick}\n\n{report['table']}\n"


def main() -> None:
    """Run the benchmarks that are asked for."""
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
        report: Result = {
            "machine": reports.machine(args.device),
            "load": reports.load(),
            "quick": args.quick,
        }
        report |= run_in_process(name, args.device, args.quick)
        print(render_markdown(name, report), flush=True)
        if args.output:
            write_result(args.output, name if not gpu else f"{name}-cuda", report)
    if not gpu:
        print("Missing here, for want of a GPU (python -m benchmarks --device cuda gets them):")
        print("\n".join(f"- {goal}" for goal in GPU_GOALS))


if __name__ == "__main__":
    main()
