"""Arrays of any type, byte order, stride and caller's setting are used as they are meant, or refused."""

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import tagbox
from tagbox.audio.arrays import as_channels, check_rate, level_note
from tagbox.audio.downmix import downmix, polarities
from tagbox.errors import TagBoxError

SMALL = {"components": 4, "factorisations": 1}


def music(channels: int = 2, samples: int = 22_050) -> Tensor:
    random = torch.Generator().manual_seed(0)
    t = torch.arange(samples) / 44_100
    tones = sum(torch.sin(2 * torch.pi * f * t) for f in (220, 331, 440))
    return (0.1 * tones + 0.01 * torch.randn(channels, samples, generator=random)).clamp(-0.9, 0.9)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, ">i2", ">i4"])
def test_integers_are_scaled_by_their_types_range(dtype: Any) -> None:
    limits = np.iinfo(dtype)
    half = (int(limits.max) - int(limits.min) + 1) // 2
    values = np.array([limits.min, half // 2 + int(limits.min) + half // 2, limits.max]).astype(dtype)
    scaled = as_channels(values)[0].tolist()
    assert scaled == pytest.approx([-1.0, 0.0, (half - 1) / half], abs=1e-6)
    if np.dtype(dtype).kind == "i" and np.dtype(dtype).isnative:
        assert torch.equal(as_channels(torch.from_numpy(values)), as_channels(values))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4", ">f8"])
def test_floats_of_any_size_and_byte_order_are_the_same_numbers(dtype: Any) -> None:
    values = music().numpy()
    tolerance = 1e-3 if np.dtype(dtype).itemsize == 2 else 0
    np.testing.assert_allclose(as_channels(values.astype(dtype)), values, atol=tolerance, rtol=0)


def test_strides_and_lists_are_read_as_they_look() -> None:
    values = music().numpy()
    assert np.array_equal(as_channels(values[::-1, ::-2]), values[::-1, ::-2])
    assert np.array_equal(as_channels(np.asfortranarray(values)), values)
    assert np.array_equal(as_channels(values[:, :5].tolist()), values[:, :5])


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (None, "nothing was given"),
        ("song.wav", "tagbox.audio.read"),
        (b"song.wav", "tagbox.audio.read"),
        (np.zeros((3, 3, 3)), "shape"),
        (np.zeros(0), "empty"),
        (np.zeros((44_100, 2)), "transpose"),
        (np.zeros(9, complex), "real numbers"),
        (np.zeros(9, bool), "real numbers"),
        (torch.zeros(9, dtype=torch.bool), "real numbers"),
        (np.array(["a", "b"]), "real numbers"),
        ([[1.0, 2.0], [3.0]], "differ in length"),
        (np.array([0, np.nan]), "not finite"),
        (np.full(1000, 1e30, np.float32), "values up to 1e.30"),
    ],
)
def test_what_is_no_audio_is_refused_with_what_to_give(audio: Any, message: str) -> None:
    with pytest.raises(TagBoxError, match=message):
        tagbox.separate(audio, 44_100, ["violin"])


@pytest.mark.parametrize("rate", [44_100, 44_100.0, np.int64(44_100), np.float32(44_100)])
def test_whole_rates_of_any_type_are_taken(rate: Any) -> None:
    assert check_rate(rate) == 44_100


@pytest.mark.parametrize("rate", [0, -1, 0.5, 44_100.5, float("nan"), float("inf"), None, "44100"])
def test_other_rates_are_refused(rate: Any) -> None:
    with pytest.raises(TagBoxError, match="for example 44100"):
        check_rate(rate)


@pytest.mark.parametrize("tags", [[1], [None], 3])
def test_tags_that_are_no_texts_are_refused(tags: Any) -> None:
    with pytest.raises(TagBoxError, match="give texts"):
        tagbox.separate(music(), 44_100, tags)


def test_a_single_text_is_one_tag() -> None:
    assert list(tagbox.separate(music(), 44_100, "drums", **SMALL).sources) == ["drums"]


@pytest.fixture
def float64_default() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("steps", [1, 2])
def test_what_the_caller_has_set_changes_nothing(context: Any, steps: int) -> None:
    how = {**SMALL, "steps": steps, "precision": "float32"}
    expected = tagbox.separate(music(), 44_100, ["violin"], **how).sources["violin"]
    with context():
        result = tagbox.separate(music(), 44_100, ["violin"], **how)
    assert torch.equal(result.sources["violin"], expected)
    assert not result.residual.is_inference()


@pytest.mark.usefixtures("float64_default")
def test_another_default_type_changes_nothing() -> None:
    result = tagbox.separate(music(), 44_100, ["violin"], **SMALL)
    assert torch.get_default_dtype() == torch.float64
    assert result.sources["violin"].dtype == torch.float32


def test_what_was_computed_in_inference_mode_is_no_trap_later() -> None:
    """Windows and filters are cached; made in inference mode they would take part in no gradient."""
    for context in (torch.inference_mode(), nullcontext()):
        with context:
            tagger = tagbox.load_tagger("listener", "rendered")
            audio = torch.zeros(1, 7_001).requires_grad_(not torch.is_inference_mode_enabled())
            logits = tagger.logits(audio + 0.01)
    logits.sum().backward()
    assert audio.grad is not None


@pytest.mark.parametrize("seconds", [1, 7])
def test_silence_gives_silent_sources_a_silent_residual_and_a_note(seconds: int) -> None:
    silence = torch.zeros(2, seconds * 8_000)
    result = tagbox.separate(silence, 8_000, ["violin", "drums"], segment=3.0, overlap=0.25)
    for track in (*result.sources.values(), result.residual):
        assert track.shape == silence.shape and not track.any()
    assert result.stopped == "silence" and result.history.steps == ()
    assert any("silent" in note for note in result.manifest["input"]["notes"])


def test_numbers_of_another_scale_get_a_note() -> None:
    assert "full scale is 1" in str(level_note(32_768.0))
    assert level_note(1.5) is None
    result = tagbox.separate(32_768 * music(), 44_100, ["violin"], **SMALL)
    assert any("integer type" in note for note in result.manifest["input"]["notes"])


@pytest.mark.parametrize("segment", [30.0, 3.0])
def test_channels_of_opposite_phase_are_separated_as_well_as_equal_ones(segment: float) -> None:
    mono = music(1, 4 * 44_100)
    how = {**SMALL, "segment": segment, "overlap": 0.25}
    equal = tagbox.separate(torch.cat([mono, mono]), 44_100, ["violin"], **how).sources["violin"]
    opposite = tagbox.separate(torch.cat([mono, -mono]), 44_100, ["violin"], **how).sources["violin"]
    assert float(equal.abs().max()) > 1e-3
    torch.testing.assert_close(opposite, torch.stack([equal[0], -equal[1]]), atol=1e-5, rtol=0)


@given(st.integers(1, 6), st.integers(0, 1_000))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_the_downmix_is_the_mean_unless_polarities_cancel(channels: int, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    common = torch.randn(1, 4_000, generator=random)
    audio = common + 0.1 * torch.randn(channels, 4_000, generator=random)
    assert torch.equal(downmix(audio), audio.mean(dim=0))
    signs = torch.ones(channels)
    signs[: channels // 2] = -1
    flipped = downmix(signs[:, None] * audio)
    if channels % 2 == 0:
        assert polarities(signs[:, None] * audio) is not None
        torch.testing.assert_close(flipped.abs(), audio.mean(dim=0).abs())
    assert torch.equal(downmix(torch.stack([audio, audio])), torch.stack([downmix(audio)] * 2))
