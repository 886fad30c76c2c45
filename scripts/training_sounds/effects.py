"""Cut sounds that are nobody's: atmospheres, noises of machines, scratches, rain and sea.

    python -m scripts.training_sounds.effects BANK SOURCES

From Debian's sonic-pi-samples and the sounds of the repository MTG/sms-tools-materials.
"""

import argparse
from pathlib import Path

import numpy as np

from scripts.training_sounds.bank import FREE, RATE, SAMPLES, Audio, place, store
from scripts.training_sounds.drums import SONIC_PI, files, read

SOUNDS = (
    ("sonic-pi", f"{SONIC_PI}/ambi_[dghls]*.flac"),
    ("sonic-pi", f"{SONIC_PI}/vinyl_*.flac"),
    ("sonic-pi", f"{SONIC_PI}/glitch_*.flac"),
    ("sonic-pi", f"{SONIC_PI}/mehackit_*.flac"),
    ("sonic-pi", f"{SONIC_PI}/perc_*.flac"),
    ("sonic-pi", f"{SONIC_PI}/misc_*.flac"),
    ("sonic-pi", f"{SONIC_PI}/loop_[3dgw]*.flac"),
    ("sms-tools", "*sms-tools-materials/sounds/ocean.wav"),
    ("sms-tools", "*sms-tools-materials/sounds/rain.wav"),
)


def scattered(paths: list[Path], random: np.random.Generator) -> Audio:
    """Play a few sounds at random times and speeds, (samples,)."""
    row = np.zeros(4 * SAMPLES, np.float32)
    for path in random.choice(np.array(paths), size=int(random.integers(1, 4))):
        one = read(Path(path), 10.0, 2 ** random.uniform(-0.8, 0.8))
        times = int(random.integers(1, 6)) if len(one) < 2 * RATE else 1
        for _ in range(times):
            at = int(random.integers(SAMPLES)) if len(one) < SAMPLES else 0
            row[at : at + len(one)] += random.uniform(0.3, 1) * one[: len(row) - at]
    return row[:SAMPLES]


def main() -> None:
    """Cut what is not there yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bank", type=Path)
    parser.add_argument("sources", type=Path)
    parser.add_argument("--phrases", type=int, default=40)
    args = parser.parse_args()
    for maker in sorted({maker for maker, _ in SOUNDS}):
        target = place(args.bank, maker, "effects", f"{FREE}scattered")
        paths = [path for name, pattern in SOUNDS if name == maker for path in files(args.sources, pattern)]
        if paths and not target.exists():
            random = np.random.default_rng(list(maker.encode()))
            store(np.stack([scattered(paths, random) for _ in range(args.phrases)]), target)


if __name__ == "__main__":
    main()
