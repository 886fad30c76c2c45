#!/usr/bin/env python3
"""Draw how a training of the share network went, from its logs.

    python -m scripts.plot_share_training RUN.jsonl JUDGED.jsonl OUT.svg [--way "network, prior"]

RUN.jsonl is what train_share_network.py wrote, JUDGED.jsonl what judge_share_network.py --log added to.
Needs the extra `plot`.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

Line = dict[str, Any]


def lines(path: Path) -> list[Line]:
    """Read a file of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def curves(judged: list[Line], way: str) -> dict[str, tuple[list[int], list[float]]]:
    """Collect (steps, mean improvements) of each set; of a step that was judged twice, the last."""
    found: dict[str, dict[int, float]] = {}
    for line in judged:
        if line["way"] == way and "step" in line:
            found.setdefault(line["data"], {})[line["step"]] = line["mean"]
    return {data: (sorted(of), [of[step] for step in sorted(of)]) for data, of in found.items()}


def main() -> None:
    """Draw the loss above, what was judged below."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("judged", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--way", default="network, prior")
    args = parser.parse_args()
    # Text stays text, and the same logs give the same file.
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tagbox"})
    log = lines(args.run)
    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 6), sharex=True)
    above.plot([line["step"] for line in log], [line["loss"] for line in log], color="black")
    above.set_ylabel("KL divergence, nats")
    for data, (steps, means) in curves(lines(args.judged), args.way).items():
        below.plot(steps, means, marker="o", markersize=3, label=data)
    below.set_ylabel(f"SI-SDR improvement, dB\n({args.way})")
    below.set_xlabel("steps")
    below.axhline(0, color="grey", linewidth=0.5)
    below.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    figure.savefig(args.out, metadata={"Date": None} if args.out.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
