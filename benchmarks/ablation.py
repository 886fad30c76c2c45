"""Measure what each part of the preset `components` contributes: SI-SDR improvement with and without it.

    python -m benchmarks.ablation DATASET... [--weights FILE] [--untouched N] [--limit N] [--markdown FILE]

DATASET is a folder that `tagbox evaluate` reads. Each recording is decomposed, and its components are tagged,
once for all rows of the table. Two rows use the true sources, so no method can have them: gates that know
which classes play, and the gates that are best for the same components, by least squares.
`--untouched N` reports the last N recordings separately: no setting was chosen on them.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from tagbox.audio.resampling import resample
from tagbox.audio.stft import istft, stft
from tagbox.errors import TagBoxError
from tagbox.evaluation.bootstrap import bootstrap_interval
from tagbox.evaluation.datasets.registry import find_dataset
from tagbox.evaluation.datasets.track import Track
from tagbox.evaluation.metrics import si_sdr
from tagbox.methods.components import NMF_ITERATIONS, components_per_factorisation
from tagbox.methods.gate_inference import GatePrior, component_shares, gates_within_segment
from tagbox.methods.nmf import component_masks, factorise
from tagbox.models import load_tagger
from tagbox.taggers.networks.listener import fold_batch_norms
from tagbox.taggers.tagger import Tagger
from tagbox.tags.query import target_tags
from tagbox.tags.vocabularies import EXCLUSIVE, members

RATE = 44_100
N_FFT = 2048
FACTORISATIONS = 12
DEFAULT_FACTORISATIONS = 8
VOCABULARY = "rendered"
RIDGE = 1e-3
"""Regularisation of the least squares, over the mean energy of the components."""


@dataclass(frozen=True)
class Row:
    """One way to infer gates.

    Attributes:
        factorisations: positions of those that are used.
        prior: weights the tagger's predictions.
        known_classes: whether the classes that play are known.
        best_gates: whether gates are computed by least squares from the true source.
    """

    factorisations: tuple[int, ...] = tuple(range(DEFAULT_FACTORISATIONS))
    prior: GatePrior = field(default_factory=GatePrior)
    known_classes: bool = False
    best_gates: bool = False


ROWS: Mapping[str, Row] = {
    "components": Row(),
    "one factorisation of 16": Row(factorisations=(0,)),
    "one of 32": Row(factorisations=(1,)),
    "two, 16 and 32 (as in default)": Row(factorisations=(0, 1)),
    "four": Row(factorisations=tuple(range(4))),
    "twelve": Row(factorisations=tuple(range(12))),
    "without temperature": Row(prior=GatePrior(temperature_exponent=1.0)),
    "without class prior": Row(prior=GatePrior(class_prior_exponent=0.0)),
    "without presence prior": Row(prior=GatePrior(presence_exponent=0.0)),
    "without all three": Row(
        prior=GatePrior(temperature_exponent=1.0, class_prior_exponent=0.0, presence_exponent=0.0)
    ),
    "true classes given": Row(known_classes=True),
    "best gates, from the stems": Row(best_gates=True),
}


@dataclass(frozen=True, eq=False)
class TaggedFactorisation:
    """One factorisation of a recording, and what the tagger predicts for its components.

    Attributes:
        audio: of the components, (components, samples).
        shares: the share of each class in each component, (components, classes).
        energies: of the components, (components,).
    """

    audio: Tensor
    shares: Tensor
    energies: Tensor


def tag_factorisations(mixture: Tensor, tagger: Tagger, count: int) -> list[TaggedFactorisation]:
    """Decompose `mixture` (samples,) as `components` does, `count` times, and tag every component."""
    spectrum = stft(mixture, N_FFT)
    total = 16 * (count + count // 2)
    tagged = []
    for seed, size in enumerate(components_per_factorisation(total, count)):
        masks = component_masks(*factorise(spectrum.abs(), size, NMF_ITERATIONS, seed))
        audio = istft(masks * spectrum, N_FFT, mixture.shape[-1])
        shares, energies = component_shares(resample(audio, RATE, tagger.rate), tagger, "repeat")
        tagged.append(TaggedFactorisation(audio, shares, energies))
    return tagged


def estimate_source(
    row: Row,
    tagged: Sequence[TaggedFactorisation],
    target_classes: Tensor,
    playing_classes: Tensor,
    source: Tensor,
) -> Tensor:
    """Estimate a source, (samples,).

    Args:
        row: how.
        tagged: all factorisations.
        target_classes: the classes of the source, multi-hot (classes,).
        playing_classes: of all sources, multi-hot (classes,); for rows that know them.
        source: the true source (samples,), for rows that know it.
    """
    used = [tagged[i] for i in row.factorisations]
    if row.best_gates:
        return torch.stack([_project(each.audio, source) for each in used]).mean(dim=0)
    shares = torch.cat([each.shares for each in used])
    energies = torch.cat([each.energies for each in used]) / len(used)
    if row.known_classes:
        shares = shares * playing_classes
        shares = shares / shares.sum(dim=1, keepdim=True).clamp(min=1e-9)
    gates = gates_within_segment(shares, energies, target_classes[None], row.prior)[0]
    own_gates = gates.split([len(each.audio) for each in used])
    estimates = [gate @ each.audio for gate, each in zip(own_gates, used, strict=True)]
    return torch.stack(estimates).mean(dim=0)


def _project(components: Tensor, source: Tensor) -> Tensor:
    """Mix `components` (components, samples) by the gates that approximate `source` (samples,) best."""
    products = components @ components.T
    ridge = RIDGE * products.diagonal().mean() * torch.eye(len(components))
    return torch.linalg.solve(products + ridge, components @ source).clamp(0, 1) @ components


def target_classes_of(query: str) -> Tensor:
    """Return the classes that `query` means, multi-hot (classes,).

    Raises:
        TagBoxError: it means none.
    """
    classes = {each for tag in target_tags(query, VOCABULARY) for each in members(tag, VOCABULARY)}
    return torch.tensor([float(each in classes) for each in EXCLUSIVE[VOCABULARY]])


def measure_track(track: Track, tagger: Tagger) -> dict[str, dict[str, float]]:
    """Measure the SI-SDR improvement over the mixture (dB), by row and query."""
    mixture = track.mixture.read()
    mono = resample(mixture.samples.mean(dim=0), mixture.rate, RATE)
    tagged = tag_factorisations(mono, tagger, FACTORISATIONS)
    classes_by_query = {}
    for query in track.sources:
        try:
            classes_by_query[query] = target_classes_of(query)
        except TagBoxError:
            continue
    playing = torch.stack(list(classes_by_query.values())).amax(dim=0)
    improvements: dict[str, dict[str, float]] = {name: {} for name in ROWS}
    for query, classes in classes_by_query.items():
        audio = track.sources[query].read()
        source = resample(audio.samples.mean(dim=0), audio.rate, RATE)
        before = si_sdr(mono, source)
        for name, row in ROWS.items():
            estimate = estimate_source(row, tagged, classes, playing, source)
            improvements[name][query] = si_sdr(estimate, source) - before
    return improvements


def replace_weights(tagger: Tagger, path: Path) -> Tagger:
    """Return `tagger` with the weights that a training wrote to `path`."""
    tagger.network.load_state_dict(
        {key: value.float() for key, value in fold_batch_norms(load_file(path)).items()}
    )
    return replace(tagger)


def table(title: str, results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return a Markdown table of improvements by track, row and query."""
    lines = [f"**{title}**", "", "| | mean, dB | 95 % interval | below 0 dB |", "|---|---|---|---|"]
    for name in ROWS:
        gains = [(gain, track) for track, rows in results.items() for gain in rows[name].values()]
        values = [gain for gain, _ in gains]
        mean = bootstrap_interval(values, [track for _, track in gains])
        worse = sum(value < 0 for value in values)
        lines.append(
            f"| {name} | {mean.mean:+.2f} | {mean.low:+.2f} to {mean.high:+.2f} | {worse} of {len(values)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure all data sets and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", type=Path, nargs="+")
    parser.add_argument("--weights", type=Path, default=None, help="of another training of the listener")
    parser.add_argument("--untouched", type=int, default=0)
    parser.add_argument("--limit", type=int, default=None)
    parser.add_argument("--markdown", type=Path, default=None, help="also write the tables there")
    args = parser.parse_args()
    tagger = load_tagger("listener", VOCABULARY)
    if args.weights is not None:
        tagger = replace_weights(tagger, args.weights)
    tables = []
    with torch.inference_mode():
        for root in args.datasets:
            results = {}
            tracks = find_dataset(root, limit=args.limit).tracks
            for track in tracks:
                results[track.name] = measure_track(track, tagger)
                shown = ", ".join(
                    f"{query} {gain:+.1f}" for query, gain in results[track.name]["components"].items()
                )
                print(f"{root.name} {track.name}: {shown}", flush=True)
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
