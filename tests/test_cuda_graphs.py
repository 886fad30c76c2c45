"""Recorded steps: the same trajectory as without, and no recording where it would not be the same.

CUDA graphs need a GPU. A recorder that keeps a graph's rules stands in for it elsewhere: what it recorded
writes to the same places each time, and what was found in Python while it recorded stays as it was.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tagbox
from tagbox import audio, models
from tagbox.generators.quantisers import make_quantiser
from tagbox.kernels import cuda_graphs
from tagbox.kernels.cuda_graphs import StepResult
from tagbox.methods import objectives
from tagbox.methods.gates import Gates
from tagbox.methods.latents import LatentMask
from tagbox.methods.steerable import Steerable
from tagbox.methods.steering import LoopSettings, steer

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


class Graph:
    """Runs a step again into the places of its first run."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        self.replays = 0

    def __call__(self, step: cuda_graphs.StepFunction) -> tuple[StepResult, Callable[[], object]]:
        found = step()
        places = [each.grad for each in self.parameters]

        def replay() -> None:
            self.replays += 1
            for each in self.parameters:
                each.grad = None
            fresh = step()
            pairs = [(found.loss, fresh.loss), (found.memo, fresh.memo)]
            for place, value in [*pairs, *zip(found.heard, fresh.heard, strict=True)]:
                place.copy_(value)
            for each, place in zip(self.parameters, places, strict=True):
                assert place is not None and each.grad is not None
                place.copy_(each.grad)
                each.grad = place

        return found, replay


def duet(seconds: float) -> Tensor:
    return audio.read(EXAMPLES / "duet" / "mixture.flac", duration=seconds).samples.mean(dim=0)


def gates() -> Steerable:
    return Gates(duet(3), 44_100, 1, 6, 2048, 16_000, seed=0, iterations=10)


def latents(kind: str) -> Steerable:
    generator = models.load_generator("embedded")
    return LatentMask(generator, duet(1), 0, make_quantiser(kind, generator, 0, 0), (512,))


def history(steerable: Steerable, keep: str) -> tuple[Tensor, list[float], list[Tensor]]:
    tagger = tagbox.load_tagger("pons-musicnn", "mtat")
    wanted = torch.zeros(1, len(tagger.tags))
    wanted[0, tagger.tags.index("violin")] = 1
    settings = LoopSettings(steps=6, lr=0.2, keep=keep)
    memo, told = steer(steerable, [tagger], [wanted], objectives.find_objective("target-logits"), settings)
    return memo, list(told.losses), [step.probabilities[0] for step in told.steps]


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("make", [gates, lambda: latents("straight-through")], ids=["gates", "latents"])
def test_a_recorded_loop_goes_the_same_way(
    make: Callable[[], Steerable], keep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    memo, losses, heard = history(make(), keep)
    recorded = make()
    graph = Graph(list(recorded.parameters))
    monkeypatch.setattr(cuda_graphs, "RECORDERS", {"cpu": graph})
    again, same_losses, same_heard = history(recorded, keep)
    assert graph.replays == 1 + len(losses)
    assert len(set(losses)) == len(losses)
    assert same_losses == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(again, memo, rtol=1e-4, atol=1e-5)
    for one, other in zip(same_heard, heard, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_a_codebook_that_moves_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    _, losses, _ = history(latents("published"), "last")
    steerable = latents("published")
    graph = Graph(list(steerable.parameters))
    monkeypatch.setattr(cuda_graphs, "RECORDERS", {"cpu": graph})
    assert history(steerable, "last")[1] == pytest.approx(losses, rel=1e-5)
    assert graph.replays == 0


def _refuses(step: cuda_graphs.StepFunction) -> tuple[StepResult, Callable[[], object]]:
    step()
    raise RuntimeError("operation not permitted when stream is capturing")


def _goes_wrong(step: cuda_graphs.StepFunction) -> tuple[StepResult, Callable[[], object]]:
    found = step()
    return found, lambda: found.loss.add_(1)


@pytest.mark.parametrize("record", [_refuses, _goes_wrong])
def test_what_cannot_be_recorded_runs_as_it_is(
    record: cuda_graphs.Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, losses, _ = history(gates(), "last")
    monkeypatch.setattr(cuda_graphs, "RECORDERS", {"cpu": record})
    assert history(gates(), "last")[1] == losses


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cuda_graph_gives_what_the_step_gives() -> None:
    weights = torch.randn(64, 64, device="cuda")
    x = torch.randn(8, 64, device="cuda", requires_grad=True)

    def step() -> StepResult:
        loss = (x @ weights).square().mean()
        loss.backward()
        return StepResult(loss.detach(), (), x.detach().clone())

    recorded = cuda_graphs.replay_if_possible(step, [x], pure=True)
    assert recorded is not step
    with torch.no_grad():
        x.mul_(2)
    found, gradient = recorded(), x.grad.clone()
    x.grad = None
    torch.testing.assert_close(found.loss, step().loss)
    torch.testing.assert_close(gradient, x.grad)
