"""One forward and backward pass of the objective at a point of the search space."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor

from styleforge.losses.objective import Loss
from styleforge.optimize.parameterization import Parameterization


class LossValues(NamedTuple):
    """The weighted terms of the objective as numbers: total = content + style + tv."""

    total: float
    content: float
    style: float
    tv: float


class Evaluation(NamedTuple):
    """A point, the terms of :class:`LossValues` there as a tensor (4,), and the gradient.

    All stay on their device: who asks for a number makes the host wait for it.
    """

    point: Tensor
    loss: Tensor
    gradient: Tensor

    @property
    def total(self) -> Tensor:
        """The loss, a scalar."""
        return self.loss[0]

    @property
    def finite(self) -> Tensor:
        """Whether loss and gradient are finite, a scalar bool."""
        return self.total.isfinite() & self.gradient.isfinite().all()

    def clone(self) -> Self:
        return type(self)(*(x.clone() for x in self))

    def become(self, other: Evaluation, where: Tensor) -> None:
        """Overwrite this evaluation by another where the scalar bool holds."""
        for own, new in zip(self, other, strict=True):
            own.copy_(torch.where(where, new, own))


Evaluate = Callable[[Tensor], Evaluation]


class Evaluator:
    """Evaluates an objective over images at coordinates of a parameterization."""

    def __init__(
        self, objective: Callable[[Tensor], Loss], parameterization: Parameterization
    ) -> None:
        self._objective = objective
        self._parameterization = parameterization

    def __call__(self, point: Tensor) -> Evaluation:
        point = point.detach().requires_grad_()
        loss = self._objective(self._parameterization.image(point))
        (gradient,) = torch.autograd.grad(loss.total, point)
        return Evaluation(point.detach(), torch.stack(loss).detach(), gradient)
