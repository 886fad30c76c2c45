"""The steering loop: minimise a loss of the taggers' predictions by moving a steerable's parameters."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from tagbox.errors import TagBoxError
from tagbox.kernels import allocator, cuda_graphs
from tagbox.kernels.adam import Adam
from tagbox.kernels.cuda_graphs import StepResult
from tagbox.methods.objectives import Objective, find_objective
from tagbox.methods.steerable import Steerable
from tagbox.settings import Settings
from tagbox.taggers.tagger import Tagger, predict_logits

Stopped = Literal["steps", "request", "patience", "interrupted", "non-finite", "silence"]

MIN_PROGRESS = 1e-4
"""A loss has to fall by this much to count as progress, or a plateau would never be one."""


@dataclass(frozen=True)
class Step:
    """The measurements of one step.

    Attributes:
        index: from 0.
        loss: before this step moves the parameters.
        probabilities: a tensor (sources, tags) for each tagger, averaged over views and windows.
        seconds: since the loop began.
    """

    index: int
    loss: float
    probabilities: tuple[Tensor, ...]
    seconds: float


@dataclass(frozen=True)
class History:
    """All steps, why they ended, and which of them the result is of."""

    steps: tuple[Step, ...]
    stopped: Stopped
    chosen: int

    @property
    def losses(self) -> tuple[float, ...]:
        """The loss at every step."""
        return tuple(step.loss for step in self.steps)


@dataclass(frozen=True)
class Run:
    """One run of the loop: which sources it steered, from where in the recording on (s), and its history."""

    sources: tuple[str, ...]
    history: History
    at: float = 0.0


NOTHING_TO_STEER = History((), "silence", -1)
"""Of a silent recording."""

OnStep = Callable[[Step], "bool | None"]
"""Called after every step; a true answer asks the loop to stop."""


@dataclass(frozen=True, eq=False)
class ForwardBackward:
    """One forward and backward pass; the gradients are left with the steerable's parameters.

    Attributes:
        batch_size: segments that are steered together. The loss is their mean; each moves as it would alone.
    """

    steerable: Steerable
    taggers: Sequence[Tagger]
    targets: Sequence[Tensor]
    objective: Objective
    padding: str
    batch_size: int

    def __call__(self) -> StepResult:
        """Compute the loss and its gradient at the parameters' present values."""
        estimate = self.steerable.estimate()
        loss, probabilities = evaluate_loss(
            estimate.audio,
            self.steerable.mixture,
            self.steerable.rate,
            self.taggers,
            self.targets,
            self.objective,
            self.padding,
        )
        (self.batch_size * loss).backward()  # type: ignore[no-untyped-call]
        return StepResult(loss.detach(), probabilities, estimate.snapshot)


def evaluate_loss(
    estimates: Tensor,
    mixture: Tensor,
    rate: int,
    taggers: Sequence[Tagger],
    targets: Sequence[Tensor],
    objective: Objective,
    padding: str,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Compute the loss of `estimates` (sources, views, samples), and what the taggers predict for them.

    Args:
        mixture: (samples,), or (sources, samples) where each source has its own; at `rate` Hz as `estimates`.
        taggers: at any rates.
        targets: for each tagger the target tags, multi-hot (sources, tags).
        objective: names the loss and the signals that it is computed from.
        padding: how windows of the taggers are filled up: "repeat" or "zeros".

    Returns:
        the loss inside the graph, and for each tagger probabilities (sources, tags) outside of it, averaged
        over views and windows.
    """
    signals = objective.signals(estimates, mixture)
    predictions = predict_logits(taggers, signals.flatten(0, 1), padding=padding, rate=rate)
    logits = [each.reshape(*signals.shape[:2], *each.shape[1:]) for each in predictions]
    loss = objective.loss(logits, targets)
    sources = estimates.shape[0]
    probabilities = tuple(torch.sigmoid(each[:sources].detach()).mean(dim=(1, 2)) for each in logits)
    return loss, probabilities


@dataclass
class _Progress:
    """What the loop has so far, so that an interruption loses nothing."""

    steps: list[Step] = field(default_factory=list)
    snapshot: Tensor | None = None
    chosen: int = -1
    best_loss: float = float("inf")
    last_progress: int = 0


def steer(
    steerable: Steerable,
    taggers: Sequence[Tagger],
    targets: Sequence[Tensor],
    settings: Settings,
    on_step: OnStep | None = None,
    batch_size: int = 1,
) -> tuple[Tensor, History]:
    """Steer by Adam until the steps are over, the caller asks to stop, or nothing improves.

    Ctrl-C stops the loop cleanly: what there is so far is the result. A loss or gradient that is not finite
    stops it as well, with the last finite result.

    Args:
        steerable: whose parameters are moved.
        taggers: at any rates.
        targets: for each tagger the target tags, multi-hot (sources, tags).
        settings: of these the objective, steps, lr, patience, padding and keep.
        on_step: called after every step.
        batch_size: segments that are steered together (see `ForwardBackward`).

    Returns:
        the snapshot for `steerable.render`, and the history.

    Raises:
        TagBoxError: there was no finite first step to return.
        KeyboardInterrupt: there was no first step yet when it came.
    """
    objective = find_objective(settings.objective)
    forward_backward = ForwardBackward(steerable, taggers, targets, objective, settings.padding, batch_size)
    optimiser = Adam(steerable.parameters, settings.lr)
    progress = _Progress()
    stopped: Stopped = "steps"
    allocator.trim()
    start = time.monotonic()
    try:
        # Capturing takes four steps by itself.
        worth_capturing = settings.steps > cuda_graphs.WARM_UP_STEPS + 1
        step_function = cuda_graphs.replay_if_possible(
            forward_backward, steerable.parameters, steerable.replayable and worth_capturing
        )
        for index in range(settings.steps):
            optimiser.zero_grad()
            result = step_function()
            if not bool(torch.isfinite(result.loss)):
                stopped = "non-finite"
                break
            probabilities = tuple(each.cpu() for each in result.probabilities)
            step = Step(index, float(result.loss), probabilities, time.monotonic() - start)
            _update(progress, step, result.snapshot, settings.keep)
            if on_step is not None and on_step(step):
                stopped = "request"
                break
            if not all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in steerable.parameters):
                stopped = "non-finite"
                break
            if settings.patience and index - progress.last_progress >= settings.patience:
                stopped = "patience"
                break
            optimiser.step()
    except KeyboardInterrupt:
        if progress.snapshot is None:
            raise
        stopped = "interrupted"
    if progress.snapshot is None:
        raise first_loss_not_finite()
    return progress.snapshot, History(tuple(progress.steps), stopped, progress.chosen)


def first_loss_not_finite() -> TagBoxError:
    """Return the error for a run that has no result at all."""
    return TagBoxError(
        "the very first loss is not a finite number; try a smaller --lr, another --objective, "
        "or check that the recording is not damaged"
    )


def _update(progress: _Progress, step: Step, snapshot: Tensor, keep: str) -> None:
    progress.steps.append(step)
    improved = step.loss < progress.best_loss
    if step.loss < progress.best_loss - MIN_PROGRESS:
        progress.last_progress = step.index
    if improved:
        progress.best_loss = step.loss
    if improved or keep == "last":
        progress.snapshot = snapshot
        progress.chosen = step.index
