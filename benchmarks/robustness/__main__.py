"""Try damaged inputs, kills, failing calls and full disks; print a table, and write it as JSON.

    python -m benchmarks.robustness [--only damage ffmpeg kills calls disks] [--count 10000] [--kills 200]

The same seed gives the same damaged inputs. Kills fall at moments that depend on the machine. Small disks are
mounted, which takes the rights of root; without them that part is left out, and the table says so.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import reports
from tagbox.atomic_files import write_json

PARTS = ("damage", "ffmpeg", "kills", "calls", "disks")
RESULT = Path(__file__).resolve().parents[1] / "results" / "robustness.json"


Report = Callable[[Mapping[str, Any]], None]


def run_part(name: str, args: argparse.Namespace, report: Report) -> dict[str, Any]:
    """Run one of the parts; return its counts by format, command or writer, and report them as they grow."""

    def report_counts(counts: Mapping[str, Any]) -> None:
        report({key: asdict(each) for key, each in counts.items()})

    if name == "damage":
        from benchmarks.robustness import damaged_inputs

        counts = damaged_inputs.run(args.count, args.seed, args.format, args.jobs, args.input, report_counts)
        return {key: asdict(each) for key, each in counts.items()}
    if name == "ffmpeg":
        from benchmarks.robustness import against_ffmpeg

        compared = against_ffmpeg.run(args.compared, args.seed, args.format, args.input, report_counts)
        if isinstance(compared, str):
            return {"skipped": compared}
        return {key: asdict(each) for key, each in compared.items()}
    if name == "kills":
        from benchmarks.robustness import kills

        seconds = args.seconds or float("inf")
        killed = kills.run(args.kills, args.seed, seconds, report_counts, args.command)
        return {key: asdict(each) for key, each in killed.items()}
    if name == "calls":
        from benchmarks.robustness import failing_calls

        return failing_calls.run(args.command, args.step, report)
    from benchmarks.robustness import full_disk

    disks = full_disk.run(args.step)
    if isinstance(disks, str):
        return {"skipped": disks}
    wrong = full_disk.full_standard_output()
    output = {"tried": 1, "refused": int(wrong is None), "faults": [] if wrong is None else [wrong]}
    return {**{key: asdict(each) for key, each in disks.items()}, "standard output": output}


def table(name: str, counts: Mapping[str, Any]) -> str:
    """Return a Markdown table of a part's counts."""
    if "skipped" in counts:
        return f"{name}: left out, {counts['skipped']}"
    columns = [key for key in next(iter(counts.values())) if key != "faults"]
    rows = [
        f"| {key} | {' | '.join(str(each[column]) for column in columns)} | {len(each['faults'])} |"
        for key, each in counts.items()
    ]
    total = [sum(each[column] for each in counts.values()) for column in columns]
    faults = sum(len(each["faults"]) for each in counts.values())
    head = [f"| {name} | {' | '.join(column.replace('_', ' ') for column in columns)} | faults |"]
    rule = ["|---|" + "---|" * (len(columns) + 1)]
    return "\n".join([*head, *rule, *rows, f"| all | {' | '.join(map(str, total))} | {faults} |"])


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.robustness",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="parts of it")
    parser.add_argument("--count", type=int, default=10_000, help="damaged inputs")
    parser.add_argument("--compared", type=int, default=40, help="files of each format, with ffmpeg")
    parser.add_argument("--kills", type=int, default=200, help="kills")
    parser.add_argument("--seconds", type=float, help="after which no further command is killed")
    parser.add_argument(
        "--step", type=int, default=1, help="of pages by which disks differ in size, and of calls"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the damage and of the moments")
    parser.add_argument("--command", help="only commands whose names hold this, of kills and failing calls")
    parser.add_argument("--format", help="only damaged inputs of formats whose names hold this")
    parser.add_argument("--input", type=int, help="only the damaged input of this number, of each format")
    parser.add_argument("--jobs", type=int, default=1, help="child processes that read damaged inputs")
    parser.add_argument("-o", "--output", type=Path, default=RESULT, help="file for the figures")
    args = parser.parse_args()
    figures: dict[str, Any] = {"machine": reports.machine("cpu"), "seed": args.seed}
    if args.output.is_file() and len(args.only) < len(PARTS):
        # Parts that are not run keep their figures.
        figures = json.loads(args.output.read_text(encoding="utf-8")) | figures
    tried: dict[str, dict[str, Any]] = {}
    for name in args.only:

        def report(counts: Mapping[str, Any], name: str = name) -> None:
            # Formats and commands that are not tried keep their figures.
            kept = figures.get(name, {}) if args.format or args.command else {}
            figures[name] = {**kept, **counts}
            write_json(figures, args.output, force=True)

        tried[name] = run_part(name, args, report)
        report(tried[name])
        print(table(name, tried[name]), "\n", flush=True)
    faults = [
        f"{key}: {fault}"
        for name in args.only
        if "skipped" not in tried[name]
        for key, each in tried[name].items()
        for fault in each["faults"]
    ]
    print("\n".join(faults), file=sys.stderr)


if __name__ == "__main__":
    main()
