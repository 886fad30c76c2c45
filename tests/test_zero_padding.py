"""Windows that end in zeros: what is known beforehand is not computed, and the predictions are the same."""

from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from benchmarks.parity import recipe_tagger
from tagbox.taggers import zero_padding
from tagbox.taggers.frontends import SILENCE_DB, LogMel
from tagbox.taggers.tagger import Tagger, predict_logits

FLOAT32_ROUNDING = 2.0**-24

SUM_LENGTHS = [9 * 1, 9 * 64, 9 * 128, 9 * 128, 9 * 128, 64]
"""Products that each output of the network's five convolutions and of its dense layer sums up."""

TOLERANCE = 2 * FLOAT32_ROUNDING * sum(length**0.5 for length in SUM_LENGTHS)
"""Of two evaluations whose sums are in different orders, relative to the largest logit.

Rounding errors of a sum of n products grow as the square root of n (Higham & Mary 2019, "A new approach to
probabilistic rounding error analysis"), layers add theirs, and both evaluations have them: 1.6e-5. The
largest recipe logit is about 80, of which a single rounding is 4e-6 already.
"""


@pytest.fixture
def fcn() -> Tagger:
    """A network of its own for each test, which has computed nothing for silence yet."""
    return recipe_tagger("fcn")


@pytest.fixture(scope="module")
def shared_fcn() -> Tagger:
    return recipe_tagger("fcn")


def predict_in_full(tagger: Tagger, audio: Tensor) -> Tensor:
    """Compute the windows from end to end: logits (batch, tags)."""
    padded = torch.nn.functional.pad(audio, (0, tagger.window - audio.shape[1]))
    return torch.as_tensor(tagger.network(tagger.frontend(padded)))


def noise(batch: int, samples: int) -> Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(samples))


def deviation(tagger: Tagger, audio: Tensor) -> float:
    """Compute the largest difference from the whole window's logits, over the largest of these."""
    with torch.no_grad():
        expected = predict_in_full(tagger, audio)
        difference = predict_logits([tagger], audio, "zeros")[0][:, 0] - expected
    return float(difference.abs().max() / expected.abs().max())


@settings(max_examples=12)
@given(st.integers(1, 464_000))
@example(1)
@example(256)
@example(92_305)
@example(128_000)
@example(463_488)
@example(463_999)
def test_logits_are_those_of_the_whole_window(shared_fcn: Tagger, samples: int) -> None:
    assert deviation(shared_fcn, noise(1, samples)) < TOLERANCE


def test_a_missing_frame_is_beyond_the_tolerance(shared_fcn: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    skip_padding = zero_padding.skip_padding

    def skip_a_frame(frontend: LogMel, network: nn.Module, samples: int, window: int) -> Any:
        return skip_padding(frontend, network, samples - frontend.hop, window)

    monkeypatch.setattr(zero_padding, "skip_padding", skip_a_frame)
    assert deviation(shared_fcn, noise(1, 128_000)) > 10 * TOLERANCE


def test_gradients_are_those_of_the_whole_window(fcn: Tagger) -> None:
    audio, whole = (noise(2, 50_000).requires_grad_(True) for _ in range(2))
    predict_logits([fcn], audio, "zeros")[0].square().sum().backward()
    predict_in_full(fcn, whole).square().sum().backward()
    assert audio.grad is not None and whole.grad is not None
    assert whole.grad.norm() > 0
    # Where two numbers are nearly equal, rounding decides which is the maximum: a gradient then takes another
    # path.
    assert (audio.grad - whole.grad).norm() < 2e-3 * whole.grad.norm()


def test_only_what_the_recording_reaches_is_computed(fcn: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []
    whole = LogMel.__call__

    def record(self: LogMel, audio: Tensor) -> Tensor:
        lengths.append(audio.shape[1])
        return whole(self, audio)

    monkeypatch.setattr(LogMel, "__call__", record)
    frames: list[int] = []
    hooks = [
        layer.register_forward_pre_hook(lambda module, inputs: frames.append(inputs[0].shape[3]))
        for layer in fcn.network.children()
        if hasattr(layer, "pool")
    ]
    predict_logits([fcn], noise(1, 128_000), "zeros")
    first_time = list(frames)
    frames.clear()
    predict_logits([fcn], noise(1, 128_000), "zeros")
    for hook in hooks:
        hook.remove()
    # The recording reaches 501 frames. Each pooling divides them, and each layer has a little silence after
    # them.
    assert frames == [505, 129, 37, 11, 5]
    # The first time only, a silent window went through all layers but the last one before that.
    assert len(first_time) == len(frames) + 4
    assert max(lengths) < 130_000


def test_silence_is_the_front_ends_output_for_zeros() -> None:
    assert torch.equal(LogMel(96)(torch.zeros(1, 4096)), torch.full((1, 96, 17), SILENCE_DB))


def test_full_windows_and_other_networks_stay_as_they_are(fcn: Tagger) -> None:
    assert zero_padding.skip_padding(fcn.frontend, fcn.network, fcn.window, fcn.window) is None
    musicnn = recipe_tagger("musicnn")
    assert zero_padding.skip_padding(musicnn.frontend, musicnn.network, 1000, musicnn.window) is None


def test_repetition_skips_nothing(fcn: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("there is no silence")

    monkeypatch.setattr(zero_padding, "skip_padding", refuse)
    assert predict_logits([fcn], noise(1, 1000), "repeat")[0].shape == (1, 1, len(fcn.tags))
    with pytest.raises(AssertionError, match="silence"):
        predict_logits([fcn], noise(1, 1000), "zeros")
