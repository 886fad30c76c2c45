"""A training of the share network that is stopped and gone on with."""

from pathlib import Path

import torch

from scripts.share_training.lessons import Lesson
from scripts.train_share_network import LAST, begun, learning_rate
from tagbox.taggers.networks.share_unet import FEATURES, GRID
from tagbox.tags.vocabularies import RENDERED_CLASSES


def lesson(seed: int) -> Lesson:
    random = torch.Generator().manual_seed(seed)
    heard = torch.randn(2, FEATURES, GRID.rows, 8, generator=random)
    return Lesson(heard, torch.rand(2, len(RENDERED_CLASSES), GRID.rows, 8, generator=random))


def test_a_training_goes_on_where_it_was(tmp_path: Path) -> None:
    device = torch.device("cpu")
    one = begun(tmp_path / "run.pt", device, 1e-3, 0.0, 0)
    one.learn(lesson(0))
    one.save(tmp_path / "run.pt")
    other = begun(tmp_path / "run.pt", device, 1e-3, 0.0, 5)
    assert other.progress == one.progress
    assert one.numbers.random() == other.numbers.random()
    for key, value in one.average.items():
        assert torch.equal(value, other.average[key])


def test_the_learning_rate_rises_and_falls() -> None:
    assert learning_rate(1.0, 0, 0.0) < 0.01
    assert learning_rate(1.0, 10_000, 0.0) == 1.0
    assert abs(learning_rate(1.0, 10_000, 1.0) - LAST) < 1e-9
