"""A step recorded once and played again: a GPU runs most kernels of a step faster than Python launches them.

What is recorded (a CUDA graph) reads and writes the same memory every time. So it takes a step that depends
on the parameters alone, moves nothing but their gradients, and never waits for an answer in between. Where
that does not hold, or the recording does not give what the step itself gave, the step runs as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

WARM_UP_STEPS = 3
"""Steps before the recording: libraries choose their kernels and take their memory in the first ones."""

TOLERANCE = 1e-2
"""Of the first replay, relative: sums by atomics come in another order each time, and no more than that."""


@dataclass(frozen=True, eq=False)
class StepResult:
    """What one way there and back found; the gradients are with the parameters.

    Attributes:
        loss: of the objective, a number.
        probabilities: for each tagger the probabilities (sources, tags).
        snapshot: what renders the result of this step.
    """

    loss: Tensor
    probabilities: tuple[Tensor, ...]
    snapshot: Tensor


StepFunction = Callable[[], StepResult]
Capture = Callable[[StepFunction], tuple[StepResult, Callable[[], object]]]
"""A step to where its results will always be, and what runs it again."""


def capture(step: StepFunction) -> tuple[StepResult, Callable[[], object]]:
    """Record `step` on the present GPU."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    return found, graph.replay


def _on_side_stream(step: StepFunction) -> StepResult:
    """Run `step` as recordings have to be prepared: on a stream of its own."""
    if not torch.cuda.is_available():
        return step()
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        found = step()
    torch.cuda.current_stream().wait_stream(side)
    return found


CAPTURE_BY_DEVICE: Mapping[str, Capture] = {"cuda": capture}
"""By the type of device; others have nothing to gain."""


def replay_if_possible(step: StepFunction, parameters: Sequence[Tensor], pure: bool) -> StepFunction:
    """`step`, recorded where that can be and gives the same.

    Args:
        step: fills the gradients of `parameters`, which have none before.
        pure: whether it depends on the parameters alone.
    """
    record = CAPTURE_BY_DEVICE.get(parameters[0].device.type)
    if record is None or not pure:
        return step
    for _ in range(WARM_UP_STEPS):
        _clear_gradients(parameters)
        expected = _on_side_stream(step)
    wanted = [expected.loss.clone(), *_gradients(parameters)]
    _clear_gradients(parameters)
    try:
        again = _recorded(step, parameters, record)
        same = _all_close([again().loss, *_gradients(parameters)], wanted)
    except RuntimeError:
        # Some operation waits for an answer, or keeps what it needs on the CPU.
        same = False
    _clear_gradients(parameters)
    return again if same else step


def _recorded(step: StepFunction, parameters: Sequence[Tensor], record: Capture) -> StepFunction:
    found, replay = record(step)
    places = [each.grad for each in parameters]

    def again() -> StepResult:
        for each, place in zip(parameters, places, strict=True):
            each.grad = place
        replay()
        # The next replay writes over all of it.
        return StepResult(
            found.loss.clone(), tuple(each.clone() for each in found.probabilities), found.snapshot.clone()
        )

    return again


def _gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(each) if each.grad is None else each.grad.clone() for each in parameters]


def _clear_gradients(parameters: Sequence[Tensor]) -> None:
    for each in parameters:
        each.grad = None


def _all_close(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    return all(
        bool((one - other).norm() <= TOLERANCE * other.norm() + 1e-12)
        for one, other in zip(found, wanted, strict=True)
    )
