"""SI-SDR and SDR against their definitions, and against the ways to cheat."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tagbox.errors import TagBoxError
from tagbox.evaluation.metrics import sdr, si_sdr


def noise(seed: int, channels: int = 1, samples: int = 4000) -> Tensor:
    return torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed))


@given(level=st.floats(-60, 60))
@settings(max_examples=20, deadline=None)
def test_orthogonal_noise_at_a_known_level(level: float) -> None:
    reference, error = noise(0), noise(1)
    error = error - (error * reference).sum() / reference.square().sum() * reference
    error = error * (reference.norm() / error.norm()) * 10 ** (-level / 20)
    assert si_sdr(reference + error, reference) == pytest.approx(level, abs=0.05)
    assert sdr(reference + error, reference) == pytest.approx(level, abs=0.05)


@given(gain=st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_loudness_alone_changes_nothing(gain: float) -> None:
    reference, estimate = noise(0), noise(0) + 0.3 * noise(1)
    assert si_sdr(gain * estimate, reference) == pytest.approx(si_sdr(estimate, reference), abs=1e-3)


def test_silence_has_no_score_in_si_sdr_and_zero_in_sdr() -> None:
    assert si_sdr(torch.zeros(1, 4000), noise(0)) == -math.inf
    assert sdr(torch.zeros(1, 4000), noise(0)) == 0


def test_a_perfect_estimate() -> None:
    assert sdr(noise(0), noise(0)) == math.inf
    assert si_sdr(noise(0), noise(0)) > 100


def test_channels_are_one_signal() -> None:
    reference, estimate = noise(0, 2), noise(0, 2) + 0.1 * noise(1, 2)
    s, e = reference.double().numpy().ravel(), estimate.double().numpy().ravel()
    target = np.dot(e, s) / np.dot(s, s) * s
    expected = 10 * np.log10(np.sum(target**2) / np.sum((target - e) ** 2))
    assert si_sdr(estimate, reference) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("estimate", "reference", "words"),
    [
        (noise(0), noise(0, samples=10), "shape"),
        (torch.zeros(1, 0), torch.zeros(1, 0), "empty"),
        (noise(0), torch.zeros(1, 4000), "reference is silent"),
        (noise(0) * torch.nan, noise(0), "not finite"),
    ],
)
def test_what_cannot_be_compared_is_refused(estimate: Tensor, reference: Tensor, words: str) -> None:
    for measure in (si_sdr, sdr):
        with pytest.raises(TagBoxError, match=words):
            measure(estimate, reference)
