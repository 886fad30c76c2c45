"""What bfloat16 changes in the end: SI-SDR of the same separations in float32 and in bfloat16.

    python -m benchmarks.precision [FOLDER] [--preset steered] [--seconds 8] [--limit 6] [--option steps=5]...

FOLDER is a data set that `tagbox evaluate` reads; the development duets beside the checkout, where they are,
unless given, else the duet in examples/ with its two stems. Every instrument of every recording is asked for.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.golden import SHARED
from benchmarks.reports import options_of
from tagbox import separate
from tagbox.audio.files import read
from tagbox.evaluation.datasets.registry import find_dataset
from tagbox.evaluation.metrics import si_sdr
from tagbox.kernels import allocator

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet"
DTYPES = ("float32", "bfloat16")
CLOSE = 0.2
"""dB: the goal."""

Piece = tuple[str, int, Tensor, Mapping[str, Tensor]]
"""Name, Hz, mixture (channels, samples), and each source by what it is asked for as."""


def pieces(folder: Path | None, seconds: float, limit: int | None) -> Iterator[Piece]:
    """Recordings with their sources."""
    if folder is None:
        mixture = read(DUET / "mixture.flac", 0, seconds)
        sources = {name: read(DUET / f"{name}.flac", 0, seconds).samples for name in ("violin", "piano")}
        yield "examples/duet", mixture.rate, mixture.samples, sources
        return
    for track in find_dataset(folder, limit=limit).tracks:
        mixture = track.mixture.read(0, seconds)
        sources = {word: signal.read(0, seconds).samples for word, signal in track.sources.items()}
        yield track.name, mixture.rate, mixture.samples, {w: s for w, s in sources.items() if s.any()}


def compare(
    folder: Path | None, preset: str, seconds: float, limit: int | None, options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A row a source: SI-SDR in dB in each precision."""
    rows = []
    for name, rate, mixture, sources in pieces(folder, seconds, limit):
        for word, source in sources.items():
            row: dict[str, Any] = {"recording": name, "source": word}
            for dtype in DTYPES:
                found = separate(mixture, rate, [word], preset=preset, precision=dtype, **options)
                row[dtype] = si_sdr(found.sources[word], source)
            rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["| recording | source | float32, dB | bfloat16, dB | difference, dB |", "|---|---|---|---|---|"]
    for row in rows:
        there, here = (row[dtype] for dtype in DTYPES)
        lines.append(
            f"| {row['recording']} | {row['source']} | {there:.2f} | {here:.2f} | {here - there:+.3f} |"
        )
    means = [sum(row[dtype] for row in rows) / len(rows) for dtype in DTYPES]
    lines.append(f"| mean | | {means[0]:.2f} | {means[1]:.2f} | {means[1] - means[0]:+.3f} |")
    return "\n".join(lines)


def default_folder() -> Path | None:
    """The development duets, where they are."""
    folder = SHARED / "data" / "duets"
    return folder if folder.is_dir() else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", default=default_folder())
    parser.add_argument("--preset", default="steered")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--option", action="append", default=[], help="a setting, as name=value")
    args = parser.parse_args()
    allocator.keep_freed_memory()
    torch.manual_seed(0)
    rows = compare(args.folder, args.preset, args.seconds, args.limit, options_of(args.option))
    print(f"preset {args.preset}, {args.seconds:g} s, {' '.join(args.option) or 'its own settings'}\n")
    print(table(rows))
    worst = max(abs(row[DTYPES[1]] - row[DTYPES[0]]) for row in rows)
    print(f"\nfarthest apart: {worst:.3f} dB; goal: {CLOSE:g} dB")


if __name__ == "__main__":
    main()
