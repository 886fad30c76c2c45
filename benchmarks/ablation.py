"""What each part of the default gives: SI-SDR improvement over the mixture, with and without it, one table.

    python -m benchmarks.ablation DATASET... [--weights FILE] [--untouched N] [--limit N] [--markdown FILE]

DATASET is a folder that `tagbox evaluate` reads. Each recording is taken apart and heard once, and all rows
are made of that. Beside the parts of the default stand two that know the truth and so cannot be had: hearing
that knows which classes play, and the best gates for the same components (least squares, stems in hand).
`--untouched N` reports the last N recordings by themselves: nothing was chosen on them.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from tagbox import models
from tagbox.audio.resampling import resample
from tagbox.audio.stft import istft, stft
from tagbox.errors import TagBoxError
from tagbox.evaluation.bootstrap import bootstrap_interval
from tagbox.evaluation.datasets.registry import find_dataset
from tagbox.evaluation.datasets.track import Track
from tagbox.evaluation.metrics import si_sdr
from tagbox.methods.components import components_per_factorisation
from tagbox.methods.gate_inference import GatePrior, component_shares, gates_within_segment
from tagbox.methods.nmf import component_masks, factorise
from tagbox.taggers.networks.listener import folded
from tagbox.taggers.tagger import Tagger
from tagbox.tags.resolve import meaning
from tagbox.tags.vocabularies import EXCLUSIVE, members

RATE = 44_100
FFT = 2048
ITERATIONS = 100
FACTORISATIONS = 12
DATA = "rendered"


@dataclass(frozen=True)
class Row:
    """One way to make gates.

    Attributes:
        use: which factorisations, of those that were made.
        reading: how what is heard becomes gates.
        known: hearing is told which classes play.
        best: gates by least squares against the true source.
    """

    use: tuple[int, ...] = tuple(range(8))
    reading: GatePrior = field(default_factory=GatePrior)
    known: bool = False
    best: bool = False


ROWS: Mapping[str, Row] = {
    "default": Row(),
    "one factorisation of 16": Row(use=(0,)),
    "one of 32": Row(use=(1,)),
    "two, 16 and 32 (fast)": Row(use=(0, 1)),
    "four": Row(use=tuple(range(4))),
    "twelve (best)": Row(use=tuple(range(12))),
    "without caution": Row(reading=GatePrior(temperature_exponent=1.0)),
    "without company": Row(reading=GatePrior(class_prior_exponent=0.0)),
    "without the asker's word": Row(reading=GatePrior(presence_exponent=0.0)),
    "without all three": Row(
        reading=GatePrior(temperature_exponent=1.0, class_prior_exponent=0.0, presence_exponent=0.0)
    ),
    "told which classes play (a cheat)": Row(known=True),
    "best gates, stems in hand (a cheat)": Row(best=True),
}


@dataclass(frozen=True, eq=False)
class Heard:
    """One factorisation of a recording: components (components, samples), and what is heard in each."""

    parts: Tensor
    shares: Tensor
    energy: Tensor


def listen_to(mixture: Tensor, tagger: Tagger, count: int) -> list[Heard]:
    """Take `mixture` (samples,) apart as the default does, `count` times, and hear every component."""
    spectrum = stft(mixture, FFT)
    every = 16 * (count + count // 2)
    made = []
    for seed, size in enumerate(components_per_factorisation(every, count)):
        masked = component_masks(*factorise(spectrum.abs(), size, ITERATIONS, seed)) * spectrum
        parts = istft(masked, FFT, mixture.shape[-1])
        made.append(Heard(parts, *component_shares(resample(parts, RATE, tagger.rate), tagger, "repeat")))
    return made


def estimate(row: Row, heard: Sequence[Heard], wanted: Tensor, playing: Tensor, truth: Tensor) -> Tensor:
    """The source (samples,) for classes `wanted` (classes,); `playing` and `truth` are for the two cheats."""
    chosen = [heard[i] for i in row.use]
    if row.best:
        return torch.stack([_projection(one.parts, truth) for one in chosen]).mean(dim=0)
    answers = torch.cat([one.shares for one in chosen])
    energy = torch.cat([one.energy for one in chosen]) / len(chosen)
    if row.known:
        answers = answers * playing
        answers = answers / answers.sum(dim=1, keepdim=True).clamp(min=1e-9)
    gates = gates_within_segment(answers, energy, wanted[None], row.reading)[0]
    own = gates.split([len(one.parts) for one in chosen])
    return torch.stack([gate @ one.parts for gate, one in zip(own, chosen, strict=True)]).mean(dim=0)


def _projection(parts: Tensor, truth: Tensor) -> Tensor:
    products = parts @ parts.T
    ridge = 1e-3 * products.diagonal().mean() * torch.eye(len(parts))
    return torch.linalg.solve(products + ridge, parts @ truth).clamp(0, 1) @ parts


def classes_of(word: str) -> Tensor:
    """The classes that `word` means, multi-hot (classes,).

    Raises:
        TagBoxError: none.
    """
    tags = [tag for part in word.split("+") for tag in meaning(part, DATA)]
    meant = {one for tag in tags for one in members(tag, DATA)}
    return torch.tensor([float(one in meant) for one in EXCLUSIVE[DATA]])


def gains_of(track: Track, tagger: Tagger) -> dict[str, dict[str, float]]:
    """By row and word, how much better than the mixture, dB."""
    mixture = track.mixture.read()
    mono = resample(mixture.samples.mean(dim=0), mixture.rate, RATE)
    heard = listen_to(mono, tagger, FACTORISATIONS)
    wanted = {}
    for word in track.sources:
        try:
            wanted[word] = classes_of(word)
        except TagBoxError:
            continue
    playing = torch.stack(list(wanted.values())).amax(dim=0)
    found: dict[str, dict[str, float]] = {name: {} for name in ROWS}
    for word, classes in wanted.items():
        source = track.sources[word].read()
        truth = resample(source.samples.mean(dim=0), source.rate, RATE)
        before = si_sdr(mono, truth)
        for name, row in ROWS.items():
            found[name][word] = si_sdr(estimate(row, heard, classes, playing, truth), truth) - before
    return found


def with_weights(tagger: Tagger, path: Path) -> Tagger:
    """`tagger` with the weights that training wrote to `path`."""
    tagger.network.load_state_dict({key: value.float() for key, value in folded(load_file(path)).items()})
    return replace(tagger)


def table(title: str, results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Markdown, from improvements by track, row and word."""
    lines = [f"**{title}**", "", "| | mean, dB | 95 % interval | below 0 dB |", "|---|---|---|---|"]
    for name in ROWS:
        gains = [(gain, track) for track, rows in results.items() for gain in rows[name].values()]
        values = [gain for gain, _ in gains]
        over = bootstrap_interval(values, [track for _, track in gains])
        worse = sum(value < 0 for value in values)
        lines.append(
            f"| {name} | {over.mean:+.2f} | {over.low:+.2f} to {over.high:+.2f} | {worse} of {len(values)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run all data sets and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path, default=None, help="of another training of the listener")
    parser.add_argument("--untouched", type=int, default=0)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--markdown", type=Path, default=None, help="also write the tables there")
    args = parser.parse_args()
    tagger = models.load_tagger("listener", DATA)
    if args.weights is not None:
        tagger = with_weights(tagger, args.weights)
    tables = []
    with torch.inference_mode():
        for root in args.datasets:
            results = {}
            tracks = find_dataset(root, limit=args.limit).tracks
            for track in tracks:
                results[track.name] = gains_of(track, tagger)
                best = ", ".join(
                    f"{word} {gain:+.1f}" for word, gain in results[track.name]["default"].items()
                )
                print(f"{root.name} {track.name}: {best}", flush=True)
            names = [track.name for track in tracks]
            cut = len(names) - args.untouched
            for title, part in (("development", names[:cut]), ("untouched", names[cut:])):
                if part:
                    tables.append(
                        table(f"{root.name}, {title} ({len(part)} tracks)", {n: results[n] for n in part})
                    )
    text = "\n\n".join(tables)
    print(f"\n{text}")
    if args.markdown is not None:
        args.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
