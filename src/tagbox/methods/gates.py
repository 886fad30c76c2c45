r"""Gates on components, as parameters: which source each component of the mixture belongs to.

The mixture is a sum of components :math:`x = \sum_k c_k`. Each component is shared among S sources and the
residual by a softmax, :math:`s_i = \sum_k \mathrm{softmax}(\theta_{\cdot k})_i c_k`, so the estimates and the
residual always add up to the mixture. A few dozen numbers decide: too few to fool a tagger with noise that
nobody hears.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from tagbox.methods.components import Components, mask_components
from tagbox.methods.steerable import Estimate


class Gates:
    """The gates of a decomposed mixture, steered.

    Args:
        components: that the mixture was decomposed into.
        sources: how many share them, the residual not counted.
        initial: gates (sources and residual, components) to begin with, none of them zero; equal shares
            unless given.
    """

    def __init__(self, components: Components, sources: int, initial: Tensor | None = None) -> None:
        self.components = components
        self.rate = components.rate
        self.mixture = components.audio.sum(dim=0)
        count, device = len(components.audio), components.audio.device
        theta = torch.zeros(sources + 1, count, device=device) if initial is None else initial.log()
        self._theta = theta.requires_grad_(True)
        self.parameters: Sequence[Tensor] = (self._theta,)
        self.replayable = True

    def gates(self) -> Tensor:
        """Return each source's share of each component, (sources, components)."""
        return torch.softmax(self._theta, dim=0)[:-1]

    def estimate(self) -> Estimate:
        """Sum the gated components: one view of each source, (sources, 1, samples)."""
        gates = self.gates()
        return Estimate((gates @ self.components.audio)[:, None], gates.detach())

    def render(self, snapshot: Tensor, channels: Tensor) -> Tensor:
        """Mask every channel by the gates of a step: (sources, channels, samples)."""
        return mask_components(self.components, snapshot, channels)
