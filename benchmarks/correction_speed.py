"""How soon a correction is heard: `python -m benchmarks.correction_speed RECORDING`.

The recording's first 30 s, in stereo, are separated as they are and repeated to 4 minutes; then one source is
corrected after the other. The passage around the mark is heard first (`Project.excerpt`), then the whole.
"""

import argparse
import time
from pathlib import Path

from torch import Tensor

import tagbox
from tagbox import audio
from tagbox.corrections import Is, IsNot

EXCERPT_SECONDS = 30.0
LENGTHS_SECONDS = (30.0, 240.0)
TAGS = ("vocals", "drums")
CORRECTIONS = (IsNot("vocals", 3.0, 5.0), Is("drums", 8.0, 10.0))
AROUND_SECONDS = 1.0
"""Heard before and after a mark."""


def measure(mixture: Tensor, rate: int) -> list[tuple[float, float, float]]:
    """Return for each correction the seconds until the separation, the passage and the whole were there."""
    project = tagbox.open(mixture, rate)
    begin = time.perf_counter()
    project.separate(list(TAGS))
    separated = time.perf_counter() - begin
    times = []
    for correction in CORRECTIONS:
        begin = time.perf_counter()
        project.note(correction)
        project.excerpt(correction.start - AROUND_SECONDS, correction.stop + AROUND_SECONDS)
        passage = time.perf_counter() - begin
        _ = project.result
        times.append((separated, passage, time.perf_counter() - begin))
    return times


def main() -> None:
    """Print a row for each length and correction."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recording", type=Path)
    excerpt = audio.read(parser.parse_args().recording, 0, EXCERPT_SECONDS)
    stereo = excerpt.samples[:2].expand(2, -1)
    print("| seconds of music | separated after (s) | passage heard after (s) | whole heard after (s) |")
    print("|---|---|---|---|")
    for seconds in LENGTHS_SECONDS:
        length = round(seconds * excerpt.rate)
        mixture = stereo.repeat(1, -(-length // stereo.shape[1]))[:, :length]
        for row in measure(mixture, excerpt.rate):
            print(f"| {seconds:.0f} | " + " | ".join(f"{value:.2f}" for value in row) + " |")


if __name__ == "__main__":
    main()
