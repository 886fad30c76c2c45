"""Captured steps: the same trajectory as without a capture, and no capture where it would not be the same.

CUDA graphs need a GPU. Elsewhere a stand-in that follows a graph's rules takes their place: what it captured
writes to the same tensors each time, and what Python computed during the capture does not change afterwards.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

import tagbox
from benchmarks.golden import recipe_weights
from tagbox import audio
from tagbox.generators import pretrained
from tagbox.generators.quantisers import make_quantiser
from tagbox.generators.vqvae import VQVAEConfig
from tagbox.kernels import cuda_graphs
from tagbox.kernels.cuda_graphs import StepResult
from tagbox.methods.components import decompose
from tagbox.methods.gates import Gates
from tagbox.methods.latents import LatentMask
from tagbox.methods.steerable import Steerable
from tagbox.methods.steering import steer
from tagbox.settings import Settings

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


class Graph:
    """Runs a step again, and writes its results to the tensors of its first run."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        self.replays = 0

    def __call__(self, step: cuda_graphs.StepFunction) -> tuple[StepResult, Callable[[], object]]:
        captured = step()
        gradients = [parameter.grad for parameter in self.parameters]

        def replay() -> None:
            self.replays += 1
            for parameter in self.parameters:
                parameter.grad = None
            fresh = step()
            captured.loss.copy_(fresh.loss)
            captured.snapshot.copy_(fresh.snapshot)
            for place, value in zip(captured.probabilities, fresh.probabilities, strict=True):
                place.copy_(value)
            for parameter, place in zip(self.parameters, gradients, strict=True):
                assert place is not None and parameter.grad is not None
                place.copy_(parameter.grad)
                parameter.grad = place

        return captured, replay


Trajectory = tuple[Tensor, list[float], list[Tensor]]
"""The snapshot, the losses, and the probabilities of each step."""


class Loop:
    """Steers gates or latents towards "violin"; models are loaded once."""

    def __init__(self) -> None:
        self.tagger = tagbox.load_tagger("pons-musicnn", "mtat")
        config = VQVAEConfig(widths=(8,), depths=(2,), halvings=(3,), dimensions=8, entries=16)
        weights = recipe_weights(pretrained.expected_shapes(config))
        self.generator = pretrained.from_state_dict("small", weights, config, "cpu", "recipe", "MIT")
        self.mono = audio.read(EXAMPLES / "duet" / "mixture.flac", duration=1).samples.mean(dim=0)
        self.components = decompose(self.mono, 44_100, 4, 2, 2048, 16_000, seed=0, iterations=10)

    def steerable(self, kind: str) -> Steerable:
        """Make gates, or latents with the quantiser called `kind`."""
        if kind == "gates":
            return Gates(self.components, 1)
        quantiser = make_quantiser(kind, self.generator, 0, 0)
        return LatentMask(self.generator, self.mono, 0, quantiser, (512,))

    def run(self, steerable: Steerable, keep: str = "last") -> Trajectory:
        target = torch.zeros(1, len(self.tagger.tags))
        target[0, self.tagger.tags.index("violin")] = 1
        settings = Settings(objective="target-logits", steps=5, lr=0.2, keep=keep)
        snapshot, history = steer(steerable, [self.tagger], [target], settings)
        return snapshot, list(history.losses), [step.probabilities[0] for step in history.steps]

    @cache  # noqa: B019
    def plain(self, kind: str, keep: str = "last") -> Trajectory:
        """Run without a capture."""
        return self.run(self.steerable(kind), keep)


@pytest.fixture(scope="module")
def loop() -> Loop:
    return Loop()


@pytest.mark.parametrize("keep", ["best", "last"])
@pytest.mark.parametrize("kind", ["gates", "straight-through"])
def test_a_captured_loop_takes_the_same_steps(
    loop: Loop, kind: str, keep: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, losses, probabilities = loop.plain(kind, keep)
    captured = loop.steerable(kind)
    graph = Graph(list(captured.parameters))
    monkeypatch.setattr(cuda_graphs, "CAPTURE_BY_DEVICE", {"cpu": graph})
    same_snapshot, same_losses, same_probabilities = loop.run(captured, keep)
    assert graph.replays == 1 + len(losses)
    assert len(set(losses)) == len(losses)
    assert same_losses == pytest.approx(losses, rel=1e-5)
    torch.testing.assert_close(same_snapshot, snapshot, rtol=1e-4, atol=1e-5)
    for ours, plain in zip(same_probabilities, probabilities, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)


def test_a_codebook_that_moves_is_not_captured(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    _, losses, _ = loop.plain("published")
    steerable = loop.steerable("published")
    graph = Graph(list(steerable.parameters))
    monkeypatch.setattr(cuda_graphs, "CAPTURE_BY_DEVICE", {"cpu": graph})
    assert loop.run(steerable)[1] == pytest.approx(losses, rel=1e-5)
    assert graph.replays == 0


def _refuse(step: cuda_graphs.StepFunction) -> tuple[StepResult, Callable[[], object]]:
    step()
    raise RuntimeError("operation not permitted when stream is capturing")


def _replay_wrongly(step: cuda_graphs.StepFunction) -> tuple[StepResult, Callable[[], object]]:
    result = step()
    return result, lambda: result.loss.add_(1)


@pytest.mark.parametrize("capture", [_refuse, _replay_wrongly])
def test_what_cannot_be_captured_runs_as_it_is(
    loop: Loop, capture: cuda_graphs.Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, losses, _ = loop.plain("gates")
    monkeypatch.setattr(cuda_graphs, "CAPTURE_BY_DEVICE", {"cpu": capture})
    assert loop.run(loop.steerable("gates"))[1] == losses


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_cuda_graph_gives_what_the_step_gives() -> None:
    weights = torch.randn(64, 64, device="cuda")
    x = torch.randn(8, 64, device="cuda", requires_grad=True)

    def step() -> StepResult:
        loss = (x @ weights).square().mean()
        loss.backward()
        return StepResult(loss.detach(), (), x.detach().clone())

    captured = cuda_graphs.replay_if_possible(step, [x], replayable=True)
    assert captured is not step
    with torch.no_grad():
        x.mul_(2)
    result, gradient = captured(), x.grad.clone()
    x.grad = None
    torch.testing.assert_close(result.loss, step().loss)
    torch.testing.assert_close(gradient, x.grad)
