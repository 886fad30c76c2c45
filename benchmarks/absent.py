"""Measure what becomes of sources that are not there: `python -m benchmarks.absent DATA... [--fit]`.

DATA are folders as `scripts.judge_share_network` takes them. Each recording is asked for every class of the
vocabulary that none of its stems has, and for every stem, one at a time. Printed for the presets default and
fast, with and without the decision of `tagbox.methods.absence`:

- of what is absent: in how many cases at least 20 dB less than the mixture is let through;
- of what is present: how many sources are silenced, and the SI-SDR improvement (dB) on average, where silence
  counts as none.

`--fit` learns the weights of the decision from these cases, without each recording in turn, and prints the
same for decisions about recordings that were not learnt from, and the weights that all together give.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scripts.judge_share_network import Recording, measured, recordings_in, stempeg_excerpt
from tagbox.audio.downmix import downmix
from tagbox.free_text import tags_heard
from tagbox.methods.absence import CAUTION, SMALLEST_SHARE, log_odds_of_presence, predicted_shares, sureness
from tagbox.methods.analysis import Analysis
from tagbox.methods.shares import SharesAndComponents, class_matrix, shares_and_components
from tagbox.methods.task import Task
from tagbox.pipeline.prepare import prepare_task
from tagbox.settings import Settings
from tagbox.taggers.networks.share_unet import GRID, RATE
from tagbox.tags.vocabularies import RENDERED_CLASSES, members

VOCABULARY = "rendered"
QUIET_DB = -20.0
"""Of the mixture, up to which what is let through counts as silence."""
RIDGE = 1.0


@dataclass(frozen=True)
class Case:
    """A source that a recording was asked for.

    Attributes:
        preset: that separated it.
        recording: its name.
        word: what was asked for.
        is_present: whether the recording has it.
        sureness: see `tagbox.methods.absence`.
        predicted: likewise.
        level: of the estimate, dB of the mixture.
        improvement: of SI-SDR, dB; none of what is absent.
    """

    preset: str
    recording: str
    word: str
    is_present: bool
    sureness: float
    predicted: float
    level: float
    improvement: float = 0.0

    @property
    def log_odds(self) -> float:
        """Of its presence, by the weights that ship."""
        return float(log_odds_of_presence(torch.tensor([self.sureness]), torch.tensor([self.predicted]))[0])


def words_of(recording: Recording) -> Iterator[tuple[str, Tensor | None]]:
    """Return what a recording is asked for, with the source where it has one."""
    present = {tag: source for tag, source in recording.sources.items() if tag != "accompaniment"}
    yield from present.items()
    if "accompaniment" in recording.sources:
        # Nobody says what is in it.
        return
    known = {one for tag in present for one in members(tag, VOCABULARY)}
    for word in RENDERED_CLASSES:
        if not known & set(members(word, VOCABULARY)):
            yield word, None


def asked_for(task: Task, word: str) -> Task:
    """Return the task of asking for one word."""
    tags = tags_heard(word, [VOCABULARY], task.settings)
    multi_hot = torch.tensor([[float(tag in tags[0]) for tag in task.taggers[0].tags]])
    return replace(task, queries=(word,), target_tags={word: tags}, targets=(multi_hot,))


def cases_of(task: Task, recording: Recording) -> Iterator[Case]:
    """Separate everything that a recording is asked for."""
    separator = shares_and_components(task, None)
    assert isinstance(separator, SharesAndComponents)
    mixture = recording.mixture
    analysis = replace(separator.analyse_and_separate(mixture)[0], decided=None)
    for word, source in words_of(recording):
        for preset, estimate, sure, predicted in estimates_of(asked_for(task, word), analysis, mixture):
            level = 10 * torch.log10(estimate.square().sum() / mixture.square().sum()).item()
            better = 0.0 if source is None else measured(estimate, source, mixture).improvement
            name = f"{recording.data}/{recording.name}"
            yield Case(preset, name, word, source is not None, sure, predicted, level, better)


def estimates_of(
    task: Task, analysis: Analysis, mixture: Tensor
) -> Iterator[tuple[str, Tensor, float, float]]:
    """Estimate the source of a task: preset, estimate (channels, samples), sureness, predicted share."""
    both = shares_and_components(task, None)
    assert isinstance(both, SharesAndComponents) and analysis.answers is not None
    classes = class_matrix(task.queries, VOCABULARY)
    (word,) = task.queries
    for preset, separator in (("default", both), ("fast", both.shares)):
        masks = separator.masks(analysis, mixture)
        estimate = separator.apply(masks, mixture)[0]
        energy = GRID.into_patches(GRID.into_bands(masks.energy))
        sure = float(sureness(analysis.answers, energy, classes)[0])
        predicted = predicted_shares(
            downmix(estimate)[None], RATE, task.steering_taggers[0], [task.target_tags[word][0]], "repeat"
        )
        yield preset, estimate, sure, float(predicted[0])


def describe(cases: Sequence[Case], is_silenced: Sequence[bool]) -> str:
    """Return the figures of some cases as cells of a table."""
    absent = [
        case.level <= QUIET_DB or silent
        for case, silent in zip(cases, is_silenced, strict=True)
        if not case.is_present
    ]
    present = [
        (0.0 if silent else case.improvement, silent)
        for case, silent in zip(cases, is_silenced, strict=True)
        if case.is_present
    ]
    silent, mean = sum(own for _, own in present), np.mean([better for better, _ in present])
    return f"{np.mean(absent):.0%} of {len(absent)} | {silent} of {len(present)} | {mean:+.2f}"


def features(cases: Sequence[Case]) -> NDArray[np.float64]:
    """Return the log-odds that the decision rests on, and ones: (cases, 3)."""
    values = np.clip([[case.sureness, case.predicted] for case in cases], SMALLEST_SHARE, 1 - SMALLEST_SHARE)
    return np.c_[np.log(values / (1 - values)), np.ones(len(cases))]


def fit(cases: Sequence[Case]) -> NDArray[np.float64]:
    """Learn the weights (3,) by logistic regression; both kinds of cases count alike."""
    x, y = features(cases), np.array([case.is_present for case in cases], dtype=float)
    importance = np.where(y > 0, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    weights = np.zeros(3)
    for _ in range(50):
        p = 1 / (1 + np.exp(-x @ weights))
        slope = x.T @ (importance * (p - y)) + RIDGE * weights * [1, 1, 0]
        curvature = (x.T * (importance * p * (1 - p))) @ x + RIDGE * np.diag([1.0, 1.0, 1e-9])
        weights -= np.linalg.solve(curvature, slope)
    return weights


def main() -> None:
    """Separate, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--stempeg", action="store_true", help="also the excerpt that stempeg carries")
    parser.add_argument("--every", type=int, default=1, help="take only every so many recordings of a set")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fit", action="store_true", help="learn the weights")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    task = prepare_task(["violin"], Settings(), "cpu")
    recordings = [one for folder in options.data for one in recordings_in(folder, options.every)]
    if options.stempeg:
        recordings.append(stempeg_excerpt())
    cases = []
    for recording in recordings:
        cases += list(cases_of(task, recording))
        print(recording.name, flush=True)
    print("| | absent: 20 dB below the mixture | present: silenced | SI-SDR improvement |\n|---|---|---|---|")
    for preset in ("default", "fast"):
        own = [case for case in cases if case.preset == preset]
        print(f"| {preset}, all kept | {describe(own, [False] * len(own))} |")
        print(f"| {preset} | {describe(own, [case.log_odds < -CAUTION for case in own])} |")
    if options.fit:
        learnt = [case for case in cases if case.preset == "default"]
        names = sorted({case.recording for case in cases})
        for preset in ("default", "fast"):
            own = [case for case in cases if case.preset == preset]
            silent: dict[int, bool] = {}
            for name in names:
                weights = fit([case for case in learnt if case.recording != name])
                held_out = [case for case in own if case.recording == name]
                log_odds = (features(held_out) @ weights).tolist()
                silent |= dict(zip(map(id, held_out), (each < -CAUTION for each in log_odds), strict=True))
            cells = describe(own, [silent[id(case)] for case in own])
            print(f"| {preset}, learnt without the recording | {cells} |")
        print("weights of sureness and prediction, bias:", fit(learnt).round(2).tolist())


if __name__ == "__main__":
    main()
