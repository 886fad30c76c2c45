"""Minimise a smooth function of a few numbers: L-BFGS with a backtracking line search.

Nocedal and Wright, "Numerical Optimization" (2006), algorithms 7.4, 7.5 and 3.1. PyTorch's own takes more
than a second to import, and here a minimum is found in a few hundredths.
"""

from collections.abc import Callable

import torch
from torch import Tensor

SUFFICIENT_DECREASE = 1e-4
"""Of the decrease that the gradient promises."""
BACKTRACKING = 0.5
MAX_HALVINGS = 12
MIN_CURVATURE = 1e-10
FIRST_STEP = 1.0
"""Length of the first step, before anything is known of the curvature."""


def minimise(loss: Callable[[Tensor], Tensor], start: Tensor, iterations: int) -> Tensor:
    """Minimise `loss` from `start` on.

    Args:
        loss: a tensor of the shape of `start` to a number, with a gradient.
        start: where to begin; it is not changed.
        iterations: at the most; each evaluates the loss once or a few times.

    Returns:
        the best point found, of the shape of `start`.
    """
    point = start.detach().clone()
    value, gradient = _evaluate(loss, point)
    steps: list[tuple[Tensor, Tensor]] = []
    for _ in range(iterations):
        direction = -_times_inverse_hessian(gradient, steps)
        slope = float((direction * gradient).sum())
        if slope >= 0 or not torch.isfinite(direction).all():
            break
        length = 1.0 if steps else min(1.0, FIRST_STEP / float(gradient.norm()))
        for _ in range(MAX_HALVINGS):
            candidate = point + length * direction
            new_value, new_gradient = _evaluate(loss, candidate)
            if new_value <= value + SUFFICIENT_DECREASE * length * slope:
                break
            length *= BACKTRACKING
        else:
            break
        moved, turned = candidate - point, new_gradient - gradient
        if float((moved * turned).sum()) > MIN_CURVATURE:
            steps.append((moved, turned))
        point, value, gradient = candidate, new_value, new_gradient
    return point


def _evaluate(loss: Callable[[Tensor], Tensor], point: Tensor) -> tuple[float, Tensor]:
    with torch.enable_grad():
        leaf = point.clone().requires_grad_()
        value = loss(leaf)
        (gradient,) = torch.autograd.grad(value, leaf)
    return float(value.detach()), gradient


def _times_inverse_hessian(gradient: Tensor, steps: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Multiply `gradient` by the inverse Hessian that the `steps` so far suggest (two-loop recursion)."""
    result = gradient.clone()
    factors = []
    for moved, turned in reversed(steps):
        factor = (moved * result).sum() / (moved * turned).sum()
        result -= factor * turned
        factors.append(factor)
    if steps:
        moved, turned = steps[-1]
        result *= (moved * turned).sum() / turned.square().sum()
    for (moved, turned), factor in zip(steps, reversed(factors), strict=True):
        result += (factor - (turned * result).sum() / (moved * turned).sum()) * moved
    return result
