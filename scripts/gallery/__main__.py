"""Make docs/gallery: run what is not there yet, then write the page.

Each result is made by the very command that the page prints, and kept with its settings and the checksums of
its weights and its recording: it is made again only where one of them has changed.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.gallery import page, runs
from scripts.gallery.examples import EXAMPLES, ROOT, find


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the gallery; 0 once the page is whole."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.gallery",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "gallery")
    parser.add_argument("--only", metavar="NAME", help="an example (violin), or one run of it (violin/paper)")
    parser.add_argument("--again", action="store_true", help="run what is there already, too")
    parser.add_argument("--list", action="store_true", help="say what is there and what would run, and stop")
    args = parser.parse_args(arguments)
    try:
        wanted = find(args.only) if args.only else tuple((e, s) for e in EXAMPLES for s in e.setups)
    except KeyError:
        parser.error(f"no example is called {args.only}; there are {', '.join(e.name for e in EXAMPLES)}")
    begin = time.monotonic()
    failed = []
    for example, setup in wanted:
        name = f"{example.name}/{setup.name}"
        done = runs.is_done(example, setup, args.out) and not args.again
        if args.list or done:
            print(f"{name}: {'is there' if done else 'to be run'}", flush=True)
            continue
        print(f"{name}: {example.shell(setup)}", flush=True)
        try:
            kept = runs.make(example, setup, args.out)
        except subprocess.CalledProcessError as error:
            failed.append(name)
            print(f"{name}: failed with {error.returncode}", flush=True)
            continue
        print(f"{name}: took {kept['seconds']:.0f} s", flush=True)
    if args.list:
        return 0
    if failed:
        print(f"the page is as it was; run again (what is made is kept): {', '.join(failed)}")
        return 1
    missing = [f"{e.name}/{s.name}" for e in EXAMPLES for s in e.setups if runs.read(e, s, args.out) is None]
    if missing:
        print(f"no page yet; still to be run: {', '.join(missing)}")
        return 1
    for example in EXAMPLES:
        runs.make_own(example, args.out)
    size = page.write(args.out)
    print(f"{args.out / 'index.html'}: {size / 1e6:.1f} MB in all, {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
