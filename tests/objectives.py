"""Small objectives whose minimum is known, for the tests of the optimisers."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from styleforge.losses.objective import Loss
from styleforge.optimize.evaluation import Evaluate, Evaluation

NAN = float("nan")


def quadratic(curvature: Tensor, minimum: Tensor) -> Evaluate:
    """1/2 sum(c (x - m)^2)."""

    def evaluate(point: Tensor) -> Evaluation:
        difference = point - minimum
        value = 0.5 * (curvature * difference.square()).sum()
        return Evaluation(point, _terms(value), curvature * difference)

    return evaluate


def failing_at(call: int, evaluate: Evaluate) -> Evaluate:
    """The same function, but its given evaluation (the first is 1) is not a number."""
    calls = 0

    def failing(point: Tensor) -> Evaluation:
        nonlocal calls
        calls += 1
        if calls != call:
            return evaluate(point)
        return Evaluation(point, _terms(point.new_tensor(NAN)), torch.full_like(point, NAN))

    return failing


def _terms(value: Tensor) -> Tensor:
    """An objective of content alone."""
    zero = torch.zeros_like(value)
    return torch.stack([value, value, zero, zero])


def distance_to(target: Tensor) -> Callable[[Tensor], Loss]:
    """mean((image - target)^2) as an objective over images."""

    def objective(image: Tensor) -> Loss:
        distance = (image - target).square().mean()
        zero = torch.zeros(())
        return Loss(distance, distance, zero, zero)

    return objective


def recording(seen: list[Tensor], evaluate: Evaluate) -> Evaluate:
    """The same function, which notes every point it is asked for."""

    def recorded(point: Tensor) -> Evaluation:
        seen.append(point)
        return evaluate(point)

    return recorded
