"""Measure every tagger and generator that is on this machine, on recordings with known sources.

    python -m benchmarks.ears DATASET... [--model NAME]... [--limit 4] [--seconds 6] [--steps 20]

DATASET is a folder that `tagbox evaluate` reads, such as the development data; NAME may be an address on the
hub, too. Models whose weights are not here are listed at the end, with the commands that get them.

A tagger hears each source alone: "named" is the part of the sources whose own word it gives the highest logit
of all words of the recording, by chance one over their number. It then steers the preset `steered`, and
the generators the preset `paper` with the tagger `mtat/pons-musicnn`: SI-SDR improvement, the mean over
sources. For generators, SNR says how well the mixtures survive encoding and decoding, with and without their
codes.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import tagbox
from tagbox.audio.downmix import downmix, with_channels
from tagbox.audio.resampling import resample
from tagbox.errors import TagBoxError
from tagbox.evaluation.datasets.registry import find_dataset
from tagbox.evaluation.datasets.track import Track
from tagbox.evaluation.excerpts import choose_excerpt
from tagbox.evaluation.metrics import score_estimate, sdr
from tagbox.generators.base import Generator
from tagbox.kernels.devices import select_device
from tagbox.methods.latents import encode_padded
from tagbox.models import load_generator, load_tagger
from tagbox.plugins.descriptions import Model
from tagbox.tags.query import target_tags
from tagbox.tags.vocabularies import is_open
from tagbox.weights import catalogue, store

JUDGING_TAGGER = "mtat/pons-musicnn"


@dataclass(frozen=True)
class Excerpt:
    """A part of a track.

    Attributes:
        rate: sample rate, Hz.
        mixture: (channels, samples).
        sources: by the word that asks for each, of the mixture's shape.
    """

    rate: int
    mixture: Tensor
    sources: dict[str, Tensor]


@dataclass(frozen=True)
class Steering:
    """How long something is steered, and where."""

    steps: int
    device: str


Measure = Callable[[Model, Sequence[Excerpt], Steering], Sequence[str]]
"""Measures a model on excerpts: the cells of its row."""


def main() -> None:
    """Measure and print tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="+", type=Path)
    parser.add_argument("--model", action="append", default=[], help="only these; all unless given")
    parser.add_argument("--limit", type=int, default=4, help="tracks of each data set")
    parser.add_argument("--seconds", type=float, default=6.0, help="of each track")
    parser.add_argument("--steps", type=int, default=20, help="0 leaves out what is steered")
    parser.add_argument("--device", default="auto")
    args = parser.parse_args()
    excerpts = [
        _read(track, args.seconds)
        for folder in args.datasets
        for track in find_dataset(folder).tracks[: args.limit]
    ]
    models = [store.describe_identifier(name) for name in args.model] or list(catalogue.models())
    here = [model for model in models if store.is_here(model)]
    how = Steering(args.steps, select_device(args.device).type)
    print("| tagger | sources that it has words for | named | steered, SI-SDRi |\n|---|---|---|---|")
    for model in here:
        if model.kind == "tagger":
            print(f"| `{model.identifier}` | {_measured(measure_tagger, model, excerpts, how)} |", flush=True)
    print("\n| generator | SNR, dB | of its codes, dB | paper, SI-SDRi |\n|---|---|---|---|")
    for model in here:
        if model.kind == "generator":
            print(
                f"| `{model.identifier}` | {_measured(measure_generator, model, excerpts, how)} |", flush=True
            )
    print()
    for model in models:
        if model not in here and model.source:
            print(f"Not here: {model.identifier} ({model.licence}); tagbox models pull {model.identifier}")


