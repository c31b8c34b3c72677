"""L-BFGS (Nocedal 1980; Liu and Nocedal 1989) that takes its full step and checks it afterwards.

A step costs one evaluation: the quasi-Newton step is nearly always good, so there is no line
search. Where the loss rises or is not finite the step is taken back and a shorter one tried;
a finite failed trial still teaches the curvature along its direction.

All state stays on the device and every decision is a ``where``: no step waits for a number, and
on CUDA a step can be recorded once and replayed (replay.py).
"""

from __future__ import annotations

import torch
from torch import Tensor

from styleforge.optimize.evaluation import Evaluate

HISTORY = 10
"""Pairs (s, y) kept; 20 and 50 differ little from 10."""

FIRST_STEP = 0.01
"""Mean absolute change of the coordinates in the first step, before any curvature is known."""

_SHRINK = 0.5


class LBFGS:
    """Minimises a function of one tensor.

    ``best`` is the last good evaluation, ``finite`` whether the last trial's loss was, and
    ``rejected`` how many trials in a row were taken back. A step overwrites all of them.
    """

    def __init__(self, evaluate: Evaluate, start: Tensor, *, history: int = HISTORY) -> None:
        self._evaluate = evaluate
        self.best = evaluate(start).clone()
        self.finite = self.best.finite
        self.rejected = torch.zeros((), dtype=torch.long, device=start.device)
        self._history = history
        self._basis = start.new_zeros(2 * history + 1, start.numel())
        """The rows s_0.., y_0.., g; a row of a pair that is not there yet is zero."""
        self._pairs = torch.zeros_like(self.rejected)
        self._length = start.new_ones(())

    def fits(self, before: LBFGS) -> bool:
        """Whether the other run was of as many numbers."""
        return self._basis.shape == before._basis.shape

    def go_on_from(self, before: LBFGS) -> None:
        """Take over the pairs of a run that has ended, on a function that curves about alike."""
        self._basis, self._pairs = before._basis, before._pairs

    def step(self) -> None:
        """One quasi-Newton step: one evaluation, accepted or taken back."""
        step = self._length * self._direction()
        trial = self._evaluate(self.best.point + step)
        self.finite.copy_(trial.finite)
        self._remember(step.flatten(), (trial.gradient - self.best.gradient).flatten())
        accepted = self.finite & (trial.total < self.best.total)
        self.best.become(trial, accepted)
        self._length.copy_(torch.where(accepted, 1.0, _SHRINK * self._length))
        self.rejected.copy_(torch.where(accepted, 0, self.rejected + 1))

    def _direction(self) -> Tensor:
        """-H g, as a combination of the basis: one matrix product before, one after.

        (Chen, Wang and Zhou 2014, "Large-scale L-BFGS using MapReduce".)
        """
        gradient = self.best.gradient
        self._basis[-1] = gradient.flatten()
        dots = self._basis @ self._basis.mT
        if dots.device.type != "mps":  # Apple GPUs lack float64
            dots = dots.double()
        oldest_first = (self._pairs + self._rows()) % self._history
        first_scale = FIRST_STEP / gradient.abs().mean().clamp(min=torch.finfo(gradient.dtype).tiny)
        coefficients = inverse_hessian_times_gradient(dots, oldest_first, first_scale)
        return -(coefficients.to(gradient) @ self._basis).view_as(gradient)

    def _remember(self, s: Tensor, y: Tensor) -> None:
        """Keep a pair with positive curvature, in place of the oldest."""
        keep = self.finite & (torch.dot(s, y) > 1e-10 * torch.dot(y, y))
        row = (self._pairs % self._history).view(1)
        for place, new in ((row, s), (row + self._history, y)):
            old = self._basis.index_select(0, place)
            self._basis.index_copy_(0, place, torch.where(keep, new, old))
        self._pairs += keep

    def _rows(self) -> Tensor:
        return torch.arange(self._history, device=self._basis.device)


def inverse_hessian_times_gradient(dots: Tensor, order: Tensor, first_scale: Tensor) -> Tensor:
    """Coefficients of H g in the basis [s_0.., y_0.., g], given all its inner products (2m + 1)^2.

    The compact form (Byrd, Nocedal and Schnabel 1994, theorem 2.2), with S and Y in ``order``,
    the oldest pair first, R the upper triangle of S^T Y, D its diagonal, and gamma = s.y / y.y of
    the newest pair, or ``first_scale`` where there is none:

        H = gamma I + [S  gamma Y] | R^-T (D + gamma Y^T Y) R^-1   -R^-T | | S^T       |
                                   | -R^-1                           0   | | gamma Y^T |

    Pairs that are zero, because they are not there yet, change nothing.
    """
    m = len(order)
    s_y = dots[:m, m:-1][order][:, order]
    y_y = dots[m:-1, m:-1][order][:, order]
    s_g, y_g = dots[:m, -1][order], dots[m:-1, -1][order]
    d = s_y.diagonal()
    there = d != 0
    gamma = torch.where(there[-1], d[-1] / y_y[-1, -1], first_scale.to(dots))
    r = s_y.triu() + torch.diag((~there).to(dots))
    u = torch.linalg.solve_triangular(r, s_g[:, None], upper=True)
    v = d[:, None] * u + gamma * (y_y @ u - y_g[:, None])
    p = torch.linalg.solve_triangular(r.mT, v, upper=False)
    coefficients = torch.zeros_like(dots[0])
    coefficients[order] = p[:, 0]
    coefficients[m + order] = -gamma * u[:, 0]
    coefficients[-1] = gamma
    return coefficients
