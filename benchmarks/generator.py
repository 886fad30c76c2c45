"""Measure how well a generator reconstructs recordings from its codes, level by level.

    python -m benchmarks.generator FOLDER... [--generator embedded] [--excerpts 48]

Excerpts of 3 s, mono, at 44.1 kHz are taken from fixed positions in the recordings of each folder. SNR (dB) is
the mean over excerpts; spectral convergence is || |X| - |Y| || / || X ||, the mean over excerpts and over the
FFT sizes 2048, 1024 and 512.
"""

import argparse
from pathlib import Path

from tagbox.generators.pretrained import VQVAEGenerator
from tagbox.generators.training import dataset
from tagbox.generators.training.quality import measure_quality
from tagbox.models import load_generator

SECONDS = 3


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--generator", default="embedded")
    parser.add_argument("--excerpts", type=int, default=48)
    args = parser.parse_args()
    generator = load_generator(args.generator)
    if not isinstance(generator, VQVAEGenerator):
        raise SystemExit(f"{args.generator} has no codebooks of the VQ-VAE design")
    print(
        "| recordings | level | hop | SNR, dB | spectral convergence | codebook in use |\n|---|---|---|---|---|---|"
    )
    for folder in args.folders:
        chosen = dataset.spread_excerpts(
            dataset.find_training_files([folder]), args.excerpts, SECONDS * generator.rate, generator.rate
        )
        for level, hop in enumerate(generator.hops):
            quality = measure_quality(generator.model, chosen, level)
            print(
                f"| {folder.name} ({len(chosen)}) | {level} | {hop} | {quality.snr:.2f} | "
                f"{quality.convergence:.3f} | {quality.used:.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
