"""Build the gallery in docs/gallery: make the results that are missing or out of date, then write the page.

Each result is made by the command that the page shows, and is kept together with its settings and hashes of
its weights and its recording: it is made again only after one of these has changed.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.gallery import files, page, runs
from scripts.gallery.examples import EXAMPLES, ROOT, Example, Setup, find_runs


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the gallery; return 0 if the page was written or nothing was to be written."""
    args = _parse(arguments)
    begin = time.monotonic()
    failed = []
    for example, setup in () if args.page else args.runs:
        name = f"{example.name}/{setup.name}"
        current = runs.is_current(example, setup, args.out) and not args.again
        if args.list or current:
            print(f"{name}: {'up to date' if current else 'to be run'}", flush=True)
        elif not _make(example, setup, args.out):
            failed.append(name)
    if args.list:
        return 0
    if failed:
        print(f"the page is unchanged; run again, other results are kept: {', '.join(failed)}")
        return 1
    missing = [
        f"{e.name}/{s.name}" for e in EXAMPLES for s in e.setups if runs.read_result(e, s, args.out) is None
    ]
    if missing:
        print(f"no page yet; still to be run: {', '.join(missing)}")
        return 1
    for example in EXAMPLES:
        runs.write_recording_tracks(example, args.out)
    size = page.write_page(args.out)
    print(f"{args.out / files.PAGE}: {size / 1e6:.1f} MB in all, {time.monotonic() - begin:.0f} s")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.gallery",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "gallery")
    parser.add_argument("--only", metavar="NAME", help="an example (violin), or one run of it (violin/paper)")
    parser.add_argument("--again", action="store_true", help="run what is up to date, too")
    parser.add_argument("--list", action="store_true", help="list what is up to date and what would be run")
    parser.add_argument("--page", action="store_true", help="write the page from kept results; run nothing")
    args = parser.parse_args(arguments)
    try:
        args.runs = find_runs(args.only) if args.only else tuple((e, s) for e in EXAMPLES for s in e.setups)
    except KeyError:
        parser.error(f"no example is called {args.only}; there are {', '.join(e.name for e in EXAMPLES)}")
    return args


def _make(example: Example, setup: Setup, folder: Path) -> bool:
    """Make a result and print how it went; return whether it succeeded."""
    name = f"{example.name}/{setup.name}"
    print(f"{name}: {example.command_line(setup)}", flush=True)
    try:
        kept = runs.make_result(example, setup, folder)
    except subprocess.CalledProcessError as error:
        print(f"{name}: failed with {error.returncode}", flush=True)
        return False
    print(f"{name}: took {kept['seconds']:.0f} s", flush=True)
    return True


if __name__ == "__main__":
    sys.exit(main())
