"""When each source sounds, as run.json has it."""

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import tagbox
from tagbox import audio
from tagbox.corrections import Absent
from tagbox.pipeline.presence import MAX_SPANS, PresenceMeter

DUET = Path(__file__).resolve().parents[1] / "examples" / "duet" / "mixture.flac"
CHEAP = {"preset": "fast", "device": "cpu"}


@given(cuts=st.lists(st.integers(0, 1000), max_size=6), rate=st.integers(1, 400))
def test_parts_of_the_energy_do_not_depend_on_blocks(cuts: list[int], rate: int) -> None:
    tracks = torch.randn(3, 2, 1000, generator=torch.Generator().manual_seed(0))
    meter = PresenceMeter(3, rate, 1000)
    bounds = [0, *sorted(cuts), 1000]
    for start, stop in itertools.pairwise(bounds):
        meter.add(tracks[..., start:stop])
    span = max(rate, 2)  # 1000 samples are at most 600 spans.
    expected = [each.double().square().sum(dim=(1, 2)) for each in tracks.split(span, dim=-1)]
    parts = torch.stack([each / each.sum() for each in expected], dim=1)
    # Energies are sums of at most 800 squares in float32.
    torch.testing.assert_close(meter.parts(), parts, rtol=0, atol=800 * torch.finfo(torch.float32).eps)


def test_a_day_of_music_has_no_more_spans_than_an_hour() -> None:
    meter = PresenceMeter(1, 10, 10 * 86_400)
    assert meter.parts().shape == (1, MAX_SPANS)
    assert meter.describe(["violin"])["seconds"] == 144


def test_results_say_when_sources_sound() -> None:
    recording = audio.read(DUET, 0, 3.5)
    samples = recording.samples.clone()
    # Masks reach half a window of 2048 samples, 46 ms, into silence.
    samples[:, round(0.9 * recording.rate) : round(2.1 * recording.rate)] = 0
    presence = tagbox.separate(samples, recording.rate, "violin", **CHEAP).manifest["presence"]
    assert presence["seconds"] == 1
    violin, rest = presence["parts"]["violin"], presence["parts"]["residual"]
    assert len(violin) == len(rest) == 4
    assert violin[1] == rest[1] == 0
    # Each is rounded to three decimals.
    assert [violin[i] + rest[i] for i in (0, 2, 3)] == pytest.approx([1, 1, 1], abs=1.001e-3)
    assert 0.1 < violin[0] < 1


def test_corrections_change_when_sources_sound() -> None:
    recording = audio.read(DUET, 0, 3)
    project = tagbox.open(recording.samples, recording.rate, **CHEAP)
    project.separate("violin")
    assert min(project.result.manifest["presence"]["parts"]["violin"]) > 0.01
    project.correct(Absent("violin", 1.0, 3.0))
    assert project.result.manifest["presence"]["parts"]["violin"][2] == 0
