"""The protocol between the steering loop and what it steers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """The estimates at one step.

    Attributes:
        audio: (sources, views, samples), mono, at the steerable's rate; gradients reach the parameters.
            A view is one rendering of the same source: each FFT size's mask gives one.
        snapshot: what `Steerable.render` needs to make the result of this very step, detached.
    """

    audio: Tensor
    snapshot: Tensor


class Steerable(Protocol):
    """Parameters that gradient descent moves until taggers detect a tag in the estimate."""

    rate: int
    """Sample rate of the estimates, Hz."""

    mixture: Tensor
    """What is separated, mono, (samples,) at `rate`; (sources, samples) where each source has its own."""

    parameters: Sequence[Tensor]
    """The leaves that the optimiser moves."""

    replayable: bool
    """Whether the estimate depends on the parameters alone, so that a GPU may replay a captured step."""

    def estimate(self) -> Estimate:
        """Compute the estimates at the parameters' present values."""
        ...

    def render(self, snapshot: Tensor, channels: Tensor) -> Tensor:
        """Render a step's result for every channel: (channels, samples) to (sources, channels, samples).

        Where each source has a mixture of its own, `channels` are (sources, channels, samples) as well.
        """
        ...
