r"""Adam (Kingma & Ba 2015, arXiv 1412.6980), as the loop needs it and no more.

.. math::  m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad  v \leftarrow \beta_2 v + (1 - \beta_2) g^2,
           \qquad p \leftarrow p - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}

The first use of any optimiser of PyTorch's imports its compiler, two seconds of work for nothing here;
this one gives the same numbers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""The paper's, and PyTorch's."""


class Adam:
    """Moves `parameters` in place along their gradients, at the rate `lr`."""

    def __init__(self, parameters: Sequence[Tensor], lr: float) -> None:
        self._parameters = tuple(parameters)
        self._lr = lr
        self._count = 0
        self._first = [torch.zeros_like(each) for each in self._parameters]
        self._second = [torch.zeros_like(each) for each in self._parameters]

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for each in self._parameters:
            each.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """One move; parameters without a gradient stay where they are."""
        self._count += 1
        rate = self._lr / (1 - BETA1**self._count)
        root = (1 - BETA2**self._count) ** 0.5
        for each, first, second in zip(self._parameters, self._first, self._second, strict=True):
            if each.grad is not None:
                first.lerp_(each.grad, 1 - BETA1)
                second.mul_(BETA2).addcmul_(each.grad, each.grad, value=1 - BETA2)
                each.addcdiv_(first, (second.sqrt() / root).add_(EPSILON), value=-rate)
