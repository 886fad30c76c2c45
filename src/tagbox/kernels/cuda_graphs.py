"""Capture an optimisation step as a CUDA graph and replay it: the same numbers, without waiting for Python.

A GPU runs most kernels of a step faster than Python launches them. A captured graph reads and writes the same
memory every time. So it suits a step that depends on the parameters alone, changes nothing but their
gradients, and never waits for a result in between. Where that does not hold, or where the first replay does
not give what the step itself gave, the step runs uncaptured.

Plain twin: the step itself. Parity test: tests/test_cuda_graphs.py.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

WARM_UP_STEPS = 3
"""Steps before the capture: libraries choose their kernels and allocate their memory in the first ones."""

REPLAY_TOLERANCE = 1e-2
"""Relative deviation of the first replay. Sums by atomic operations come in another order each time; no other
difference is expected."""


@dataclass(frozen=True, eq=False)
class StepResult:
    """The result of one forward and backward pass; the gradients are left with the parameters.

    Attributes:
        loss: a number.
        probabilities: for each tagger the probabilities (sources, tags).
        snapshot: what renders the result of this step.
    """

    loss: Tensor
    probabilities: tuple[Tensor, ...]
    snapshot: Tensor


StepFunction = Callable[[], StepResult]
Capture = Callable[[StepFunction], tuple[StepResult, Callable[[], object]]]
"""A step to the tensors that will always hold its results, and a function that runs it again."""


def capture(step: StepFunction) -> tuple[StepResult, Callable[[], object]]:
    """Capture `step` on the current GPU."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = step()
    return result, graph.replay


def _on_side_stream(step: StepFunction) -> StepResult:
    """Run `step` on a stream of its own, as CUDA requires before a capture."""
    if not torch.cuda.is_available():
        return step()
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        result = step()
    torch.cuda.current_stream().wait_stream(side)
    return result


CAPTURE_BY_DEVICE: Mapping[str, Capture] = {"cuda": capture}
"""By the type of device; others have nothing to gain."""


@dataclass(frozen=True, eq=False)
class _Replay:
    """A captured step, as a step function.

    Attributes:
        replay: runs the step again.
        result: the tensors that `replay` writes its results to.
        gradients: the tensors that `replay` writes the gradients of `parameters` to.
    """

    replay: Callable[[], object]
    result: StepResult
    parameters: tuple[Tensor, ...]
    gradients: tuple[Tensor | None, ...]

    def __call__(self) -> StepResult:
        """Run the captured step at the parameters' present values."""
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            parameter.grad = gradient
        self.replay()
        # The next replay overwrites all of it.
        return StepResult(
            self.result.loss.clone(),
            tuple(each.clone() for each in self.result.probabilities),
            self.result.snapshot.clone(),
        )


def replay_if_possible(step: StepFunction, parameters: Sequence[Tensor], replayable: bool) -> StepFunction:
    """Return a captured `step` where the device supports that and the replay gives the same, else `step`.

    Args:
        step: fills the gradients of `parameters`, which have none before.
        replayable: whether the step depends on the parameters alone.
    """
    capture_step = CAPTURE_BY_DEVICE.get(parameters[0].device.type)
    if capture_step is None or not replayable:
        return step
    for _ in range(WARM_UP_STEPS):
        _clear_gradients(parameters)
        expected = _on_side_stream(step)
    expected_values = [expected.loss.clone(), *_gradients(parameters)]
    _clear_gradients(parameters)
    try:
        result, replay = capture_step(step)
        captured = _Replay(replay, result, tuple(parameters), tuple(each.grad for each in parameters))
        same = _all_close([captured().loss, *_gradients(parameters)], expected_values)
    except RuntimeError:
        # Some operation waits for a result, or keeps what it needs on the CPU.
        same = False
    _clear_gradients(parameters)
    return captured if same else step


def _gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(each) if each.grad is None else each.grad.clone() for each in parameters]


def _clear_gradients(parameters: Sequence[Tensor]) -> None:
    for parameter in parameters:
        parameter.grad = None


def _all_close(values: Sequence[Tensor], expected_values: Sequence[Tensor]) -> bool:
    return all(
        bool((value - expected).norm() <= REPLAY_TOLERANCE * expected.norm() + 1e-12)
        for value, expected in zip(values, expected_values, strict=True)
    )
