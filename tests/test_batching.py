"""Batches of segments: the same estimates as one segment at a time, as many as fit into memory."""

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
from tagbox.generators import pretrained
from tagbox.generators.training.train import new_model
from tagbox.generators.vqvae import VQVAEConfig
from tagbox.methods.separators import SteeredGates, SteeredLatents, TaggedComponents
from tagbox.pipeline import batching
from tagbox.pipeline.segment import SegmentEstimate

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RATE = 22_050
BATCHABLE = presets.override(
    presets.find("paper").settings,
    taggers=("rendered/listener",),
    steps=2,
    lr=0.05,
    fft=(512, 1024),
    quantiser="none",  # an untrained codebook would take both sources to the same entries
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


@pytest.fixture(scope="module")
def generator(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny generator, untrained: batches do not depend on what it has learnt."""
    path = tmp_path_factory.mktemp("generator") / "tiny.safetensors"
    model = new_model(VQVAEConfig((8,), (1,), (3,), entries=64), 0)
    pretrained.save_generator_file(model, path, "MIT", {})
    return str(path)


def separated(recording: Tensor, generator: str) -> tagbox.Separation:
    settings = presets.override(BATCHABLE, generator=generator)
    overrides = {name: getattr(settings, name) for name in settings.__dataclass_fields__}
    return tagbox.separate(recording, RATE, ["violin", "flute"], "paper", "cpu", **overrides)


@pytest.fixture(scope="module")
def one_by_one(recording: Tensor, generator: str) -> tagbox.Separation:
    return separated(recording, generator)


def fixed_capacity(segments: int, trials: list[int]) -> batching.Capacity:
    """A device with memory for `segments`; it runs the trial step as a real one does."""

    def measure(device: torch.device, trial: batching.Trial) -> int:
        estimate = trial()
        assert isinstance(estimate, SegmentEstimate)
        trials.append(estimate.estimates.shape[-1])
        return segments

    return measure


def assert_close(one: tagbox.Separation, other: tagbox.Separation) -> None:
    for word in ("violin", "flute"):
        difference = (one.sources[word] - other.sources[word]).norm()
        # Where a gradient is next to nothing, rounding says which way the first step goes.
        assert difference < 1e-2 * other.sources[word].norm()
    assert one.sources["violin"].norm() > 0.01 * one.residual.norm()
    assert (one.sources["violin"] - one.sources["flute"]).norm() > 0


@pytest.mark.parametrize("capacity", [1, 100])
def test_a_batch_gives_what_single_segments_give(
    capacity: int,
    recording: Tensor,
    generator: str,
    one_by_one: tagbox.Separation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trials: list[int] = []
    monkeypatch.setitem(batching.CAPACITY_BY_DEVICE, "cpu", fixed_capacity(capacity, trials))
    together = separated(recording, generator)
    assert_close(together, one_by_one)
    assert len(trials) == 1
    # Before the silence there are two segments, after it two of one length and a shorter one.
    assert together.manifest["streamed"]["side_by_side"] == min(capacity, 2)
    assert len(together.runs) == (10 if capacity == 1 else 6)
    assert together.runs[0].at == one_by_one.runs[0].at == 0


def test_a_batch_that_does_not_fit_is_halved(
    recording: Tensor, generator: str, one_by_one: tagbox.Separation, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    separate_batch = batching.separate_batch

    def out_of_memory(segments: Sequence[Tensor], *rest: Any) -> list[SegmentEstimate]:
        tried.append(len(segments))
        if len(segments) > 1:
            raise torch.OutOfMemoryError("so many do not fit")
        return separate_batch(segments, *rest)

    monkeypatch.setitem(batching.CAPACITY_BY_DEVICE, "cpu", fixed_capacity(2, []))
    monkeypatch.setattr(batching, "separate_batch", out_of_memory)
    assert_close(separated(recording, generator), one_by_one)
    assert tried == [2, 1, 1, 2, 1, 1]


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"keep": "best"}, "another step"),
        ({"patience": 3}, "another step"),
        ({"quantiser": "published"}, "moves"),
        ({"objective": "joint"}, "against each other"),
    ],
)
def test_settings_that_depend_on_other_segments_are_not_batched(changed: dict[str, Any], why: str) -> None:
    reason = batching.why_not_batchable(presets.override(BATCHABLE, **changed))
    assert reason is not None and why in reason
    assert batching.why_not_batchable(BATCHABLE) is None


def test_the_papers_preset_is_batchable_and_the_published_codes_is_not() -> None:
    assert batching.why_not_batchable(presets.find("paper").settings) is None
    assert batching.why_not_batchable(presets.find("published-code").settings) is not None


def test_a_cpu_takes_one_segment_at_a_time(one_by_one: tagbox.Separation) -> None:
    assert "cpu" not in batching.CAPACITY_BY_DEVICE and "cuda" in batching.CAPACITY_BY_DEVICE
    assert one_by_one.manifest["streamed"]["side_by_side"] == 1


@given(st.lists(st.tuples(st.sampled_from([5, 6]), st.booleans()), max_size=12), st.integers(1, 5))
def test_batches_keep_the_order_and_mix_no_lengths(made: list[tuple[int, bool]], room: int) -> None:
    asked: list[int] = []

    def ask(channels: Tensor) -> int:
        asked.append(channels.shape[1])
        return room

    read = [
        (Segment(i, i + length, i, i + length, 0, 0), torch.full((2, length), float(sounds)))
        for i, (length, sounds) in enumerate(made)
    ]
    batches = list(batching.batches(iter(read), ask))
    assert [segment.read_start for batch in batches for segment, _ in batch] == list(range(len(made)))
    assert len(asked) == min(1, sum(sounds for _, sounds in made))
    for batch in batches:
        assert 1 <= len(batch) <= room
        assert len({channels.shape for _, channels in batch}) == 1
        assert len(batch) == 1 or all(bool(channels.any()) for _, channels in batch)
    if room > len(made) and all(sounds for _, sounds in made):
        changes = sum(a[0] != b[0] for a, b in pairwise(made))
        assert len(batches) == (changes + 1 if made else 0)


def test_capacity_leaves_memory_free_and_is_at_least_one() -> None:
    assert batching.capacity(free=100, taken=10) == 8
    assert batching.capacity(free=5, taken=10) == 1
    assert batching.capacity(free=100, taken=0) == 80


def test_gates_are_never_batched() -> None:
    assert not TaggedComponents.batchable
    assert not SteeredGates.batchable
    assert SteeredLatents.batchable
