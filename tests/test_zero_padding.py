"""Windows that end in silence: what is known beforehand is not computed, and the answers are the same."""

from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from benchmarks.parity import recipe_tagger
from tagbox.taggers import zero_padding
from tagbox.taggers.frontends import SILENCE, LogMel
from tagbox.taggers.tagger import Tagger, predict_logits


@pytest.fixture
def fcn() -> Tagger:
    """A network of its own for each test, that has heard no silence yet."""
    return recipe_tagger("fcn")


def in_full(tagger: Tagger, audio: Tensor) -> Tensor:
    """The answers to windows that are computed from end to end: (batch, tags)."""
    filled = torch.nn.functional.pad(audio, (0, tagger.window - audio.shape[1]))
    return torch.as_tensor(tagger.network(tagger.frontend(filled)))


def noise(batch: int, samples: int) -> Tensor:
    return 0.1 * torch.randn(batch, samples, generator=torch.Generator().manual_seed(samples))


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 464_000))
@example(1)
@example(256)
@example(128_000)
@example(463_488)
@example(463_999)
def test_answers_are_those_of_the_whole_window(samples: int) -> None:
    tagger = recipe_tagger("fcn")
    audio = noise(1, samples)
    with torch.no_grad():
        answers = predict_logits([tagger], audio, "zeros")[0][:, 0]
        torch.testing.assert_close(answers, in_full(tagger, audio), rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_the_whole_window(fcn: Tagger) -> None:
    found = []
    for answer in (lambda audio: predict_logits([fcn], audio, "zeros")[0], lambda audio: in_full(fcn, audio)):
        audio = noise(2, 50_000).requires_grad_(True)
        answer(audio).square().sum().backward()
        assert audio.grad is not None
        found.append(audio.grad)
    assert found[1].norm() > 0
    # Where two numbers are nearly equal, rounding says which of them the maximum is.
    assert (found[0] - found[1]).norm() < 2e-3 * found[1].norm()


def test_only_what_the_recording_reaches_is_computed(fcn: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    whole = LogMel.__call__

    def counted(self: LogMel, audio: Tensor) -> Tensor:
        seen.append(audio.shape[1])
        return whole(self, audio)

    monkeypatch.setattr(LogMel, "__call__", counted)
    columns: list[int] = []
    hooks = [
        layer.register_forward_pre_hook(lambda module, heard: columns.append(heard[0].shape[3]))
        for layer in fcn.network.children()
        if hasattr(layer, "pool")
    ]
    predict_logits([fcn], noise(1, 128_000), "zeros")
    once = list(columns)
    columns.clear()
    predict_logits([fcn], noise(1, 128_000), "zeros")
    for hook in hooks:
        hook.remove()
    # 501 frames see the recording; then its part shrinks as pooling goes on, with a column of silence beside.
    assert columns == [505, 129, 37, 11, 5]
    # The silent window went through all layers but the last before that, at the first time alone.
    assert len(once) == len(columns) + 4
    assert max(seen) < 130_000


def test_silence_is_what_the_front_end_makes_of_zeros() -> None:
    assert torch.equal(LogMel(96)(torch.zeros(1, 4096)), torch.full((1, 96, 17), SILENCE))


def test_full_windows_and_other_networks_stay_as_they_are(fcn: Tagger) -> None:
    assert zero_padding.shortened(fcn.frontend, fcn.network, fcn.window, fcn.window) is None
    musicnn = recipe_tagger("musicnn")
    assert zero_padding.shortened(musicnn.frontend, musicnn.network, 1000, musicnn.window) is None


def test_repetition_knows_of_no_silence(fcn: Tagger, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("nobody asked for silence")

    monkeypatch.setattr(zero_padding, "shortened", refuse)
    assert predict_logits([fcn], noise(1, 1000), "repeat")[0].shape == (1, 1, len(fcn.tags))
    with pytest.raises(AssertionError, match="silence"):
        predict_logits([fcn], noise(1, 1000), "zeros")
