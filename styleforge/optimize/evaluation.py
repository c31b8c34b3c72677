"""One forward and backward pass of the objective at a point of the search space."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from styleforge.losses import Loss
from styleforge.optimize.parameterization import Parameterization


class LossValues(NamedTuple):
    """The weighted terms of the objective as numbers: total = content + style + tv."""

    total: float
    content: float
    style: float
    tv: float


@dataclass(frozen=True)
class Evaluation:
    """A point, the loss there and its gradient."""

    point: Tensor
    loss: LossValues
    gradient: Tensor

    @property
    def value(self) -> float:
        return self.loss.total

    @property
    def finite(self) -> bool:
        return math.isfinite(self.value) and bool(torch.isfinite(self.gradient).all())


Evaluate = Callable[[Tensor], Evaluation]


class Evaluator:
    """Evaluates an objective over images at coordinates of a parameterization, and counts."""

    def __init__(
        self, objective: Callable[[Tensor], Loss], parameterization: Parameterization
    ) -> None:
        self._objective = objective
        self._parameterization = parameterization
        self.count = 0

    def __call__(self, point: Tensor) -> Evaluation:
        point = point.detach().requires_grad_()
        loss = self._objective(self._parameterization.image(point))
        (gradient,) = torch.autograd.grad(loss.total, point)
        self.count += 1
        return Evaluation(point.detach(), LossValues(*torch.stack(loss).tolist()), gradient)
