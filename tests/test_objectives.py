"""Objectives: the published one number for number, and what each of ours rewards."""

import pytest
import torch
from torch import Tensor

from tagbox.errors import TagBoxError
from tagbox.methods import objectives
from tagbox.methods.objectives import OBJECTIVES

TAGS = 50


def random_logits(heard: int, views: int = 3, windows: int = 2, taggers: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(heard, views, windows, TAGS, generator=generator) for _ in range(taggers)]


def target(*indices: int) -> Tensor:
    return torch.stack([torch.nn.functional.one_hot(torch.tensor(i), TAGS).float() for i in indices])


def test_cross_entropy_is_the_published_loss() -> None:
    logits, wanted = random_logits(1), target(7)
    # As the published code does it: a loss for each FFT size and tagger, windows averaged first.
    losses = [
        torch.nn.BCELoss()(torch.sigmoid(tagger[0, view]).mean(dim=0, keepdim=True), wanted)
        for view in range(3)
        for tagger in logits
    ]
    expected = sum(losses) / len(losses)
    value = OBJECTIVES["cross-entropy"].loss(logits, [wanted, wanted])
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(OBJECTIVES["cross-entropy-ascent"].loss(logits, [wanted, wanted]), -expected)


def test_cross_entropy_stays_finite_where_a_tagger_is_certainly_wrong() -> None:
    logits = [torch.full((1, 1, 1, TAGS), -500.0)]
    assert torch.isfinite(OBJECTIVES["cross-entropy"].loss(logits, [target(0)]))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_more_probable_target_tag_lowers_the_loss_except_in_ascent(name: str) -> None:
    heard = {"two-sided": 2, "joint": 2}.get(name, 1)
    quiet = random_logits(heard)
    loud = [logits.clone() for logits in quiet]
    for logits in loud:
        logits[0, :, :, 7] += 1
    wanted = [target(7)] * 2
    objective = objectives.find_objective(name)
    better = objective.loss(loud, wanted) < objective.loss(quiet, wanted)
    assert bool(better) == (name != "cross-entropy-ascent")


@pytest.mark.parametrize("name", ["target-tags", "target-logits"])
def test_other_tags_are_left_free(name: str) -> None:
    quiet = random_logits(1)
    loud = [logits.clone() for logits in quiet]
    for logits in loud:
        logits[..., 8] += 5
    wanted = [target(7)] * 2
    objective = objectives.find_objective(name)
    torch.testing.assert_close(objective.loss(loud, wanted), objective.loss(quiet, wanted))


@pytest.mark.parametrize("name", ["two-sided", "joint"])
def test_a_tag_as_probable_everywhere_gains_nothing(name: str) -> None:
    logits, wanted = random_logits(3 if name == "joint" else 4), [target(7, 9)] * 2
    louder = [tagger + 3 for tagger in logits]
    objective = objectives.find_objective(name)
    torch.testing.assert_close(objective.loss(louder, wanted), objective.loss(logits, wanted))


def test_two_sided_compares_each_source_with_its_own_remainder() -> None:
    logits = [torch.zeros(4, 1, 1, TAGS)]
    logits[0][2, ..., 7] = 2  # the first source's remainder still has its tag
    logits[0][3, ..., 7] = 5  # that the second one's has it as well is no fault
    value = OBJECTIVES["two-sided"].loss(logits, [target(7, 9)])
    torch.testing.assert_close(value, torch.tensor(1.0))


def test_joint_is_the_cross_entropy_of_each_tag_over_the_sources() -> None:
    logits = [torch.zeros(3, 1, 1, TAGS)]
    logits[0][0, ..., 7] = 2
    value = OBJECTIVES["joint"].loss(logits, [target(7, 9)])
    first = torch.tensor([2.0, 0, 0]).log_softmax(0)[0]
    second = torch.zeros(3).log_softmax(0)[1]
    torch.testing.assert_close(value, -(first + second) / 2)


def test_signals_add_up_to_the_mixture() -> None:
    generator = torch.Generator().manual_seed(0)
    mixture = torch.randn(100, generator=generator)
    estimates = torch.randn(2, 3, 100, generator=generator)
    joint = OBJECTIVES["joint"].signals(estimates, mixture)
    torch.testing.assert_close(joint.sum(dim=0), mixture.expand(3, 100))
    two_sided = OBJECTIVES["two-sided"].signals(estimates, mixture)
    torch.testing.assert_close(two_sided[:2] + two_sided[2:], mixture.expand(2, 3, 100))


def test_an_unknown_objective_names_the_known_ones() -> None:
    with pytest.raises(TagBoxError, match=r"'entropy'.*cross-entropy.*joint"):
        objectives.find_objective("entropy")
