"""Compare bfloat16 with float32: SI-SDR of the same separations in both.

    python -m benchmarks.precision [FOLDER] [--preset steered] [--seconds 8] [--limit 6] [--option steps=5]...

FOLDER is a data set that `tagbox evaluate` reads. Unless given, it is the development duets beside the
checkout, or where there are none, the duet in examples/. Every source of every recording is separated.
"""

import argparse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.golden import SHARED
from benchmarks.reports import parse_settings
from tagbox import separate
from tagbox.audio.files import read
from tagbox.evaluation.datasets.registry import find_dataset
from tagbox.evaluation.metrics import si_sdr
from tagbox.kernels import allocator

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet"
DTYPES = ("float32", "bfloat16")
MAX_DIFFERENCE_DB = 0.2
"""The goal: how far bfloat16 may be from float32."""

Recording = tuple[str, int, Tensor, Mapping[str, Tensor]]
"""Name, sample rate (Hz), mixture (channels, samples), and each source by its query."""


def read_recordings(folder: Path | None, seconds: float, limit: int | None) -> Iterator[Recording]:
    """Read the recordings of the data set in `folder`, or the example."""
    if folder is None:
        mixture = read(DUET / "mixture.flac", 0, seconds)
        sources = {name: read(DUET / f"{name}.flac", 0, seconds).samples for name in ("violin", "piano")}
        yield "examples/duet", mixture.rate, mixture.samples, sources
        return
    for track in find_dataset(folder, limit=limit).tracks:
        mixture = track.mixture.read(0, seconds)
        sources = {query: signal.read(0, seconds).samples for query, signal in track.sources.items()}
        yield track.name, mixture.rate, mixture.samples, {q: s for q, s in sources.items() if s.any()}


def compare(
    folder: Path | None, preset: str, seconds: float, limit: int | None, options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Separate each source in each precision, and return a row with the SI-SDR (dB) of each."""
    rows = []
    for name, rate, mixture, sources in read_recordings(folder, seconds, limit):
        for query, source in sources.items():
            row: dict[str, Any] = {"recording": name, "source": query}
            for dtype in DTYPES:
                separation = separate(mixture, rate, [query], preset=preset, precision=dtype, **options)
                row[dtype] = si_sdr(separation.sources[query], source)
            rows.append(row)
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Return a Markdown table."""
    lines = ["| recording | source | float32, dB | bfloat16, dB | difference, dB |", "|---|---|---|---|---|"]
    for row in rows:
        exact, rounded = (row[dtype] for dtype in DTYPES)
        lines.append(
            f"| {row['recording']} | {row['source']} | {exact:.2f} | {rounded:.2f} | {rounded - exact:+.3f} |"
        )
    means = [sum(row[dtype] for row in rows) / len(rows) for dtype in DTYPES]
    lines.append(f"| mean | | {means[0]:.2f} | {means[1]:.2f} | {means[1] - means[0]:+.3f} |")
    return "\n".join(lines)


def default_folder() -> Path | None:
    """Return the folder of the development duets, or None."""
    folder = SHARED / "data" / "duets"
    return folder if folder.is_dir() else None


def main() -> None:
    """Measure and print a table."""
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
    rows = compare(args.folder, args.preset, args.seconds, args.limit, parse_settings(args.option))
    print(f"preset {args.preset}, {args.seconds:g} s, {' '.join(args.option) or 'its own settings'}\n")
    print(table(rows))
    worst = max(abs(row[DTYPES[1]] - row[DTYPES[0]]) for row in rows)
    print(f"\nfarthest apart: {worst:.3f} dB; goal: {MAX_DIFFERENCE_DB:g} dB")


if __name__ == "__main__":
    main()
