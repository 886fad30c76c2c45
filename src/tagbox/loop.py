"""The loop: move the parameters until the taggers hear what was asked for."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from tagbox import captured, memory
from tagbox.adam import Adam
from tagbox.audio import resample
from tagbox.captured import Pass
from tagbox.errors import TagBoxError
from tagbox.objectives import Objective
from tagbox.steerables.steerable import Steerable
from tagbox.taggers.tagger import Tagger, listen

Stopped = Literal["steps", "request", "patience", "interrupted", "non-finite"]

# A loss has to fall by this much to count as progress, or a plateau would never be one.
PROGRESS = 1e-4


@dataclass(frozen=True)
class Step:
    """What one step showed.

    Attributes:
        index: from 0.
        loss: of the objective, before this step's move.
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
class LoopSettings:
    """How the loop runs.

    Attributes:
        steps: at the most.
        lr: Adam's rate.
        patience: stop after so many steps without progress; 0 never does.
        padding: how windows of the taggers are filled up: "repeat" or "zeros".
        keep: the result is the "best" step's, by loss, or the "last" one's, as published.
        passages: steered side by side. The loss is their mean; each moves as it would alone.
    """

    steps: int = 100
    lr: float = 0.1
    patience: int = 0
    padding: str = "repeat"
    keep: str = "best"
    passages: int = 1


OnStep = Callable[[Step], "bool | None"]
"""Called after every step; a true answer asks the loop to stop."""


@dataclass
class _Trace:
    """What the loop has so far, so that an interruption loses nothing."""

    steps: list[Step] = field(default_factory=list)
    memo: Tensor | None = None
    chosen: int = -1
    best: float = float("inf")
    best_at: int = 0


def steer(
    steerable: Steerable,
    taggers: Sequence[Tagger],
    targets: Sequence[Tensor],
    objective: Objective,
    settings: LoopSettings,
    on_step: OnStep | None = None,
) -> tuple[Tensor, History]:
    """Steer by Adam until the steps are over, somebody asks to stop, or nothing improves.

    Ctrl-C stops the loop cleanly: what there is so far is the result. A loss or gradient that is not finite
    stops it as well, with the last finite result.

    Args:
        steerable: what moves.
        taggers: who listens; all at one rate.
        targets: for each tagger the wanted tags, multi-hot (sources, tags).
        objective: what falls.
        settings: of the loop.
        on_step: called after every step.

    Returns:
        the memo for `steerable.render`, and the history.

    Raises:
        TagBoxError: there was no finite first step to return.
        KeyboardInterrupt: there was no first step yet when it came.
    """

    def there_and_back() -> Pass:
        estimate = steerable.estimate()
        logits = _hear(estimate.audio, steerable, taggers, objective, settings.padding)
        loss = objective.loss(logits, targets)
        (settings.passages * loss).backward()  # type: ignore[no-untyped-call]
        sources = estimate.audio.shape[0]
        heard = tuple(torch.sigmoid(heard[:sources].detach()).mean(dim=(1, 2)) for heard in logits)
        return Pass(loss.detach(), heard, estimate.memo)

    optimiser = Adam(steerable.parameters, settings.lr)
    trace = _Trace()
    stopped: Stopped = "steps"
    memory.give_back()
    start = time.monotonic()
    try:
        # Recording takes four steps by itself.
        several = settings.steps > captured.WARMING + 1
        take = captured.fastest(there_and_back, steerable.parameters, steerable.pure and several)
        for index in range(settings.steps):
            optimiser.forget()
            found = take()
            if not bool(torch.isfinite(found.loss)):
                stopped = "non-finite"
                break
            heard = tuple(each.cpu() for each in found.heard)
            step = Step(index, float(found.loss), heard, time.monotonic() - start)
            _remember(trace, step, found.memo, settings.keep)
            if on_step is not None and on_step(step):
                stopped = "request"
                break
            if not all(p.grad is None or bool(torch.isfinite(p.grad).all()) for p in steerable.parameters):
                stopped = "non-finite"
                break
            if settings.patience and index - trace.best_at >= settings.patience:
                stopped = "patience"
                break
            optimiser.step()
    except KeyboardInterrupt:
        if trace.memo is None:
            raise
        stopped = "interrupted"
    if trace.memo is None:
        raise TagBoxError(
            "the very first loss is not a finite number; try a smaller --lr, another --objective, "
            "or check that the recording is not damaged"
        )
    return trace.memo, History(tuple(trace.steps), stopped, trace.chosen)


def _hear(
    estimates: Tensor,
    steerable: Steerable,
    taggers: Sequence[Tagger],
    objective: Objective,
    padding: str,
) -> list[Tensor]:
    """The taggers' logits (heard, views, windows, tags) for what the objective listens to, in one pass."""
    heard = objective.listens(estimates, steerable.mixture)
    flat = resample(heard.flatten(0, 1), steerable.rate, taggers[0].rate)
    answers = listen(taggers, flat, padding=padding)
    return [answer.reshape(*heard.shape[:2], *answer.shape[1:]) for answer in answers]


def _remember(trace: _Trace, step: Step, memo: Tensor, keep: str) -> None:
    trace.steps.append(step)
    better = step.loss < trace.best
    if step.loss < trace.best - PROGRESS:
        trace.best_at = step.index
    if better:
        trace.best = step.loss
    if better or keep == "last":
        trace.memo = memo
        trace.chosen = step.index
