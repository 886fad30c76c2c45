"""Passages side by side: each comes out as it does alone, and as many go together as there is room for."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import tagbox
from tagbox import audio, presets
from tagbox.audio.segments import Segment
from tagbox.pipeline import batching, segment, streaming

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RATE = 22_050
SIDE_BY_SIDE = presets.override(
    presets.find("paper").settings,
    generator="embedded",
    taggers=("mtat/pons-musicnn",),
    steps=2,
    lr=0.05,
    fft=(512, 1024),
    segment=3.0,
    overlap=0.2,
    precision="float32",
)


@pytest.fixture(scope="module")
def recording() -> Tensor:
    """Stereo, six segments, of which the third is silent and the last shorter than the others."""
    mono = audio.resample(audio.read(EXAMPLES / "duet" / "mixture.flac").samples[:1], 44_100, RATE)
    stereo = torch.cat([mono, 0.5 * mono.roll(100, dims=1)])[:, : 7 * RATE].repeat(1, 2)
    stereo[:, round(4.5 * RATE) : round(7.2 * RATE)] = 0
    return stereo


def separated(recording: Tensor, **changed: Any) -> tagbox.Separation:
    settings = presets.override(SIDE_BY_SIDE, **changed)
    overrides = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
    return tagbox.separate(recording, RATE, ["violin", "flute"], "paper", "cpu", **overrides)


@pytest.fixture(scope="module")
def in_turn(recording: Tensor) -> tagbox.Separation:
    return separated(recording)


def room_for(passages_at_once: int, asked: list[int]) -> batching.Fit:
    """A device that says how many it has room for, once a step of one has shown what that takes."""

    def fit(device: torch.device, step: batching.Step) -> int:
        (passage,) = step()  # type: ignore[misc]
        asked.append(passage.estimates.shape[-1])
        return passages_at_once

    return fit


def alike(one: tagbox.Separation, other: tagbox.Separation) -> None:
    for word in ("violin", "flute"):
        difference = (one.sources[word] - other.sources[word]).norm()
        # Where a gradient is next to nothing, rounding says which way the first step goes.
        assert difference < 1e-2 * other.sources[word].norm()
    assert one.sources["violin"].norm() > 0.01 * one.residual.norm()
    assert (one.sources["violin"] - one.sources["flute"]).norm() > 0


@pytest.mark.parametrize("room", [1, 100])
def test_passages_side_by_side_come_out_as_each_does_alone(
    room: int, recording: Tensor, in_turn: tagbox.Separation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(batching, "FITS", {"cpu": room_for(room, asked)})
    together = separated(recording)
    alike(together, in_turn)
    assert len(asked) == 1
    # Before the silence there are two segments, after it two of one length and a shorter one.
    assert together.manifest["streamed"]["side_by_side"] == min(room, 2)
    assert len(together.runs) == (10 if room == 1 else 6)
    assert together.runs[0].at == in_turn.runs[0].at == 0


def test_a_device_with_less_room_than_it_seemed_takes_them_by_halves(
    recording: Tensor, in_turn: tagbox.Separation, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    real = segment.take_apart_abreast

    def cramped(cast: Any, settings: Any, several: Sequence[Tensor], *rest: Any) -> list[segment.Passage]:
        tried.append(len(several))
        if len(several) > 1:
            raise torch.OutOfMemoryError("so many do not fit")
        return real(cast, settings, several, *rest)

    monkeypatch.setattr(batching, "FITS", {"cpu": room_for(2, [])})
    monkeypatch.setattr(streaming, "take_apart_abreast", cramped)
    alike(separated(recording), in_turn)
    assert tried == [1, 2, 1, 1, 2, 1, 1]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"keep": "best"}, "another step"),
        ({"patience": 3}, "another step"),
        ({"quantiser": "published"}, "moves"),
        ({"objective": "joint"}, "against each other"),
        ({"steer": "gates", "generator": "embedded"}, "only latents"),
    ],
)
def test_what_cannot_go_side_by_side_does_not(changed: dict[str, Any], why: str) -> None:
    reason = batching.alone(presets.override(SIDE_BY_SIDE, **changed))
    assert reason is not None and why in reason
    assert batching.alone(SIDE_BY_SIDE) is None


def test_the_presets_that_the_paper_has_can() -> None:
    assert batching.alone(presets.find("paper").settings) is None
    assert batching.alone(presets.find("published-code").settings) is not None


def test_a_cpu_is_not_asked(recording: Tensor, in_turn: tagbox.Separation) -> None:
    assert "cpu" not in batching.FITS and "cuda" in batching.FITS
    assert in_turn.manifest["streamed"]["side_by_side"] == 1


@given(st.lists(st.tuples(st.sampled_from([5, 6]), st.booleans()), max_size=12), st.integers(1, 5))
def test_batches_keep_the_order_and_mix_nothing(made: list[tuple[int, bool]], room: int) -> None:
    asked: list[int] = []

    def ask(channels: Tensor) -> int:
        asked.append(channels.shape[1])
        return room

    read = [
        (Segment(i, i + length, i, i + length, 0, 0), torch.full((2, length), float(sounds)))
        for i, (length, sounds) in enumerate(made)
    ]
    batches = list(batching.batches(iter(read), ask))
    assert [segment.first for batch in batches for segment, _ in batch] == list(range(len(made)))
    assert len(asked) == min(1, sum(sounds for _, sounds in made))
    for batch in batches:
        assert 1 <= len(batch) <= room
        assert len({channels.shape for _, channels in batch}) == 1
        assert len(batch) == 1 or all(bool(channels.any()) for _, channels in batch)
    if room > len(made) and all(sounds for _, sounds in made):
        changes = sum(a[0] != b[0] for a, b in pairwise(made))
        assert len(batches) == (changes + 1 if made else 0)


def test_room_is_left_for_others_and_one_always_fits() -> None:
    assert batching.fitting(free=100, taken=10) == 8
    assert batching.fitting(free=5, taken=10) == 1
    assert batching.fitting(free=100, taken=0) == 80
