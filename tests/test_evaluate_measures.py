"""Measures against reference implementations, the bootstrap by hand, and verdicts on cheats."""

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
from tagbox.evaluation import metrics
from tagbox.evaluation.bootstrap import RESAMPLES, bootstrap_interval, paired_interval
from tagbox.evaluation.case import MeasureOptions, measure_estimate, record_key
from tagbox.evaluation.controls import CEILING, CONTROLS
from tagbox.evaluation.judge import check_judge, default_judge, query_probability
from tagbox.evaluation.summary import Summary, summarise
from tagbox.evaluation.systems import SystemInput, SystemKind, SystemOutput

RATE = 8000


@pytest.fixture
def museval(ffmpeg: None) -> Any:
    """Imported late: without its ffmpeg it cannot be, and the other tests of this file do without it."""
    return importlib.import_module("museval")


def music(seed: int, channels: int = 1, seconds: float = 4.0) -> Tensor:
    """Return decaying notes with a little noise, (channels, samples)."""
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
    # Here and below: the same sums in float64; museval solves for filters, which costs some more digits.
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
    scores = metrics.score_estimate(nothing, true, mixture)
    assert scores.si_sdr == metrics.MIN_RATIO_DB
    assert scores.sdr == 0
    assert metrics.energy_ratio(nothing, mixture) == metrics.MIN_RATIO_DB


