"""Simulated users mark where they hear the worst mistake: how many dB do they gain?

    python -m benchmarks.corrections FOLDER... [--limit N] [-o FILE]

Each FOLDER is a data set that `tagbox evaluate` reads. Each source of each track is separated by itself. A
simulated user, who knows the stems, marks the 2 s in which the estimate has most of others (`IsNot`) or
lacks most of the source (`Is`), whichever is more, hears the result, and marks again, up to four times.
Measured is the SI-SDR of the whole recording after 1, 2 and 4 marks, less that before. Every second case is
reported apart, for the constants of `tagbox.methods.lessons` were chosen on the others.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tagbox import presets
from tagbox.audio.resampling import pad_or_trim
from tagbox.corrections import Is, IsNot
from tagbox.errors import TagBoxError
from tagbox.evaluation.datasets.registry import find_dataset
from tagbox.evaluation.metrics import si_sdr
from tagbox.projects import Project, open_project

SPAN_SECONDS = 2.0
HOP_SECONDS = 0.5
MARKS = 4
REPORTED = (1, 2, 4)


def worst_mistake(
    estimate: Tensor, reference: Tensor, rate: int, made: Sequence[Is | IsNot]
) -> tuple[float, bool]:
    """Find the span in which a mistake has the most energy: where it starts (s), and whether it `is` missing.

    In each half second the estimate's part of the source is its projection on the reference, and what is left
    is of others. A span is not marked twice for the same reason.
    """
    hop, length = round(HOP_SECONDS * rate), round(SPAN_SECONDS * rate)
    whole = estimate.shape[-1] // hop * hop
    blocks = [
        x[..., :whole].reshape(len(x), -1, hop).transpose(0, 1).flatten(1) for x in (estimate, reference)
    ]
    own, true = blocks
    gain = ((own * true).sum(1) / true.square().sum(1).clamp(min=1e-9)).clamp(0, 1)
    others = (own - gain[:, None] * true).square().sum(1)
    missing = ((1 - gain)[:, None] * true).square().sum(1)
    count = max(1, length // hop)
    best = (-1.0, 0.0, False)
    for energies, is_source in ((others, False), (missing, True)):
        sums = energies.unfold(0, min(count, len(energies)), 1).sum(1)
        for index in sums.argsort(descending=True).tolist():
            start = index * hop / rate
            kind = Is if is_source else IsNot
            if any(type(each) is kind and abs(each.start - start) < SPAN_SECONDS / 2 for each in made):
                continue
            best = max(best, (float(sums[index]), start, is_source))
            break
    return best[1], best[2]


def gains(project: Project, query: str, reference: Tensor) -> list[float]:
    """Return the SI-SDR before any mark, and after each."""
    result = project.separate([query])
    measured = [si_sdr(result.sources[query], reference)]
    made: list[Is | IsNot] = []
    for _ in range(MARKS):
        start, is_source = worst_mistake(result.sources[query], reference, project.rate, made)
        kind = Is if is_source else IsNot
        made.append(kind(query, start, min(start + SPAN_SECONDS, project.seconds)))
        result = project.correct(made[-1])
        measured.append(si_sdr(result.sources[query], reference))
    return measured


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Average the gains of cases."""
    values = torch.tensor([row["si_sdr"] for row in rows])
    after = values - values[:, :1]
    return {
        "cases": len(rows),
        "before": round(float(values[:, 0].mean()), 2),
        **{f"gain of {marks}": round(float(after[:, marks].mean()), 2) for marks in REPORTED},
        "worse after 2": round(float((after[:, 2] < -0.1).float().mean()), 2),
    }


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--limit", type=int, help="tracks of each set")
    parser.add_argument("-o", "--out", type=Path, default=Path("benchmarks/results/corrections.json"))
    given = parser.parse_args()
    presets.find(given.preset)
    rows: list[dict[str, Any]] = []
    for folder in given.folders:
        dataset = find_dataset(folder, limit=given.limit)
        for track in dataset.tracks:
            mixture = track.mixture.read().samples
            project = open_project(mixture, track.rate, preset=given.preset)
            for query, signal in track.sources.items():
                reference = pad_or_trim(signal.read().samples, mixture.shape[-1])
                begin = time.process_time()
                try:
                    measured = gains(project, query, reference)
                except TagBoxError as error:
                    print(f"{track.name} {query}: {error}", flush=True)
                    continue
                row = {
                    "set": dataset.name,
                    "track": track.name,
                    "source": query,
                    "si_sdr": [round(value, 3) for value in measured],
                }
                rows.append(row)
                print(json.dumps({**row, "cpu_s": round(time.process_time() - begin, 1)}), flush=True)
    sets = dict.fromkeys(row["set"] for row in rows)
    named = {name: [row for row in rows if row["set"] == name] for name in sets}
    named |= {name: rows[first::2] for first, name in enumerate(("chosen on", "not chosen on"))}
    report = {
        "preset": given.preset,
        "summary": {str(name): summary(own) for name, own in {**named, "all": rows}.items() if own},
        "cases": rows,
    }
    given.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report["summary"], indent=1))


if __name__ == "__main__":
    main()
