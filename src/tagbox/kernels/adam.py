r"""Adam that computes the same numbers as PyTorch's, without the two seconds that importing PyTorch's takes.

The first use of any of PyTorch's optimisers imports its compiler, which nothing here needs.

Plain twin: `torch.optim.Adam`. Parity test: tests/test_adam.py.

Kingma & Ba 2015, arXiv 1412.6980, algorithm 1:

.. math::  m \leftarrow \beta_1 m + (1 - \beta_1) g, \qquad  v \leftarrow \beta_2 v + (1 - \beta_2) g^2,
           \qquad p \leftarrow p - \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \epsilon}
"""

from collections.abc import Sequence

import torch
from torch import Tensor

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
"""The values of the paper, and PyTorch's defaults."""


class Adam:
    """Adam for a fixed set of parameters, which it updates in place.

    Args:
        parameters: leaves with gradients.
        lr: the learning rate.
    """

    def __init__(self, parameters: Sequence[Tensor], lr: float) -> None:
        self._parameters = tuple(parameters)
        self._lr = lr
        self._steps = 0
        self._first_moments = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._second_moments = [torch.zeros_like(parameter) for parameter in self._parameters]

    def zero_grad(self) -> None:
        """Drop the gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient."""
        self._steps += 1
        step_size = self._lr / (1 - BETA1**self._steps)
        second_correction = (1 - BETA2**self._steps) ** 0.5
        moments = zip(self._parameters, self._first_moments, self._second_moments, strict=True)
        for parameter, first, second in moments:
            if parameter.grad is not None:
                first.lerp_(parameter.grad, 1 - BETA1)
                second.mul_(BETA2).addcmul_(parameter.grad, parameter.grad, value=1 - BETA2)
                denominator = (second.sqrt() / second_correction).add_(EPSILON)
                parameter.addcdiv_(first, denominator, value=-step_size)