@pytest.mark.usefixtures("museval")
def test_silence_is_defined_in_every_window() -> None:
    true = music(0)
    nothing = torch.zeros_like(true)
    half = true.clone()
    half[:, : true.shape[1] // 2] = 0
    assert math.isfinite(metrics.window_sdr(nothing, true, RATE))
    assert metrics.window_sdr(nothing, true, RATE) == 0
    assert metrics.window_sdr(half, half, RATE) == metrics.MAX_RATIO_DB
    with pytest.raises(TagBoxError, match="silent"):
        metrics.window_sdr(true, nothing, RATE)


def test_bootstrap_intervals_computed_by_hand() -> None:
    # Two tracks, one case each: the resampled mean is 0, 1 or 2 with chances 1/4, 1/2, 1/4.
    found = bootstrap_interval([0.0, 2.0], ["a", "b"])
    assert (found.mean, found.low, found.high) == (1, 0, 2)
    # Tracks, not cases, are drawn: three like cases of one track are one track.
    found = bootstrap_interval([3.0, 3.0, 3.0, 0.0], ["a", "a", "a", "b"])
    assert (found.mean, found.low, found.high, found.cases, found.tracks) == (2.25, 0, 3, 4, 2)
    assert bootstrap_interval([1.0], ["a"]).low == 1


def test_an_interval_agrees_with_all_resamples() -> None:
    """All 3^3 resamples of three tracks, enumerated, against those that are drawn."""
    values = [1.0, 4.0, 10.0]
    every = sorted(sum(draw) / 3 for draw in itertools.product(values, repeat=3))
    found = bootstrap_interval(values, ["a", "b", "c"])
    # 2.5 % of 27 is less than one resample: the interval is all of them.
    assert (found.low, found.high) == (every[0], every[-1])
    assert RESAMPLES >= 1000


def test_pairs_are_cases_that_both_have() -> None:
    found = paired_interval(
        {"a/1": 3.0, "b/1": 5.0, "c/1": 9.0}, {"a/1": 1.0, "b/1": 3.0}, {"a/1": "a", "b/1": "b"}
    )
    assert found is not None
    assert (found.mean, found.low, found.high, found.cases) == (2, 2, 2, 2)
    assert paired_interval({"a": 1.0}, {"b": 1.0}, {}) is None


class Cheat:
    """A system whose estimates are a function of the excerpt, the true sources included."""

    kind: SystemKind = "estimates"

    def __init__(self, name: str, estimate) -> None:  # type: ignore[no-untyped-def]
        self.name = name
        self.estimate = estimate

    def separate(self, excerpt: SystemInput) -> SystemOutput:
        return SystemOutput({query: self.estimate(excerpt, query) for query in excerpt.references})


def other(excerpt: SystemInput, query: str) -> Tensor:
    return next(track for name, track in excerpt.references.items() if name != query)


CHEATS = {
    "silence": lambda excerpt, query: torch.zeros_like(excerpt.mixture),
    "next to nothing": lambda excerpt, query: 1e-6 * excerpt.mixture,
    "scaled mixture": lambda excerpt, query: 0.37 * excerpt.mixture,
    "inverted mixture": lambda excerpt, query: -excerpt.mixture,
    "16-bit mixture": lambda excerpt, query: (excerpt.mixture * 32767).round() / 32767,
    "swapped source": other,
    "swapped and quiet": lambda excerpt, query: 0.1 * other(excerpt, query),
    "noise": lambda excerpt, query: (
        0.1 * torch.randn(excerpt.mixture.shape, generator=torch.Generator().manual_seed(1))
    ),
}


@pytest.fixture(scope="module")
def summary() -> Summary:
    """Eight duets, separated by the controls, by all cheats, and by a system that improves SI-SDR by 6 dB."""
    options = MeasureOptions(judge="", window_sdr=False, seed=0)
    honest = Cheat("honest", lambda excerpt, query: excerpt.references[query] + 0.5 * other(excerpt, query))
    methods = [*CONTROLS, CEILING, honest, *(Cheat(name, function) for name, function in CHEATS.items())]
    records = []
    for i in range(8):
        sources = {"violin": music(2 * i), "piano": music(2 * i + 1)}
        excerpt = SystemInput(f"track{i}", "", sources["violin"] + sources["piano"], RATE, sources, 0.0, 0)
        for method in methods:
            for query, estimate in method.separate(excerpt).estimates.items():
                about = {"track": excerpt.track, "split": "", "source": query, "method": method.name}
                judged = measure_estimate(estimate, query, excerpt, options)
                key = record_key("", excerpt.track, query, method.name)
                records.append({"key": key, **about, "kind": method.kind, **judged})
    return summarise(records)


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_gets_no_claim(name: str, summary: Summary) -> None:
    verdicts = [verdict for verdict in summary.verdicts if verdict.method == name]
    assert {verdict.source for verdict in verdicts} == {"violin", "piano", "all"}
    for verdict in verdicts:
        assert verdict.answer == "no"
        assert "does not separate" in verdict.words


def test_plain_sdr_rewards_half_the_mixture(summary: Summary) -> None:
    row = summary.row("all", "half the mixture")
    assert row is not None and row.sdri is not None and row.si_sdri is not None
    assert row.sdri.low > 2
    assert row.si_sdri.mean == pytest.approx(0, abs=1e-3)


def test_a_separation_beats_controls_and_stays_below_the_ceiling(summary: Summary) -> None:
    for verdict in (v for v in summary.verdicts if v.method == "honest"):
        assert verdict.answer == "yes"
        assert "beats every control" in verdict.words
    honest, ceiling = (summary.row("all", name) for name in ("honest", CEILING.name))
    assert honest is not None and honest.si_sdri is not None
    assert ceiling is not None and ceiling.si_sdri is not None
    assert honest.si_sdri.mean == pytest.approx(6, abs=0.3)
    assert ceiling.si_sdri.mean > honest.si_sdri.mean
    assert honest.residual is not None and honest.residual < 0


def test_few_tracks_allow_no_claim_and_silent_sources_are_leaks() -> None:
    options = MeasureOptions(judge="", window_sdr=False, seed=0)
    records = []
    honest = Cheat("honest", lambda excerpt, query: excerpt.references[query])
    for i in range(5):
        violin = music(i) if i < 4 else torch.zeros_like(music(i))
        excerpt = SystemInput(f"track{i}", "", violin + music(i + 50), RATE, {"violin": violin}, 0.0, 0)
        for method in (*CONTROLS, honest):
            estimate = method.separate(excerpt).estimates["violin"]
            about = {"key": f"{i}/{method.name}", "track": excerpt.track, "split": "", "source": "violin"}
            judged = measure_estimate(estimate, "violin", excerpt, options)
            records.append({**about, "method": method.name, "kind": method.kind, **judged})
    summed = summarise(records)
    (verdict,) = summed.verdicts
    assert verdict.answer == "open"
    assert "4 tracks are too few" in verdict.words
    row = summed.row("violin", "mixture")
    assert row is not None and row.measured == 4 and row.leak == 0
    assert summed.not_measured == (
        "violin (track4): the source is silent there; its estimates were measured as leaks",
    )


def test_a_source_that_plays_alone_is_not_averaged() -> None:
    violin = music(0)
    excerpt = SystemInput("solo", "", violin + 1e-4 * music(1), RATE, {"violin": violin}, 0.0, 0)
    judged = measure_estimate(violin, "violin", excerpt, MeasureOptions("", False, 0))
    assert judged["status"] == "plays alone"


def test_the_judge_gives_probability_0_to_silence() -> None:
    tone = music(0, seconds=3)
    assert query_probability("mtat/pons-vgg", torch.zeros_like(tone), RATE, "violin") == 0
    heard = query_probability("mtat/pons-vgg", tone, RATE, "violin")
    assert heard is not None and 0 < heard < 1
    assert query_probability("mtat/pons-vgg", tone, RATE, "bass") is None
    assert default_judge(["mtat/pons-musicnn"]) == "mtat/pons-vgg"
    with pytest.raises(TagBoxError, match="in the loop"):
        check_judge("mtat/pons-vgg", ["mtat/pons-vgg"])
