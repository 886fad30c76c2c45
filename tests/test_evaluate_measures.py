"""The measures against the packages that define them, the bootstrap by hand, and the cheats."""

import importlib
import itertools
import math
from typing import Any

import mir_eval
import numpy as np
import pytest
import torch
from torch import Tensor

from tagbox.errors import TagBoxError
from tagbox.evaluation import case, metrics, summary
from tagbox.evaluation.bootstrap import RESAMPLES, interval, paired
from tagbox.evaluation.controls import CEILING, CONTROLS
from tagbox.evaluation.systems import Answer, Kind, Task

RATE = 8000


@pytest.fixture
def museval(ffmpeg: None) -> Any:
    """Imported late: without its ffmpeg it cannot be, and the other tests of this file do without it."""
    return importlib.import_module("museval")


def music(seed: int, channels: int = 1, seconds: float = 4.0) -> Tensor:
    """A few decaying notes and a little noise, (channels, samples)."""
    random = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    tones = sum(
        np.sin(2 * np.pi * f * t + p) * np.exp(-3 * ((t - at) % seconds))
        for f, p, at in zip(
            random.uniform(80, 2000, 5), random.uniform(0, 6, 5), random.uniform(0, 4, 5), strict=True
        )
    )
    noisy = 0.1 * tones + 0.01 * random.standard_normal((channels, len(t)))
    return torch.from_numpy(noisy.astype(np.float32))


@pytest.mark.parametrize("channels", [1, 2])
def test_sdr_is_museval_over_one_window(channels: int, museval: Any) -> None:
    true, rest = music(0, channels), music(1, channels)
    estimate = 0.7 * true + 0.2 * rest
    arrays = [
        np.stack([a.T.double().numpy(), b.T.double().numpy()]) for a, b in ((true, rest), (estimate, rest))
    ]
    theirs = museval.metrics.bss_eval(*arrays, window=np.inf, hop=np.inf)[0][0, 0]
    assert metrics.sdr(estimate, true) == pytest.approx(theirs, abs=1e-6)


def test_window_sdr_is_museval_median_beside_other_sources(museval: Any) -> None:
    true, rest = music(0, 2), music(1, 2)
    estimate = 0.9 * true + 0.3 * rest
    references = np.stack([true.T.double().numpy(), rest.T.double().numpy()])
    estimates = np.stack([estimate.T.double().numpy(), (true + rest - estimate).T.double().numpy()])
    theirs = museval.evaluate(references, estimates, win=RATE, hop=RATE)[0][0]
    assert metrics.window_sdr(estimate, true, RATE) == pytest.approx(float(np.median(theirs)), abs=1e-6)


def test_si_sdr_is_mir_eval_with_a_filter_of_one_tap() -> None:
    true, rest = music(0), music(1)
    estimate = true + 0.5 * rest
    references, estimates = (
        np.concatenate([a.double().numpy(), b.double().numpy()]) for a, b in ((true, rest), (estimate, rest))
    )
    # BSS Eval v3 lets a filter of 512 taps act on the reference; with one tap its SDR is SI-SDR.
    parts = mir_eval.separation._bss_decomp_mtifilt(references[:1], estimates[0], 0, 1)
    wanted = 10 * np.log10(np.sum((parts[0] + parts[1]) ** 2) / np.sum((parts[2] + parts[3]) ** 2))
    assert metrics.si_sdr(estimate, true) == pytest.approx(wanted, abs=1e-6)


def test_silence_is_defined_everywhere() -> None:
    true, mixture = music(0), music(0) + music(1)
    nothing = torch.zeros_like(true)
    scores = metrics.score(nothing, true, mixture)
    assert scores.si_sdr == metrics.LEAST
    assert scores.sdr == 0
    assert metrics.leak(nothing, mixture) == metrics.LEAST


