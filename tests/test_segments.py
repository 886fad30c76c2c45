"""Segments cover a recording, their gains add up to one, and crossfading them again changes nothing."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tagbox.audio.segments import crossfade, fade_in, plan_segments, rescale, segment_gains
from tagbox.errors import TagBoxError

EPS = torch.finfo(torch.float32).eps
"""Spacing of float32 at 1."""

lengths = st.integers(1, 400_000)
sizes = st.integers(2_000, 60_000)
overlaps = st.integers(0, 400)
contexts = st.integers(0, 300)
units = st.sampled_from([1, 2, 3, 147, 160, 441])
aligns = st.sampled_from([1, 64, 1024, 451_584])


@given(lengths, sizes, overlaps, contexts, units, aligns)
@settings(max_examples=300, deadline=None)
def test_segments_cover_the_recording_once_and_read_no_more_than_they_may(
    samples: int, length: int, overlap: int, context: int, unit: int, align: int
) -> None:
    try:
        segments = plan_segments(samples, length, overlap, context, unit, align)
    except TagBoxError:
        # Rounded up to the unit, overlap and context may leave no room; only then.
        assert length - 3 * (overlap + unit) - 2 * (context + unit) <= unit
        return
    assert segments[0].start == segments[0].read_start == 0
    assert segments[-1].stop == segments[-1].read_stop == samples
    for segment in segments:
        assert 0 <= segment.read_start <= segment.start < segment.stop <= segment.read_stop <= samples
        assert segment.read_stop - segment.read_start <= max(length, samples if len(segments) == 1 else 0)
        assert segment.fade_in + segment.fade_out <= segment.stop - segment.start
    for before, after in pairwise(segments):
        assert before.stop - after.start == before.fade_out == after.fade_in
        assert before.fade_out >= overlap
        assert after.start - after.read_start >= context
        assert before.read_stop - before.stop == min(samples - before.stop, after.start - after.read_start)
        for place in (after.read_start, after.start, before.stop, after.fade_in):
            assert place % unit == 0


@given(st.integers(1, 30_000), st.integers(1_000, 9_000), st.integers(0, 300), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_gains_add_up_to_one(samples: int, length: int, overlap: int, context: int) -> None:
    total = torch.zeros(samples, dtype=torch.float64)
    for segment in plan_segments(samples, length, overlap, context):
        total[segment.start : segment.stop] += segment_gains(segment).double()
    # A gain is one minus the other, rounded to float32: by at most half an eps.
    torch.testing.assert_close(total, torch.ones_like(total), atol=EPS / 2, rtol=0)


@given(st.integers(1, 30_000), st.integers(1_000, 9_000), st.integers(0, 300), st.integers(0, 100))
@settings(max_examples=60, deadline=None)
def test_what_all_segments_agree_on_stays_unchanged(
    samples: int, length: int, overlap: int, context: int
) -> None:
    recording = torch.randn(2, samples, generator=torch.Generator().manual_seed(samples))
    tail, finished = None, []
    for segment in plan_segments(samples, length, overlap, context):
        done, tail = crossfade(tail, recording[:, segment.start : segment.stop], segment)
        finished.append(done)
    assert tail is None
    back = torch.cat(finished, dim=-1)
    # Two products, their sum and the smaller gain are rounded, each by at most half an eps.
    torch.testing.assert_close(back, recording, atol=0, rtol=2 * EPS)


def test_a_crossfade_has_no_step() -> None:
    first, second = plan_segments(1_500, 1_000, 100)
    done, tail = crossfade(None, torch.zeros(first.stop - first.start), first)
    rest, tail = crossfade(tail, torch.ones(second.stop - second.start), second)
    seam = torch.cat([done, rest])
    assert tail is None and len(seam) == 1_500
    assert torch.equal(seam[: second.start], torch.zeros(second.start))
    assert torch.equal(seam[first.stop :], torch.ones(1_500 - first.stop))
    # The steepest place of sin^2 over v samples has the slope pi / 2v.
    assert float(seam.diff().max()) <= torch.pi / 2 / 100 + EPS
    assert bool((seam.diff() >= -EPS).all())
    torch.testing.assert_close(fade_in(100) + fade_in(100).flip(0), torch.ones(100))


def test_a_recording_that_fits_is_one_segment() -> None:
    (only,) = plan_segments(1_000, 1_000, 100, 50, unit=7, align=64)
    assert (only.read_start, only.read_stop, only.start, only.stop) == (0, 1_000, 0, 1_000)
    assert torch.equal(segment_gains(only), torch.ones(1_000))


def test_segments_are_about_equal() -> None:
    own = [segment.stop - segment.start for segment in plan_segments(100_001, 10_000, 500)]
    assert max(own) - min(own) < 600


def test_hops_stay_on_the_grid_of_resampler_and_stft() -> None:
    # 48 kHz to 44.1 kHz repeats every 160 samples, hops of 1024 samples there every 160 * 1024 samples here.
    segments = plan_segments(48_000 * 300, 48_000 * 30, 48_000, 4_000, unit=160, align=160 * 1024)
    assert len(segments) > 5
    assert all(segment.read_start % (160 * 1024) == 0 for segment in segments)


def test_segments_shorter_than_overlap_and_context_are_refused() -> None:
    with pytest.raises(TagBoxError, match="no room"):
        plan_segments(10_000, 1_000, 400, 300)


@given(st.integers(50_000, 200_000), st.sampled_from([(147, 160), (2, 1), (441, 80), (147, 640)]))
@settings(max_examples=40, deadline=None)
def test_segments_at_another_rate_overlap_as_planned(samples: int, ratio: tuple[int, int]) -> None:
    up, down = ratio
    there = -(-samples * up // down)
    segments = [rescale(s, up, down, there) for s in plan_segments(samples, 20_000, 1_000, 500, unit=down)]
    assert segments[0].start == 0 and segments[-1].stop == there
    for before, after in pairwise(segments):
        assert before.stop - after.start == before.fade_out == after.fade_in
