"""Sessions: a recording is separated, corrected, and corrections are undone."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tagbox
from tagbox import audio, corrections
from tagbox.api import load_task
from tagbox.corrections import Absent, Correction, Is, IsNot, MoveComponent, Region
from tagbox.errors import TagBoxError
from tagbox.methods.analysis import Analysis, Edit, Span, edited, moved, span_log_odds
from tagbox.methods.lbfgs import minimise
from tagbox.methods.lessons import Heard, Mark, Points, learn, learnt_log_odds, memberships
from tagbox.methods.registry import make_separator
from tagbox.methods.separators import Correctable
from tagbox.pipeline.deciding import AnalysisStore, can_correct
from tagbox.projects import Project

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SETTINGS = {"steer": "shares+gates", "factorisations": 1, "components": 8}
"""Quick ones, of every kind of evidence."""


def excerpt(seconds: float) -> audio.Audio:
    return audio.read(EXAMPLES / "duet/mixture.flac", 1.0, seconds)


@pytest.fixture(scope="module")
def short() -> Project:
    recording = excerpt(3.5)
    project = tagbox.open(recording.samples, recording.rate, **SETTINGS)
    project.separate(["violin", "piano"])
    return project


@pytest.fixture
def project(short: Project) -> Project:
    """The same session without its corrections."""
    while short.history:
        short.undo()
    return short


def tracks(result: tagbox.Separation) -> Tensor:
    return torch.stack([*result.sources.values(), result.residual])


# Corrections as data


ONE_OF_EACH: tuple[Correction, ...] = (
    Is("violin", 1.0, 2.0),
    IsNot("violin", 0.5, 1.5, strength=2.0),
    Absent("piano", 2.5),
    Region("residual", 0.0, 1.0, 500.0, 900.0, 0.5),
    MoveComponent("piano", 2, alike=True),
)


def test_corrections_survive_json() -> None:
    written = json.loads(json.dumps(corrections.to_json(ONE_OF_EACH)))
    assert corrections.from_json(written) == ONE_OF_EACH


@pytest.mark.parametrize(
    "document",
    [None, {"kind": "is"}, [{"kind": "louder"}], [{"kind": "is", "source": "violin"}], ["is"]],
)
def test_what_is_no_correction_is_refused(document: object) -> None:
    with pytest.raises(TagBoxError):
        corrections.from_json(document)


@pytest.mark.parametrize(
    "wrong",
    [
        Is("cello", 0, 1),
        Is("residual", 0, 1),
        Is("violin", 2, 1),
        Is("violin", -1, 1),
        Is("violin", 9, 10),
        Is("violin", 0, 1, strength=0),
        Is("violin", 0, float("nan")),
        Is("violin", "0", 1),  # type: ignore[arg-type]
        Absent("violin", 5.0),
        Region("violin", 0, 1, 900, 100),
        Region("violin", 0, 1, strength=1.5),
        MoveComponent("violin", 8),
        MoveComponent("violin", 0, segment=1),
    ],
)
def test_a_correction_that_cannot_be_made_changes_nothing(project: Project, wrong: Correction) -> None:
    with pytest.raises(TagBoxError):
        project.note(Is("violin", 0, 1), wrong)
    assert project.history == ()


# Sessions


def test_a_session_separates_as_the_function_does(project: Project) -> None:
    recording = excerpt(3.5)
    alone = tagbox.separate(recording.samples, recording.rate, ["violin", "piano"], **SETTINGS)
    assert torch.equal(tracks(alone), tracks(project.result))
    project.note(Is("violin", 1, 2))
    assert torch.equal(tracks(project.undo()), tracks(alone))


def test_corrections_keep_the_sum_and_are_written(project: Project, tmp_path: Path) -> None:
    recording = excerpt(3.5).samples
    before = tracks(project.result)
    for correction in ONE_OF_EACH:
        after = tracks(project.correct(correction))
        assert not torch.equal(after, before)
        assert torch.equal(after[-1], recording - after[:-1].sum(dim=0))
        before = after
    project.save(tmp_path)
    written = json.loads((tmp_path / "run.json").read_text())["corrections"]
    assert corrections.from_json(written) == ONE_OF_EACH == project.history
    again = tagbox.open(recording, 44100, **SETTINGS).separate(
        ["violin", "piano"], corrections.from_json(written)
    )
    assert torch.equal(tracks(again), before)


def test_other_tags_take_over_what_was_found_out() -> None:
    recording = excerpt(1.5)
    project = tagbox.open(recording.samples, recording.rate, **SETTINGS)
    project.separate(["violin"])
    later = tracks(project.separate(["piano"]))
    assert torch.equal(
        later, tracks(tagbox.separate(recording.samples, recording.rate, ["piano"], **SETTINGS))
    )
    project.correct(Is("piano", 0, 1))
    assert torch.equal(tracks(project.undo()), later)


def test_undo_and_redo_give_the_same_samples(project: Project) -> None:
    first = tracks(project.correct(Is("violin", 1, 2)))
    second = tracks(project.correct(IsNot("piano", 2, 3)))
    assert torch.equal(tracks(project.undo()), first)
    assert project.undone == (IsNot("piano", 2, 3),)
    assert torch.equal(tracks(project.redo()), second)
    with pytest.raises(TagBoxError):
        project.redo()
    project.undo()
    project.correct(Absent("piano"))
    assert project.undone == ()


def test_a_mark_moves_what_it_says(project: Project) -> None:
    before = project.result
    span = slice(44100, 88200)

    def energy(result: tagbox.Separation) -> float:
        return float(result.sources["violin"][:, span].square().sum())

    more = energy(project.correct(Is("violin", 1, 2)))
    project.undo()
    less = energy(project.correct(IsNot("violin", 1, 2)))
    assert less < energy(before) < more


def test_an_absent_source_is_silent_to_the_last_sample(project: Project) -> None:
    result = project.correct(Absent("violin", 1.0, 2.0))
    assert not result.sources["violin"][:, 44100:88200].any()
    assert result.sources["violin"][:, 2 * 50000 :].any()
    assert not project.correct(Absent("piano")).sources["piano"].any()


def test_a_whole_region_goes_to_its_source(project: Project) -> None:
    result = project.correct(Region("piano", 0, 3.5))
    assert not result.sources["violin"].any()
    # What rounding of the STFT and its inverse leaves: float32, and windows that add up to one.
    assert float(result.residual.abs().max()) < 1e-5


def test_a_component_moves(project: Project) -> None:
    listed = project.components("violin")
    assert [each.shares["violin"] for each in listed] == sorted(
        (each.shares["violin"] for each in listed), reverse=True
    )
    first = listed[0].number
    project.correct(MoveComponent("residual", first))
    now = next(each for each in project.components() if each.number == first)
    assert now.shares == {"violin": 0.0, "piano": 0.0, "residual": 1.0}


@pytest.mark.parametrize("steer", ["gates", "shares"])
def test_components_and_shares_alone_can_be_corrected(steer: str) -> None:
    recording = excerpt(2.5)
    project = tagbox.open(recording.samples, recording.rate, **{**SETTINGS, "steer": steer})
    before = tracks(project.separate(["violin"]))
    after = tracks(project.correct(Is("violin", 0.5, 1.5), Absent("violin", 2.0)))
    assert not torch.equal(after, before)
    assert torch.equal(after[-1], recording.samples - after[0])
    assert not after[0][:, 88200:].any()


@pytest.mark.parametrize("fft", [1500, 8192])
def test_any_fft_size_can_be_corrected(fft: int) -> None:
    recording = excerpt(1.0)
    project = tagbox.open(recording.samples, recording.rate, fft=(fft,), **SETTINGS)
    before = tracks(project.separate(["violin"]))
    assert not torch.equal(tracks(project.correct(Is("violin", 0.25, 0.5))), before)


def test_what_can_be_corrected_is_known_before_models_are_loaded() -> None:
    task = load_task("violin", **SETTINGS)
    for steer in ("gates", "shares", "shares+gates", "latents"):
        for changes in ({}, {"steps": 2}, {"begin": "even"}):
            settings = replace(task.settings, steer=steer, **changes)
            separator = make_separator(replace(task, settings=settings))
            assert can_correct(settings) == isinstance(separator, Correctable)


def test_what_cannot_be_corrected_is_refused() -> None:
    recording = excerpt(1.0)
    project = tagbox.open(recording.samples, recording.rate, preset="steered", steps=1)
    with pytest.raises(TagBoxError):
        project.correct(Is("violin", 0, 1))
    with pytest.raises(TagBoxError):
        project.separate(["violin"])


def test_a_long_recording_teaches_across_segments_and_gives_excerpts() -> None:
    recording = excerpt(8.0)
    samples = audio.resample(recording.samples, recording.rate, 48000)
    project = tagbox.open(samples, 48000, segment=4, overlap=0.5, **SETTINGS)
    before = tracks(project.separate(["violin"]))
    project.note(Is("violin", 0.5, 1.5))
    part = project.excerpt(5.0, 7.0)
    after = tracks(project.result)
    assert torch.equal(torch.stack(list(part.values())), after[..., 5 * 48000 : 7 * 48000])
    # What was said of the first segment changes the last one.
    assert float((after - before)[0, :, 7 * 48000 :].abs().max()) > 1e-4
    # The mixture, too, is crossfaded: half a unit in the last place of its two parts.
    assert torch.allclose(after.sum(dim=0), samples, atol=1e-6)


def test_an_excerpt_of_all_segments_is_computed_once(project: Project) -> None:
    project.note(Is("violin", 1, 2))
    part = project.excerpt(1.0, 2.0)
    assert part["violin"].untyped_storage().data_ptr() == (
        project.result.sources["violin"].untyped_storage().data_ptr()
    )


def test_silence_can_be_corrected() -> None:
    project = tagbox.open(torch.zeros(1, 44100), 44100, **SETTINGS)
    project.separate(["violin"])
    assert not project.correct(Is("violin", 0, 1)).sources["violin"].any()


# Parts


def test_a_minimum_is_found() -> None:
    scales = torch.tensor([1.0, 10.0, 100.0])
    goal = torch.tensor([3.0, -2.0, 0.5])
    found = minimise(lambda x: (scales * (x - goal).square()).sum(), torch.zeros(3), 30)
    assert torch.allclose(found, goal, atol=1e-3)
    assert torch.equal(minimise(lambda x: x.square().sum(), torch.zeros(2), 5), torch.zeros(2))


def test_analyses_that_memory_has_no_room_for_come_back_from_files() -> None:
    recording = excerpt(2.5)
    project = tagbox.open(recording.samples, recording.rate, **SETTINGS)
    project.separate(["violin"])
    assert project._analysed is not None
    kept = project._analysed.analyses[0]
    store = AnalysisStore(memory_bytes=0)
    store[0], store[1] = kept, replace(kept, answers=None)
    assert 0 in store and 2 not in store
    back = store[0]
    assert back.answers is not None and kept.answers is not None
    assert torch.equal(back.answers, kept.answers)
    assert torch.equal(back.dictionary, kept.dictionary)
    assert store[1].answers is None
    store.close()
    assert 0 not in store


@pytest.mark.parametrize("fft", [256, 1500, 2048, 4096, 8192])
def test_components_are_in_the_patches_in_which_they_sound(fft: int) -> None:
    # 20 patches of the share network's grid, of 4 frames of 1024 samples each. One component has the lower
    # half of the spectrum; the other has the upper half, and begins with patch 10.
    hop_length, bins = fft // 2, fft // 2 + 1
    begins = torch.arange(20 * 4096 // hop_length + 1) * hop_length
    dictionary = torch.stack([torch.arange(bins) < bins // 2, torch.arange(bins) >= bins // 2], dim=1).float()
    activations = torch.stack([begins >= 0, begins >= 10 * 4096]).float()
    analysis = Analysis(factors=((dictionary, activations),), answers=torch.zeros(1, 1, 20))
    parts = memberships(analysis, 20)
    assert parts[0, 0].tolist() == [1] * 20
    assert parts[1, -1].tolist() == [0] * 10 + [1] * 10


def test_edits_move_masks_and_keep_their_sum() -> None:
    masks = torch.tensor([0.5, 0.25, 0.25])[:, None, None].expand(3, 5, 6).clone()
    take = Edit(0, 0.0, 1.0, 0.0, float("inf"), 1.0, takes=True)
    assert torch.allclose(moved(masks, take)[:, 0, 0], torch.tensor([0.0, 0.5, 0.5]))
    only = torch.tensor([1.0, 0.0, 0.0])[:, None]
    assert torch.equal(moved(only, take)[:, 0], torch.tensor([0.0, 0.0, 1.0]))
    give = Edit(1, 1.0, 2.0, 2.0, 2.0, 0.5)
    changed = edited(masks, (give,), rate=8, hop_length=4)
    assert torch.allclose(changed.sum(dim=0), torch.ones(5, 6))
    assert torch.allclose(changed[:, 2, 3], torch.tensor([0.25, 0.625, 0.125]))
    assert torch.equal(changed[:, 0], masks[:, 0]) and torch.equal(changed[:, :, 0], masks[:, :, 0])


def test_a_span_moves_log_odds_inside_only() -> None:
    moved_by = span_log_odds([Span(1, 1.0, 2.0, 0.5)], torch.tensor([0.5, 1.0, 2.0]), 2)
    assert moved_by.tolist() == [[0, 0, 0], [0, 0.5, 0], [0, 0, 0]]


def test_a_mark_teaches_what_sounds_there_more_than_elsewhere() -> None:
    # Two kinds of patches with features of their own. The first kind sounds everywhere, the second in the
    # marked second only; the estimate has half of both.
    times = torch.arange(40, dtype=torch.float64) / 10
    kinds = torch.eye(2)
    first = Points(times, times * 0, torch.ones(40), torch.zeros(2, 40), kinds[0][:, None].expand(2, 40))
    inside = (times >= 1) & (times < 2)
    second = Points(
        times[inside], times[inside] * 0, torch.ones(10), torch.zeros(2, 10), kinds[1][:, None].expand(2, 10)
    )
    points = Points(
        *(torch.cat([a, b], dim=-1) for a, b in zip(vars(first).values(), vars(second).values(), strict=True))
    )
    heard = [Heard(Mark(0, 1.0, 2.0, False, 1.0), torch.full((50,), 0.5))]
    learnt = learnt_log_odds(learn(points, heard, ()), kinds)
    assert learnt[1].tolist() == [0, 0]
    assert float(learnt[0, 1]) < -0.5 and abs(float(learnt[0, 0])) < abs(float(learnt[0, 1])) / 2
    assert torch.equal(learn(points, (), ()), torch.zeros(1, 2))