def measure_tagger(model: Model, excerpts: Sequence[Excerpt], how: Steering) -> list[str]:
    """Return the sources that a tagger has words for, the part that it names, and what steering gains."""
    cases = right = 0
    gains: list[float] = []
    for excerpt in excerpts:
        words = _known_words(model, list(excerpt.sources))
        tagger = load_tagger(model.name, str(model.data), how.device, words) if words else None
        for word in words:
            assert tagger is not None
            heard = resample(downmix(excerpt.sources[word]), excerpt.rate, tagger.rate)
            with torch.no_grad():
                logits = tagger(heard[None].to(tagger.device)).logits[0]
            scores = {each: float(_of_word(logits, tagger.tags, model, each)) for each in words}
            cases += 1
            right += max(scores, key=lambda each: scores[each]) == word
        if how.steps and words:
            gains += _gains(excerpt, words, how, preset="steered", taggers=(model.identifier,))
    return [str(cases), f"{right / cases:.0%}" if cases else "-", _mean(gains)]


def measure_generator(model: Model, excerpts: Sequence[Excerpt], how: Steering) -> list[str]:
    """Return how well mixtures survive latents and codes (SNR, dB), and what the paper's method gains."""
    generator = load_generator(model.name, how.device)
    survived: list[tuple[float, float]] = []
    gains: list[float] = []
    for excerpt in excerpts:
        survived.append(_reconstruction_snr(generator, excerpt, how.device))
        if how.steps:
            words = _known_words(catalogue.model_by_identifier(JUDGING_TAGGER), list(excerpt.sources))
            models = {"taggers": (JUDGING_TAGGER,), "generator": model.name}
            gains += _gains(excerpt, words, how, preset="paper", **models)
    plain, coded = (sum(each) / len(each) for each in zip(*survived, strict=True))
    return [f"{plain:.1f}", f"{coded:.1f}", _mean(gains)]


def _measured(measure: Measure, model: Model, excerpts: Sequence[Excerpt], how: Steering) -> str:
    """Return the cells of a model's row, or why it cannot be measured."""
    try:
        return " | ".join(measure(model, excerpts, how))
    except TagBoxError as error:
        return f"{error} | | "


def _read(track: Track, seconds: float) -> Excerpt:
    chosen = choose_excerpt(track, list(track.sources), seconds, seed=0)
    sources = {word: signal.read(chosen.start, chosen.duration) for word, signal in track.sources.items()}
    mixture = track.mixture.read(chosen.start, chosen.duration)
    return Excerpt(
        mixture.rate,
        mixture.samples,
        {word: source.samples for word, source in sources.items() if source.samples.any()},
    )


def _known_words(model: Model, words: Sequence[str]) -> tuple[str, ...]:
    known = []
    for word in words:
        try:
            target_tags(word, str(model.data))
        except TagBoxError:
            continue
        known.append(word)
    return tuple(known)


def _of_word(logits: Tensor, tags: Sequence[str], model: Model, word: str) -> Tensor:
    """Return the highest of the logits of the tags that `word` stands for."""
    wanted = (word,) if is_open(str(model.data)) else target_tags(word, str(model.data))
    return torch.stack([logits[tags.index(tag)] for tag in wanted]).amax()


def _gains(excerpt: Excerpt, words: Sequence[str], how: Steering, **options: Any) -> list[float]:
    """Separate each of `words`, and return the improvements of SI-SDR (dB)."""
    gains = []
    for word in words:
        result = tagbox.separate(
            excerpt.mixture, excerpt.rate, [word], steps=how.steps, device=how.device, **options
        )
        gains.append(score_estimate(result.sources[word], excerpt.sources[word], excerpt.mixture).si_sdri)
    return gains


@torch.no_grad()
def _reconstruction_snr(generator: Generator, excerpt: Excerpt, device: str) -> tuple[float, float]:
    """Return the SNR (dB) of a mixture decoded from its latents, and from what its codes stand for."""
    heard = resample(with_channels(excerpt.mixture, generator.channels), excerpt.rate, generator.rate)
    latents = encode_padded(generator, heard.to(device), 0)
    plain, coded = (
        sdr(generator.decode(each)[0, :, : heard.shape[-1]].cpu(), heard)
        for each in (latents, generator.quantise(latents)[1])
    )
    return plain, coded


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):+.1f}" if values else "-"


if __name__ == "__main__":
    main()
