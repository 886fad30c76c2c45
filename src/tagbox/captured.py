"""A step recorded once and played again: a GPU runs most kernels of a step faster than Python launches them.

What is recorded (a CUDA graph) reads and writes the same memory every time. So it takes a step that depends
on the parameters alone, moves nothing but their gradients, and never waits for an answer in between. Where
that does not hold, or the recording does not give what the step itself gave, the step runs as it is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

WARMING = 3
"""Steps before the recording: libraries choose their kernels and take their memory in the first ones."""

TOLERANCE = 1e-2
"""Of the first replay, relative: sums by atomics come in another order each time, and no more than that."""


@dataclass(frozen=True, eq=False)
class Pass:
    """What one way there and back found; the gradients are with the parameters.

    Attributes:
        loss: of the objective, a number.
        heard: for each tagger the probabilities (sources, tags).
        memo: what renders the result of this step.
    """

    loss: Tensor
    heard: tuple[Tensor, ...]
    memo: Tensor


Step = Callable[[], Pass]
Record = Callable[[Step], tuple[Pass, Callable[[], object]]]
"""A step to where its results will always be, and what runs it again."""


def cuda_graph(step: Step) -> tuple[Pass, Callable[[], object]]:
    """Record `step` on the present GPU."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()
    return found, graph.replay


def _aside(step: Step) -> Pass:
    """Run `step` as recordings have to be prepared: on a stream of its own."""
    if not torch.cuda.is_available():
        return step()
    side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        found = step()
    torch.cuda.current_stream().wait_stream(side)
    return found


RECORDERS: Mapping[str, Record] = {"cuda": cuda_graph}
"""By the type of device; others have nothing to gain."""


def fastest(step: Step, parameters: Sequence[Tensor], pure: bool) -> Step:
    """`step`, recorded where that can be and gives the same.

    Args:
        step: fills the gradients of `parameters`, which have none before.
        pure: whether it depends on the parameters alone.
    """
    record = RECORDERS.get(parameters[0].device.type)
    if record is None or not pure:
        return step
    for _ in range(WARMING):
        _forget(parameters)
        expected = _aside(step)
    wanted = [expected.loss.clone(), *_gradients(parameters)]
    _forget(parameters)
    try:
        again = _recorded(step, parameters, record)
        same = _alike([again().loss, *_gradients(parameters)], wanted)
    except RuntimeError:
        # Some operation waits for an answer, or keeps what it needs on the CPU.
        same = False
    _forget(parameters)
    return again if same else step


def _recorded(step: Step, parameters: Sequence[Tensor], record: Record) -> Step:
    found, replay = record(step)
    places = [each.grad for each in parameters]

    def again() -> Pass:
        for each, place in zip(parameters, places, strict=True):
            each.grad = place
        replay()
        # The next replay writes over all of it.
        return Pass(found.loss.clone(), tuple(each.clone() for each in found.heard), found.memo.clone())

    return again


def _gradients(parameters: Sequence[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(each) if each.grad is None else each.grad.clone() for each in parameters]


def _forget(parameters: Sequence[Tensor]) -> None:
    for each in parameters:
        each.grad = None


def _alike(found: Sequence[Tensor], wanted: Sequence[Tensor]) -> bool:
    return all(
        bool((one - other).norm() <= TOLERANCE * other.norm() + 1e-12)
        for one, other in zip(found, wanted, strict=True)
    )
