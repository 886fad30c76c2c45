"""The lessons of the share network, on a bank of a few made-up phrases."""

from pathlib import Path

import numpy as np
import pytest
import torch

from scripts.share_training import studio
from scripts.share_training.drawing import Bank, draw
from scripts.share_training.lessons import SAMPLES, Teacher, mirrored, patch_energies
from scripts.share_training.objective import grouping, loss
from scripts.training_sounds.bank import PEAK, RATE, levelled, place, read_name, store
from scripts.training_sounds.bank import SAMPLES as PHRASE
from scripts.training_sounds.phrases import Range, scores
from scripts.training_sounds.sources import SOURCES
from tagbox.taggers.networks.share_unet import GRID, WINDOW, power
from tagbox.tags.vocabularies import RENDERED_CLASSES


@pytest.fixture(scope="module")
def bank(tmp_path_factory: pytest.TempPathFactory) -> Bank:
    folder = tmp_path_factory.mktemp("bank")
    time = np.arange(PHRASE) / RATE
    tones = [np.sin(2 * np.pi * hertz * time).astype(np.float32) for hertz in (110, 220, 330, 440)]
    store(np.stack(tones), place(folder, "one", "bass", "000"))
    store(np.stack(tones[::-1]), place(folder, "two", "bass", "001"))
    hits = (np.random.default_rng(0).normal(0, 1, (4, PHRASE)) * (time % 0.5 < 0.05)).astype(np.float32)
    store(hits, place(folder, "one", "drums", "free-hits"))
    made = Bank(folder)
    made.refresh()
    return made


def teacher(bank: Bank, seed: int = 0) -> Teacher:
    return Teacher(bank, np.random.default_rng(seed), torch.Generator().manual_seed(seed))


def test_names_say_the_class() -> None:
    assert read_name(place(Path("bank"), "one", "acoustic piano", "000")) == ("acoustic piano", "000")


def test_phrases_are_levelled_and_silence_stays() -> None:
    rows = levelled(np.stack([np.full(8, 0.1, np.float32), np.zeros(8, np.float32)]))
    assert abs(rows[0, 0] / 32767 - PEAK) < 1e-3
    assert not rows[1].any()


def test_instruments_of_a_class_share_their_first_phrases_alone() -> None:
    one, other = (scores("flute", Range(), 6, (seed,)) for seed in (1, 2))
    assert one[:4] == other[:4]
    assert one[4:] != other[4:]


def test_notes_stay_in_range_and_end_with_the_phrase() -> None:
    for notes in scores("violin", Range(55, 80), 12, (3,)):
        assert all(55 <= note.pitch <= 80 and note.start + note.length < 6 for note in notes)


def test_what_is_left_out_is_not_drawn(bank: Bank) -> None:
    fewer = Bank(bank.folder, ("two", "one/drums"))
    fewer.refresh()
    assert {kind: list(makers) for kind, makers in fewer.phrases.items()} == {"bass": ["one"]}


def test_free_phrases_are_never_fused(bank: Bank) -> None:
    assert set(bank.shared) == {"bass"}


def test_drawn_sources_belong_to_their_mixtures(bank: Bank) -> None:
    drawn = draw(bank, 5, 1000, np.random.default_rng(0))
    assert len(drawn.audio) == len(drawn.kinds) == len(drawn.mixtures) == len(drawn.speeds)
    assert set(drawn.mixtures) <= set(range(5))
    assert {RENDERED_CLASSES[kind] for kind in drawn.kinds} <= {"bass", "drums"}


def test_a_lesson_is_finite_and_names_what_was_drawn(bank: Bank) -> None:
    lesson = teacher(bank).made(2)
    assert lesson.heard.shape == (2, 13, GRID.rows, WINDOW // 4)
    assert lesson.energies.shape == (2, len(RENDERED_CLASSES), GRID.rows, WINDOW // 4)
    assert lesson.heard.isfinite().all() and lesson.energies.isfinite().all()
    named = {RENDERED_CLASSES[index] for index in lesson.energies.sum((0, 2, 3)).nonzero()[:, 0]}
    assert named and named <= {"bass", "drums"}


def test_a_lesson_can_be_made_again(bank: Bank) -> None:
    one, other = (teacher(bank, 3).made(2) for _ in range(2))
    assert torch.equal(one.heard, other.heard) and torch.equal(one.energies, other.energies)


def test_energies_are_those_of_the_grid() -> None:
    audio = torch.randn(2, 2, SAMPLES, generator=torch.Generator().manual_seed(0))
    plain = GRID.into_patches(GRID.into_bands(power(GRID.stft(audio)).sum(1)[..., :WINDOW]))
    assert torch.allclose(patch_energies(audio, GRID), plain, rtol=1e-4)


def test_mirroring_twice_changes_nothing() -> None:
    heard = torch.randn(1, 13, 4, 4)
    random = torch.Generator().manual_seed(0)
    sides = {float(mirrored(heard, random)[0, 9, 0, 0]) for _ in range(30)}
    assert sides == {float(heard[0, 9, 0, 0]), -float(heard[0, 9, 0, 0])}


def test_silence_stays_silent_in_the_studio() -> None:
    audio = torch.zeros(3, 4096)
    random = torch.Generator().manual_seed(0)
    chances = studio.Chances(gated=1, shaped=1, driven=1)
    made = studio.driven(studio.shaped(audio, random, chances), random, chances)
    assert not made.any()


def test_playing_at_its_own_speed_changes_nothing() -> None:
    audio = torch.randn(2, 101)
    assert torch.allclose(studio.played(audio, torch.ones(2), 100), audio[:, :100])


def test_the_loss_is_least_for_the_truth() -> None:
    energies = torch.rand(2, len(RENDERED_CLASSES), 4, 4, generator=torch.Generator().manual_seed(0))
    right, _ = loss(energies.log(), energies)
    wrong, _ = loss(torch.zeros_like(energies), energies)
    assert right.abs() < 1e-4 < wrong


def test_every_class_is_in_one_family() -> None:
    assert torch.equal(grouping().sum(0), torch.ones(len(RENDERED_CLASSES)))


def test_every_source_says_its_licence() -> None:
    assert all(one.licence and one.credit and one.where for one in SOURCES)
    makers = [maker for one in SOURCES for maker in one.makers]
    assert len(makers) == len(set(makers))
