"""SI-SDR and SDR against their definitions."""

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
    # In float32 the two are orthogonal up to about 1e-7 of the product of their norms. If the error is 1000
    # times the reference, that is 1e-4 of the reference, or 0.001 dB.
    assert si_sdr(reference + error, reference) == pytest.approx(level, abs=1e-3)
    assert sdr(reference + error, reference) == pytest.approx(level, abs=1e-3)


@given(gain=st.floats(1e-3, 1e3))
@settings(max_examples=20, deadline=None)
def test_si_sdr_does_not_depend_on_loudness(gain: float) -> None:
    reference, estimate = noise(0), noise(0) + 0.3 * noise(1)
    # Float32 rounds each sample by up to 6e-8, and the error to measure is 0.3 of the samples: 2e-6 dB.
    assert si_sdr(gain * estimate, reference) == pytest.approx(si_sdr(estimate, reference), abs=1e-5)


def test_si_sdr_of_silence_is_minus_infinity_and_sdr_zero() -> None:
    assert si_sdr(torch.zeros(1, 4000), noise(0)) == -math.inf
    assert sdr(torch.zeros(1, 4000), noise(0)) == 0


def test_a_perfect_estimate() -> None:
    assert sdr(noise(0), noise(0)) == math.inf
    # The scale of the reference rounds in float64, so that it is not infinite.
    assert si_sdr(noise(0), noise(0)) > 100


def test_channels_are_taken_as_one_signal() -> None:
    reference, estimate = noise(0, 2), noise(0, 2) + 0.1 * noise(1, 2)
    s, e = reference.double().numpy().ravel(), estimate.double().numpy().ravel()
    target = np.dot(e, s) / np.dot(s, s) * s
    expected = 10 * np.log10(np.sum(target**2) / np.sum((target - e) ** 2))
    # Both are sums of 8000 products in float64.
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
def test_signals_that_cannot_be_compared_are_refused(estimate: Tensor, reference: Tensor, words: str) -> None:
    for measure in (si_sdr, sdr):
        with pytest.raises(TagBoxError, match=words):
            measure(estimate, reference)
