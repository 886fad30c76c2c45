"""The protocol between the loop and whatever it steers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """What the parameters stand for at one step.

    Attributes:
        audio: (sources, views, samples), mono, at the steerable's rate; gradients reach the parameters.
            A view is one way to hear the same source: each FFT size's mask gives one.
        memo: what `render` needs to make the result of this very step, detached.
    """

    audio: Tensor
    memo: Tensor


class Steerable(Protocol):
    """Something that gradient descent can move until taggers hear a tag in it."""

    rate: int
    """Of the estimates, Hz."""

    mixture: Tensor
    """What is taken apart, mono, (samples,) at `rate`; (sources, samples) where each source has its own."""

    parameters: Sequence[Tensor]
    """The leaves that the optimiser moves."""

    pure: bool
    """Whether the estimate depends on the parameters alone, so that a GPU may record a step and repeat it."""

    def estimate(self) -> Estimate:
        """The estimates at the parameters' present values."""
        ...

    def render(self, memo: Tensor, channels: Tensor) -> Tensor:
        """The result of a step for every channel: (channels, samples) to (sources, channels, samples).

        Where each source has a mixture of its own, `channels` are (sources, channels, samples) as well.
        """
        ...