@pytest.mark.usefixtures("museval")
def test_silence_is_defined_in_every_window() -> None:
    true = music(0)
    nothing = torch.zeros_like(true)
    half = true.clone()
    half[:, : true.shape[1] // 2] = 0
    assert math.isfinite(metrics.window_sdr(nothing, true, RATE))
    assert metrics.window_sdr(nothing, true, RATE) == 0
    assert metrics.window_sdr(half, half, RATE) == metrics.MOST
    with pytest.raises(TagBoxError, match="silent"):
        metrics.window_sdr(true, nothing, RATE)


def test_an_interval_by_hand() -> None:
    # Two tracks, one case each: the resampled mean is 0, 1 or 2 with chances 1/4, 1/2, 1/4.
    found = interval([0.0, 2.0], ["a", "b"])
    assert (found.mean, found.low, found.high) == (1, 0, 2)
    # Tracks, not cases, are drawn: three like cases of one track are one track.
    found = interval([3.0, 3.0, 3.0, 0.0], ["a", "a", "a", "b"])
    assert (found.mean, found.low, found.high, found.cases, found.tracks) == (2.25, 0, 3, 4, 2)
    assert interval([1.0], ["a"]).low == 1


def test_an_interval_holds_what_it_says() -> None:
    """All 3^3 resamples of three tracks, counted, against the drawn ones."""
    values = [1.0, 4.0, 10.0]
    every = sorted(sum(draw) / 3 for draw in itertools.product(values, repeat=3))
    found = interval(values, ["a", "b", "c"])
    # 2.5 % of 27 is less than one resample: the interval is all of them.
    assert (found.low, found.high) == (every[0], every[-1])
    assert RESAMPLES >= 1000


def test_pairs_are_of_the_same_case() -> None:
    found = paired({"a/1": 3.0, "b/1": 5.0, "c/1": 9.0}, {"a/1": 1.0, "b/1": 3.0}, {"a/1": "a", "b/1": "b"})
    assert found is not None
    assert (found.mean, found.low, found.high, found.cases) == (2, 2, 2, 2)
    assert paired({"a": 1.0}, {"b": 1.0}, {}) is None


class Cheat:
    """A method made of a function of the mixture, the true sources and the word."""

    kind: Kind = "estimates"

    def __init__(self, name: str, estimate) -> None:  # type: ignore[no-untyped-def]
        self.name = name
        self.estimate = estimate

    def answer(self, task: Task) -> Answer:
        return Answer({word: self.estimate(task, word) for word in task.references})


def other(task: Task, word: str) -> Tensor:
    return next(track for name, track in task.references.items() if name != word)


CHEATS = {
    "silence": lambda task, word: torch.zeros_like(task.mixture),
    "next to nothing": lambda task, word: 1e-6 * task.mixture,
    "scaled mixture": lambda task, word: 0.37 * task.mixture,
    "inverted mixture": lambda task, word: -task.mixture,
    "16-bit mixture": lambda task, word: (task.mixture * 32767).round() / 32767,
    "swapped source": other,
    "swapped and quiet": lambda task, word: 0.1 * other(task, word),
    "noise": lambda task, word: (
        0.1 * torch.randn(task.mixture.shape, generator=torch.Generator().manual_seed(1))
    ),
}


@pytest.fixture(scope="module")
def summary() -> summary.Summary:
    """Eight duets, the controls, all cheats, and one who really separates by 6 dB."""
    measures = case.Measures(judge="", window_sdr=False, seed=0)
    honest = Cheat("honest", lambda task, word: task.references[word] + 0.5 * other(task, word))
    methods = [*CONTROLS, CEILING, honest, *(Cheat(name, function) for name, function in CHEATS.items())]
    records = []
    for i in range(8):
        sources = {"violin": music(2 * i), "piano": music(2 * i + 1)}
        task = Task(f"track{i}", "", sources["violin"] + sources["piano"], RATE, sources, 0.0, 0)
        for method in methods:
            for word, estimate in method.answer(task).estimates.items():
                about = {"track": task.track, "split": "", "source": word, "method": method.name}
                judged = case.judge(estimate, word, task, measures)
                key = case.key("", task.track, word, method.name)
                records.append({"key": key, **about, "kind": method.kind, **judged})
    return summary.summarise(records)


@pytest.mark.parametrize("name", CHEATS)
def test_what_separates_nothing_cannot_win(name: str, summary: summary.Summary) -> None:
    told = [verdict for verdict in summary.verdicts if verdict.method == name]
    assert {verdict.source for verdict in told} == {"violin", "piano", "all"}
    for verdict in told:
        assert verdict.answer == "no"
        assert "does not separate" in verdict.words


def test_plain_sdr_would_have_let_them_win(summary: summary.Summary) -> None:
    row = summary.row("all", "half the mixture")
    assert row is not None and row.sdri is not None and row.si_sdri is not None
    assert row.sdri.low > 2
    assert row.si_sdri.mean == pytest.approx(0, abs=1e-3)


def test_who_separates_wins_and_stays_below_the_ceiling(summary: summary.Summary) -> None:
    for verdict in (v for v in summary.verdicts if v.method == "honest"):
        assert verdict.answer == "yes"
        assert "beats every control" in verdict.words
    honest, ceiling = (summary.row("all", name) for name in ("honest", CEILING.name))
    assert honest is not None and honest.si_sdri is not None
    assert ceiling is not None and ceiling.si_sdri is not None
    assert honest.si_sdri.mean == pytest.approx(6, abs=0.3)
    assert ceiling.si_sdri.mean > honest.si_sdri.mean
    assert honest.residual is not None and honest.residual < 0


def test_few_tracks_claim_nothing_and_silent_sources_are_counted_apart() -> None:
    measures = case.Measures(judge="", window_sdr=False, seed=0)
    records = []
    honest = Cheat("honest", lambda task, word: task.references[word])
    for i in range(5):
        violin = music(i) if i < 4 else torch.zeros_like(music(i))
        task = Task(f"track{i}", "", violin + music(i + 50), RATE, {"violin": violin}, 0.0, 0)
        for method in (*CONTROLS, honest):
            estimate = method.answer(task).estimates["violin"]
            about = {"key": f"{i}/{method.name}", "track": task.track, "split": "", "source": "violin"}
            judged = case.judge(estimate, "violin", task, measures)
            records.append({**about, "method": method.name, "kind": method.kind, **judged})
    summed = summary.summarise(records)
    (verdict,) = summed.verdicts
    assert verdict.answer == "open"
    assert "4 tracks are too few" in verdict.words
    row = summed.row("violin", "mixture")
    assert row is not None and row.measured == 4 and row.leak == 0
    assert summed.not_measured == (
        "violin (track4): the source is silent there; its estimates were measured as leaks",
    )


def test_a_source_that_plays_alone_is_no_case() -> None:
    violin = music(0)
    task = Task("solo", "", violin + 1e-4 * music(1), RATE, {"violin": violin}, 0.0, 0)
    judged = case.judge(violin, "violin", task, case.Measures("", False, 0))
    assert judged["status"] == "plays alone"


def test_the_judge_hears_before_and_after_and_nothing_in_silence() -> None:
    from tagbox.evaluation import judge

    tone = music(0, seconds=3)
    assert judge.probability("mtat/pons-vgg", torch.zeros_like(tone), RATE, "violin") == 0
    heard = judge.probability("mtat/pons-vgg", tone, RATE, "violin")
    assert heard is not None and 0 < heard < 1
    assert judge.probability("mtat/pons-vgg", tone, RATE, "bass") is None
    assert judge.default_judge(["mtat/pons-musicnn"]) == "mtat/pons-vgg"
    with pytest.raises(TagBoxError, match="in the loop"):
        judge.check("mtat/pons-vgg", ["mtat/pons-vgg"])
