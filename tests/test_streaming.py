"""Long recordings: the same from disk and memory, the same everywhere in the recording, in bounded memory."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import tagbox
from tagbox import audio, presets
from tagbox.api import separate_file
from tagbox.audio.readers import FileReader, TensorReader
from tagbox.audio.segments import Segment, crossfade, plan_segments
from tagbox.audio.writers import TensorWriter
from tagbox.errors import TagBoxError
from tagbox.evaluation.metrics import si_sdr
from tagbox.generators import pretrained
from tagbox.generators.training.train import new_model
from tagbox.generators.vqvae import VQVAEConfig
from tagbox.methods.components import decompose
from tagbox.methods.nmf import component_masks, gate_mask, infer_activations
from tagbox.methods.separators import LearntGates, Preparation
from tagbox.methods.steering import Run
from tagbox.methods.task import Task
from tagbox.pipeline import streaming
from tagbox.pipeline.prepare import prepare_task
from tagbox.pipeline.segment import separate_segment
from tagbox.pipeline.survey import ExcerptTagger, excerpt_spans, select_excerpts, survey_recording
from tagbox.settings import Settings
from tagbox.taggers.tagger import predict_logits

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
RATES = [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000]
SMALL = {"steps": 1, "components": 4, "factorisations": 1, "segment": 3.0, "overlap": 0.25}
STEERED = {**SMALL, "steer": "gates", "begin": "even"}


def task_of(settings: Settings) -> Task:
    """A task without models, for separators that need none."""
    return Task((), {}, (), settings, (), (), None, torch.device("cpu"))


@dataclass(frozen=True)
class FunctionSeparator:
    """Separates by a function of the mixture at the working rate."""

    function: Callable[[Tensor], Tensor]
    batchable: bool = False

    def prepare(self, survey: object) -> Preparation:
        return Preparation(self)

    def separate(self, mixture: Tensor, initial_audio: Tensor) -> tuple[Tensor, tuple[Run, ...]]:
        return self.function(mixture), ()


def band(seconds: float) -> Tensor:
    return audio.read(EXAMPLES / "band" / "mixture.flac", 0, seconds).samples


def duet(name: str) -> Tensor:
    return audio.read(EXAMPLES / "duet" / f"{name}.flac", 3, 6).samples


def noise(channels: int, samples: int, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(channels, samples, generator=torch.Generator().manual_seed(seed))


# -- every channel, every rate


@given(st.sampled_from(RATES), st.integers(1, 6), st.floats(0.1, 0.6), st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_a_share_of_everything_is_that_share_at_every_rate_in_every_channel(
    rate: int, channels: int, seconds: float, seed: int
) -> None:
    """White noise reaches up to half the rate, so what the working rate cannot carry is put to the test."""
    recording = noise(channels, round(rate * seconds), seed)

    separator = FunctionSeparator(lambda mixture: torch.stack([0.25 * mixture, 0.5 * mixture]))
    result = separate_segment(recording, rate, task_of(Settings()), separator)
    assert result.rate == rate
    assert result.estimates.shape == (2, *recording.shape)
    for share, estimate in zip((0.25, 0.5), result.estimates, strict=True):
        error = (estimate - share * recording).square().mean() / recording.square().mean()
        assert float(error) < 1e-8


def test_normalising_changes_what_is_steered_and_not_how_loud_the_result_is() -> None:
    recording = noise(2, 20_000)
    seen: list[float] = []

    def quarter(mixture: Tensor) -> Tensor:
        seen.append(float(mixture.abs().amax()))
        return 0.25 * mixture[None]

    task = task_of(Settings(normalise=True))
    for peak in (None, 0.5):
        result = separate_segment(recording, 44_100, task, FunctionSeparator(quarter), peak)
        torch.testing.assert_close(result.estimates[0], 0.25 * recording, atol=1e-6, rtol=0)
    assert seen[0] == pytest.approx(1)
    assert seen[1] == pytest.approx(2 * float(recording.abs().amax()))


@pytest.mark.parametrize("rate", [48_000, 96_000, 192_000])
def test_above_the_working_band_sources_follow_their_highest_octave(rate: int) -> None:
    """A source that owns the treble gets what lies above; one that owns the bass gets nothing of it."""
    recording = noise(2, rate)

    def split(mixture: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(mixture)
        treble = (torch.arange(spectrum.shape[-1]) > spectrum.shape[-1] // 4).float()
        high = torch.fft.irfft(spectrum * treble, n=mixture.shape[-1])
        return torch.stack([high, mixture - high])

    separator = FunctionSeparator(split)
    treble, bass = separate_segment(recording, rate, task_of(Settings()), separator).estimates
    above = round(22_050 / (rate / 2) * (rate // 2)) + 100
    power = [float(torch.fft.rfft(x)[..., above:].abs().square().sum()) for x in (treble, bass, recording)]
    assert power[0] > 0.95 * power[2]
    assert power[1] < 0.01 * power[2]


@given(st.sampled_from(RATES), st.sampled_from([44_100, 16_000, 22_050]), st.integers(0, 3))
@settings(max_examples=30, deadline=None)
def test_resampling_in_segments_is_resampling(rate: int, new: int, seed: int) -> None:
    if rate == new:
        return
    ratio = audio.ratio(rate, new)
    recording = noise(1, ratio.numerator * 40 + 12_345, seed)
    whole = audio.resample(recording, rate, new)
    context = -(-128 * rate // min(rate, new))
    for segment in plan_segments(recording.shape[1], 8_000 + 6 * context, 100, context, unit=ratio.numerator):
        part = audio.resample(recording[:, segment.read_start : segment.read_stop], rate, new)
        first, start, stop = (
            -(-place * ratio.denominator // ratio.numerator)
            for place in (segment.read_start, segment.start, segment.stop)
        )
        torch.testing.assert_close(
            part[:, start - first : stop - first], whole[:, start:stop], atol=1e-6, rtol=0
        )


@pytest.mark.parametrize(("rate", "channels"), [(8_000, 1), (48_000, 3), (44_101, 2)])
def test_long_recordings_keep_rate_channels_and_length_and_add_up(rate: int, channels: int) -> None:
    mono = audio.resample(band(7.3).mean(dim=0), 44_100, rate)
    recording = mono * torch.tensor([1.0, 0.5, -0.7])[:channels, None]
    seen: list[tuple[int, int]] = []
    result = tagbox.separate(
        recording, rate, ["drums"], on_segment=lambda done, of: seen.append((done, of)), **SMALL
    )
    assert result.manifest["streamed"]["segments"] == len(seen) > 1
    assert seen == [(i + 1, len(seen)) for i in range(len(seen))]
    assert result.rate == rate
    assert result.sources["drums"].shape == result.residual.shape == recording.shape
    total = result.sources["drums"] + result.residual
    torch.testing.assert_close(total, recording, atol=1e-5 * float(recording.abs().max()), rtol=0)
    assert 0.01 < float(result.sources["drums"].square().mean() / recording.square().mean()) < 0.9


# -- the same everywhere in the recording


def learnt(components: int = 6) -> tuple[Tensor, Tensor]:
    """A dictionary, and gates that differ from component to component."""
    mono = band(3).mean(dim=0)
    decomposed = decompose(mono, 44_100, components, 1, 2048, 16_000, seed=0, iterations=20)
    return decomposed.dictionary, torch.linspace(0, 1, components)[None]


def test_the_gate_mask_is_the_gated_sum_of_component_masks() -> None:
    random = torch.Generator().manual_seed(0)
    shapes, activations = torch.rand(65, 5, generator=random), torch.rand(5, 30, generator=random)
    activations[:, :3] = 0  # silence: everyone's share is equal
    gates = torch.tensor([0.0, 1.0, 0.3, 0.7, 0.5])
    expected = torch.einsum("k,kft->ft", gates, component_masks(shapes, activations))
    torch.testing.assert_close(gate_mask(shapes, activations, gates), expected, atol=1e-6, rtol=1e-5)


def test_activations_of_a_known_dictionary_are_found_frame_by_frame() -> None:
    random = torch.Generator().manual_seed(1)
    shapes, truth = torch.rand(65, 4, generator=random), torch.rand(4, 30, generator=random)
    magnitude = shapes @ truth
    found = infer_activations(magnitude, shapes, 2_000)
    torch.testing.assert_close(found, truth, atol=0.02, rtol=0)
    alone = infer_activations(magnitude[:, 7:8], shapes, 60)
    together = infer_activations(magnitude, shapes, 60)[:, 7:8]
    torch.testing.assert_close(alone, together, atol=1e-6, rtol=1e-5)


def in_segments(recording: Tensor, rate: int, length: float) -> tuple[Tensor, list[Segment]]:
    """Separate by a fixed dictionary and gates, with segments of `length` seconds."""
    dictionary, gates = learnt()
    separator = LearntGates(dictionary, gates, 2048, 1)
    task = task_of(Settings(segment=length, overlap=0.25))
    segments = streaming.segments_of(task, rate, recording.shape[1])
    tail, finished = None, []
    for segment in segments:
        read = recording[:, segment.read_start : segment.read_stop]
        source = separate_segment(read, rate, task, separator).estimates[0]
        own = source[:, segment.start - segment.read_start : segment.stop - segment.read_start]
        done, tail = crossfade(tail, own, segment)
        finished.append(done)
    return torch.cat(finished, dim=1), segments


@pytest.mark.parametrize("rate", [44_100, 22_050, 96_000])
def test_where_segments_are_cut_does_not_matter(rate: int) -> None:
    recording = audio.resample(band(13), 44_100, rate)
    whole, (_,) = in_segments(recording, rate, 20.0)
    cut, segments = in_segments(recording, rate, 4.5)
    assert len(segments) >= 3
    scale = float(whole.abs().max())
    torch.testing.assert_close(cut, whole, atol=1e-4 * scale, rtol=0)


def test_a_repeated_phrase_is_separated_alike() -> None:
    phrase = band(13)[:, : 100 * 1024]
    recording = phrase.repeat(1, 6)
    result = tagbox.separate(recording, 44_100, ["guitar"], **STEERED).sources["guitar"]
    phrases = result.reshape(2, 6, phrase.shape[1])
    # The seam of two repetitions has another neighbourhood; everything between is the same.
    inside = phrases[:, :, 4096:-4096]
    scale = float(inside.abs().max())
    assert scale > 0.01
    for again in range(1, 6):
        torch.testing.assert_close(inside[:, again], inside[:, 0], atol=1e-4 * scale, rtol=0)


def test_every_repetition_is_separated_as_well_by_inference() -> None:
    mixture, violin = duet("mixture"), duet("violin")
    how = {"segment": 6.0, "factorisations": 4}
    result = tagbox.separate(mixture.repeat(1, 3), 44_100, ["violin"], **how)
    told = result.manifest["streamed"]
    assert told["segments"] >= 3 and "digest" not in told
    (parts,) = told["made_of"].values()
    assert sum(parts.values()) == pytest.approx(1, abs=0.01)
    assert parts["violin"] > 0.2
    assert [run.at for run in result.runs] == sorted({run.at for run in result.runs})
    assert len(result.runs) == told["segments"]
    before = si_sdr(mixture, violin)
    gains = [si_sdr(again, violin) - before for again in result.sources["violin"].chunk(3, dim=1)]
    assert min(gains) > 2
    assert max(gains) - min(gains) < 1


def test_where_the_violin_rests_the_presence_prior_invents_none() -> None:
    mixture, piano = duet("mixture"), duet("piano")
    how = {"segment": 6.0, "factorisations": 1}
    result = tagbox.separate(torch.cat([mixture, piano], dim=1), 44_100, ["violin"], **how)
    alone = tagbox.separate(piano, 44_100, ["violin"], **how)
    rest = result.sources["violin"][:, mixture.shape[1] :]
    inside = slice(44_100, 5 * 44_100)
    known, unknown = (found[:, inside].square().sum() for found in (rest, alone.sources["violin"]))
    assert known < 0.7 * unknown


def test_ctrl_c_leaves_nothing_where_gates_are_inferred() -> None:
    def press(step: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tagbox.separate(band(7), 44_100, ["drums"], on_step=press, **SMALL)


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    """A tiny generator, untrained: its noise masks differently in every segment, which is the hard case."""
    path = tmp_path / "tiny.safetensors"
    pretrained.save_generator_file(new_model(VQVAEConfig((4,), (1,), (3,), entries=8), 0), path, "MIT", {})
    return path


def jumps(source: Tensor, mixture: Tensor, frame: int) -> Tensor:
    """Change of the source's level against the mixture's from frame to frame, dB, (frames - 1,)."""
    frames = source.shape[-1] // frame
    levels = [
        x[..., : frames * frame].reshape(-1, frames, frame).square().mean(dim=(0, 2)) + 1e-9
        for x in (source, mixture)
    ]
    return (10 * torch.log10(levels[0] / levels[1])).diff().abs()


@pytest.mark.parametrize("kind", ["stationary", "real"])
@pytest.mark.parametrize("way", [{}, {"steer": "gates", "begin": "even"}, {"steer": "latents"}], ids=str)
def test_seams_are_no_larger_than_what_happens_inside_segments(
    kind: str, way: dict[str, str], generator: Path
) -> None:
    recording = noise(2, 9 * 44_100) if kind == "stationary" else band(9)
    how = {**SMALL, "overlap": 0.5, "generator": str(generator), "fft": (2048,), "lr": 0.3, **way}
    result = tagbox.separate(recording, 44_100, ["guitar"], **how)
    source = result.sources["guitar"]
    task = prepare_task(["guitar"], presets.override(Settings(), **how), "cpu")
    segments = streaming.segments_of(task, 44_100, recording.shape[1])
    assert len(segments) >= 3
    at_seams = torch.zeros(recording.shape[1], dtype=torch.bool)
    for before, after in pairwise(segments):
        at_seams[after.start - 441 : before.stop + 441] = True
    # Clicks: the curvature of the waveform against the mixture's own.
    bend = source.diff(n=2).abs().amax(dim=0)
    assert float(bend[at_seams[1:-1]].max()) <= 1.05 * float(bend[~at_seams[1:-1]].max())
    # Swells: the level against the mixture's, in frames of 50 ms.
    frame = 2_205
    change = jumps(source, recording, frame)
    seam = at_seams[: (len(change) + 1) * frame].reshape(-1, frame).any(dim=1)
    seam = seam[1:] | seam[:-1]
    assert float(change[seam].max()) <= 1.05 * float(change[~seam].max()) + 0.1
    assert float(change[seam].mean()) <= 1.5 * float(change[~seam].mean()) + 0.05


def test_each_segment_of_latents_has_its_own_run(generator: Path) -> None:
    recording = torch.cat([band(3), torch.zeros(2, 7 * 44_100), band(3)], dim=1)
    how = {**SMALL, "steer": "latents", "generator": str(generator)}
    result = tagbox.separate(recording, 44_100, ["drums", "guitar"], **how)
    runs = result.manifest["runs"]
    assert {run["sources"][0] for run in runs} == {"drums", "guitar"}
    places = sorted({run["at"] for run in runs})
    assert len(runs) == 2 * len(places) and places[0] == 0
    assert len(places) < result.manifest["streamed"]["segments"], "silence is not steered"
    assert not result.sources["drums"][:, 5 * 44_100 : 8 * 44_100].any()
    total = sum(result.sources.values()) + result.residual
    torch.testing.assert_close(total, recording, atol=1e-5, rtol=0)


def test_transfer_goes_from_segment_to_segment(generator: Path) -> None:
    recording = band(7)
    how = {"generator": str(generator), "steps": 1, "segment": 3.0, "overlap": 0.25}
    result = tagbox.transfer(recording, 44_100, ["guitar"], **how)
    assert result.audio.shape == recording.shape
    places = [run["at"] for run in result.manifest["runs"]]
    assert len(places) >= 3 and places[0] == 0 and places == sorted(places)
    one = tagbox.transfer(recording[:, : 2 * 44_100], 44_100, ["guitar"], **how)
    assert len(one.manifest["runs"]) == 1
    # At one step the result is what the generator plays of the encoding, whichever segment it lies in.
    inside = slice(44_100, 44_100 + 22_050)
    scale = float(one.audio.abs().max())
    torch.testing.assert_close(result.audio[:, inside], one.audio[:, inside], atol=1e-3 * scale, rtol=0)


def test_the_published_codes_reconstruction_is_streamed_too(generator: Path) -> None:
    recording = audio.resample(band(8), 44_100, 48_000)
    result = tagbox.separate(
        recording,
        48_000,
        ["violin"],
        preset="published-code",
        generator=str(generator),
        taggers=("mtat/pons-musicnn",),
        steps=1,
        segment=3.0,
        overlap=0.25,
    )
    assert result.rate == 44_100
    assert result.residual.shape == result.sources["violin"].shape == (1, 8 * 44_100)
    assert result.manifest["streamed"]["segments"] >= 3


def test_ctrl_c_leaves_unsteered_segments_to_the_residual(generator: Path) -> None:
    steps = 0

    def press(step: object) -> None:
        nonlocal steps
        steps += 1
        if steps == 2:
            raise KeyboardInterrupt

    recording = band(9)
    how = {**SMALL, "steer": "latents", "generator": str(generator), "steps": 2}
    result = tagbox.separate(recording, 44_100, ["drums"], on_step=press, **how)
    assert result.stopped == "interrupted"
    assert result.sources["drums"][:, :44_100].any()
    assert not result.sources["drums"][:, 5 * 44_100 :].any()
    torch.testing.assert_close(result.residual + result.sources["drums"], recording, atol=1e-5, rtol=0)


# -- the survey


def test_excerpts_are_spread_and_never_overlap() -> None:
    for samples, stretch in ((1_000, 10), (1_005, 10), (10, 10), (7, 10), (123_457, 999)):
        found = excerpt_spans(samples, stretch, 40)
        assert found[-1][1] == samples or len(found) == 1
        assert all(0 <= first < last <= samples for first, last in found)
        assert all(before[1] <= after[0] for before, after in pairwise(found))
        assert len(found) == max(1, min(40, samples // stretch))


def test_half_of_the_excerpts_are_spread_and_half_are_where_the_tags_are_most_probable() -> None:
    scores = torch.zeros(2, 40)
    scores[0, 30:36] = 0.9
    scores[1, 3] = 0.5
    scores[1, 20:] = -2.0  # silence
    chosen = select_excerpts(scores, 10)
    assert len(set(chosen)) == 10 and chosen == sorted(chosen)
    assert all(any(8 * part <= i < 8 * part + 8 for i in chosen) for part in range(5))
    assert 3 in chosen
    assert len([i for i in chosen if 30 <= i < 36]) >= 3
    assert select_excerpts(scores, 10) == chosen
    assert select_excerpts(torch.zeros(1, 4), 10) == [0, 1, 2, 3]


@given(st.integers(1, 9_000))
@settings(max_examples=10, deadline=None)
def test_excerpts_are_predicted_whole_whatever_the_blocks(block: int) -> None:
    tagger = tagbox.load_tagger("pons-musicnn", "mtat")
    recording = noise(2, 20_000)
    spans = [(0, 5_000), (5_000, 10_000), (12_000, 17_000)]
    excerpt_tagger = ExcerptTagger(spans, 16_000, [tagger], "repeat")
    for at in range(0, 20_000, block):
        excerpt_tagger.push(recording[:, at : at + block])
    (probabilities,) = excerpt_tagger.probabilities()
    stretches = torch.stack([recording[:, a:b].mean(dim=0) for a, b in spans])
    with torch.no_grad():
        expected = torch.sigmoid(predict_logits([tagger], stretches)[0]).mean(dim=1)
    torch.testing.assert_close(probabilities, expected, atol=1e-5, rtol=1e-4)


def test_a_survey_finds_where_a_source_plays() -> None:
    guitar = audio.read(EXAMPLES / "band" / "guitar.flac", 0, 9).samples
    drums = audio.read(EXAMPLES / "band" / "drums.flac", 0, 9).samples
    task = prepare_task(["guitar", "drums"], Settings(segment=24.0), "cpu")
    known = survey_recording(TensorReader(torch.cat([guitar, drums], dim=1), 44_100), task)
    assert known.samples == 18 * 44_100
    assert known.peak == max(float(guitar.abs().max()), float(drums.abs().max()))
    assert known.scores[0, :3].mean() > known.scores[0, 3:].mean()
    assert known.scores[1, :3].mean() < known.scores[1, 3:].mean()


def test_a_long_silence_is_surveyed_and_streamed_as_silence() -> None:
    task = prepare_task(["guitar"], Settings(segment=4.0), "cpu")
    silence = TensorReader(torch.zeros(1, 9 * 16_000), 16_000)
    writer = TensorWriter(2, 1, silence.samples)
    report = streaming.separate_stream(silence, task, writer)
    assert not writer.values.any()
    assert report.runs == () and "silent" in str(report.level_note)


# -- from disk, to disk


@pytest.fixture(scope="module")
def long_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("long") / "band.wav"
    audio.write(path, band(8), 44_100, bits="float")
    return path


def test_a_file_gives_what_memory_gives(long_file: Path, tmp_path: Path) -> None:
    written = separate_file(long_file, tmp_path / "out", ["drums"], **SMALL)
    assert [path.name for path in written.paths] == ["drums.wav", "residual.wav"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "drums.wav",
        "residual.wav",
        "run.json",
    ]
    recording = audio.read(long_file)
    result = tagbox.separate(recording.samples, recording.rate, ["drums"], **SMALL)
    read = written.read()
    torch.testing.assert_close(read.sources["drums"], result.sources["drums"], atol=1e-5, rtol=0)
    total = read.sources["drums"] + read.residual
    scale = float(recording.samples.abs().max())
    torch.testing.assert_close(total, recording.samples, atol=1e-4 * scale, rtol=0)
    manifest = json.loads((tmp_path / "out" / "run.json").read_text())
    assert manifest["streamed"]["segments"] >= 3
    assert manifest["input"]["sha256"] == audio.fingerprint(long_file)
    assert set(manifest["probabilities"]) == {"mixture", "drums", "residual"}
    before = written.paths[0].read_bytes()
    with pytest.raises(TagBoxError, match="--force"):
        separate_file(long_file, tmp_path / "out", ["drums"], **SMALL)
    assert written.paths[0].read_bytes() == before


def test_a_short_file_gives_exactly_what_memory_gives(long_file: Path, tmp_path: Path) -> None:
    written = separate_file(long_file, tmp_path, ["drums"], start=1, duration=2, steps=1, components=4)
    excerpt = audio.read(long_file, 1, 2)
    result = tagbox.separate(excerpt.samples, excerpt.rate, ["drums"], steps=1, components=4)
    assert "streamed" not in written.manifest
    assert torch.equal(written.read().sources["drums"], result.sources["drums"])


def test_integers_are_never_clipped(tmp_path: Path) -> None:
    full = band(4) / band(4).abs().max()
    audio.write(tmp_path / "quiet.wav", 0.5 * full, 44_100, bits="float")
    audio.write(tmp_path / "loud.wav", 3 * full, 44_100, bits="float")
    kept = separate_file(tmp_path / "quiet.wav", tmp_path / "a", ["drums"], format="flac", bits="16", **SMALL)
    assert kept.note is None
    assert all(path.suffix == ".flac" for path in kept.paths)
    assert soundfile.info(kept.paths[0]).subtype == "PCM_16"
    total = sum(audio.read(path).samples for path in kept.paths)
    torch.testing.assert_close(total, 0.5 * full, atol=2 / 32768, rtol=0)
    # Two tracks that add up to 3 cannot both stay below 1.
    moved = separate_file(tmp_path / "loud.wav", tmp_path / "b", ["drums"], format="flac", **SMALL)
    assert moved.note is not None and "clip" in moved.note
    assert [path.name for path in moved.paths] == ["drums.wav", "residual.wav"]
    total = sum(audio.read(path).samples for path in moved.paths)
    torch.testing.assert_close(total, 3 * full, atol=1e-5, rtol=0)


def test_the_command_says_how_far_it_has_come(long_file: Path, tmp_path: Path) -> None:
    words = ["separate", str(long_file), "--tags", "drums", "-o", str(tmp_path), "--steps", "1"]
    words += ["--segment", "3", "--overlap", "0.25", "--format", "flac"]
    command = [sys.executable, "-m", "tagbox", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    count = json.loads((tmp_path / "band" / "run.json").read_text())["streamed"]["segments"]
    assert f"segment 1 of {count}" in done.stderr and f"segment {count} of {count}" in done.stderr
    assert str(tmp_path / "band" / "drums.flac") in done.stdout
    assert "predicts drums" in done.stdout


def test_nothing_is_left_when_it_is_stopped(long_file: Path, tmp_path: Path) -> None:
    def stop(done: int, count: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        separate_file(long_file, tmp_path / "a" / "b", ["drums"], on_segment=stop, **SMALL)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"format": "flac", "bits": "float"}, "integers only"),
        ({"format": "ogg"}, "choose one of wav, flac"),
        ({"bits": "12"}, "bit depth"),
        ({"segment": 1.0}, "segment of 1 s"),
        ({"segment": 4.0, "overlap": 3.0}, "cannot overlap"),
        ({"start": 99.0}, "start earlier"),
    ],
)
def test_mistakes_are_found_before_anything_is_done(
    long_file: Path, tmp_path: Path, how: dict[str, object], words: str
) -> None:
    with pytest.raises(TagBoxError, match=words):
        separate_file(long_file, tmp_path / "out", ["drums"], **{**SMALL, **how})
    assert not (tmp_path / "out").exists()


def test_a_value_that_is_not_finite_stops_the_stream(tmp_path: Path) -> None:
    samples = band(5).clone()
    samples[1, 4 * 44_100] = torch.nan
    soundfile.write(tmp_path / "nan.wav", samples.T.numpy(), 44_100, subtype="FLOAT")
    with pytest.raises(TagBoxError, match="not finite"):
        separate_file(tmp_path / "nan.wav", tmp_path / "out", ["drums"], **SMALL)
    assert not (tmp_path / "out").exists()


FORMATS = [("wav", "PCM_16"), ("flac", "PCM_24"), ("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III")]


@pytest.mark.parametrize(("suffix", "subtype"), FORMATS)
def test_spans_of_a_file_are_the_recording(suffix: str, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / f"band.{suffix}"
    soundfile.write(path, np.asarray(band(3).T), 44_100, subtype=subtype)
    whole = audio.read(path, 0.5).samples
    recording = FileReader.of(path, 0.5)
    assert recording.samples == whole.shape[1]
    spans = [(0, 10_000), (5_000, 20_000), (20_000, 20_500), (60_000, 70_000), (69_999, whole.shape[1])]
    for (first, last), part in zip(spans, recording.read_spans(spans), strict=True):
        torch.testing.assert_close(part, whole[:, first:last], atol=1e-6, rtol=0)


# -- memory

MEASURED = """
import resource, sys
from tagbox.api import separate_file
how = {"steps": 1, "components": 4, "factorisations": 1, "segment": 4.0}
separate_file(sys.argv[1], sys.argv[2], ["drums"], **how)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def repeated(path: Path, seconds: int) -> Path:
    """The band over and over, in stereo, at 44.1 kHz, 16 bits."""
    phrase = np.asarray(band(13).T)
    with soundfile.SoundFile(path, "w", 44_100, 2, "PCM_16") as file:
        left = seconds * 44_100
        while left > 0:
            file.write(phrase[:left])
            left -= len(phrase)
    return path


def peak_memory(path: Path, out: Path, program: str = MEASURED) -> float:
    """Bytes that a process of its own had at most."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program, str(path), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=7_000, env=environment)
    assert done.returncode == 0, done.stderr
    return float(done.stdout.split()[-1]) * (1 if sys.platform == "darwin" else 1024)


def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    short = peak_memory(repeated(tmp_path / "short.wav", 20), tmp_path / "a")
    long = peak_memory(repeated(tmp_path / "long.wav", 140), tmp_path / "b")
    # Two minutes more would take 42 MB, and each of the two results as much again. What a segment takes is
    # another question: it depends on the kernels that the machine's processor has.
    assert long < short + 40e6
    assert long < 3e9


@pytest.mark.slow
def test_an_hour_in_stereo_stays_below_3_gb(tmp_path: Path) -> None:
    program = MEASURED.replace(MEASURED.splitlines()[3], "how = {}")
    assert peak_memory(repeated(tmp_path / "hour.wav", 3_600), tmp_path / "out", program) < 3e9
    written = [soundfile.info(tmp_path / "out" / name) for name in ("drums.wav", "residual.wav")]
    assert all((info.frames, info.channels) == (3_600 * 44_100, 2) for info in written)
