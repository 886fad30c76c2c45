"""How well presets separate the development mixtures: SI-SDR improvement over the mixture, case by case.

    python -m benchmarks.development DATA [--set duets] [--preset default] [--option objective=two-sided]...
        [--vocabulary mtat] [--tracks 4] [--skip 0]

DATA holds folders in Slakh2100's layout (`TrackNNNNN/mix.flac`, `stems/`, `metadata.yaml`). A case is a
source whose class is a word of the vocabulary. A quick look for tuning, not an evaluation.
"""

import argparse
import ast
import time
from pathlib import Path

import torch

import tagbox
from tagbox import audio
from tagbox.errors import TagBoxError
from tagbox.evaluation.metrics import si_sdr
from tagbox.tags.resolve import meaning

CLASSES = {"Pipe": "flute", "Organ": "organ+accordion", "Ensemble": "choir"}
"""Words for General MIDI's families that are not called so by people."""


def sources(track: Path) -> dict[str, list[str]]:
    """Stems by class, read from the lines of metadata.yaml that matter: no need for a YAML library."""
    stems: dict[str, list[str]] = {}
    name = ""
    for line in (track / "metadata.yaml").read_text().splitlines():
        if line.startswith("  S"):
            name = line.strip().rstrip(":")
        elif line.strip().startswith("inst_class:"):
            stems.setdefault(line.partition(":")[2].strip(), []).append(name)
    return stems


def main() -> None:
    """Run all cases and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--set", default="duets")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--option", action="append", default=[], help="a setting, as name=value")
    parser.add_argument("--vocabulary", default="mtat", help="whose words decide what is a case")
    parser.add_argument("--tracks", type=int, default=None)
    parser.add_argument("--skip", type=int, default=0, help="leave out so many tracks at the beginning")
    args = parser.parse_args()
    options = {}
    for option in args.option:
        name, _, value = option.partition("=")
        try:
            options[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            options[name] = value
    print(f"{args.set}, preset {args.preset}, {options}\n")
    print("| case | before, dB | improvement, dB | s |\n|---|---|---|---|")
    gains = []
    for track in sorted((args.data / args.set).glob("Track*"))[args.skip :][: args.tracks]:
        mixture = audio.read(track / "mix.flac")
        for kind, stems in sources(track).items():
            word = CLASSES.get(kind, kind.lower())
            try:
                for one in word.split("+"):
                    meaning(one, args.vocabulary)
            except TagBoxError:
                continue
            truth = torch.stack([audio.read(track / "stems" / f"{s}.flac").samples for s in stems]).sum(dim=0)
            start = time.monotonic()
            result = tagbox.separate(mixture.samples, mixture.rate, [word], preset=args.preset, **options)
            before = si_sdr(mixture.samples, truth)
            gains.append(si_sdr(result.sources[word], truth) - before)
            took = time.monotonic() - start
            print(f"| {track.name} {word} | {before:+.1f} | {gains[-1]:+.1f} | {took:.0f} |", flush=True)
    worse = sum(gain < 0 for gain in gains)
    print(f"\nmean {sum(gains) / len(gains):+.2f} dB over {len(gains)} cases, {worse} below 0 dB")


if __name__ == "__main__":
    main()
