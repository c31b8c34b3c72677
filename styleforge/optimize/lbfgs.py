"""L-BFGS (Nocedal 1980; Liu and Nocedal 1989) that takes its full step and checks it afterwards.

A step costs one evaluation: the quasi-Newton step is nearly always good, so there is no line
search. Where the loss rises or is not finite the step is taken back and a shorter one tried;
a finite failed trial still teaches the curvature along its direction.
"""

from __future__ import annotations

import torch
from torch import Tensor

from styleforge.optimize.evaluation import Evaluate, Evaluation

HISTORY = 10
"""Pairs (s, y) kept; 20 and 50 differ little from 10."""

FIRST_STEP = 0.01
"""Mean absolute change of the coordinates in the first step, before any curvature is known."""

_SHRINK = 0.5
_MAX_REJECTED = 10


class LBFGS:
    """Minimises a function of one tensor. ``best`` is the last good evaluation."""

    def __init__(self, evaluate: Evaluate, start: Tensor, *, history: int = HISTORY) -> None:
        self._evaluate = evaluate
        self.best: Evaluation = evaluate(start)
        self.note = ""
        self.stuck = False
        self._history = history
        self._basis = start.new_zeros(2 * history + 1, start.numel())
        self._order: list[int] = []
        self._length = 1.0
        self._rejected = 0

    def step(self) -> None:
        """One quasi-Newton step: one evaluation, accepted or taken back."""
        step = self._length * self._direction()
        trial = self._evaluate(self.best.point + step)
        if trial.finite:
            self._remember(step, trial.gradient - self.best.gradient)
        self.note = ""
        if trial.finite and trial.value < self.best.value:
            self.best, self._length, self._rejected = trial, 1.0, 0
            return
        if not trial.finite:
            self.note = "the loss was not finite: went back and took a smaller step"
        self._length *= _SHRINK
        self._rejected += 1
        self.stuck = self._rejected >= _MAX_REJECTED

    def _direction(self) -> Tensor:
        """-H g by the two-loop recursion, carried out on the coefficients of [S; Y; g].

        All inner products come from one matrix product, the direction from another (Chen, Wang
        and Zhou 2014, "Large-scale L-BFGS using MapReduce").
        """
        gradient = self.best.gradient
        if not self._order:
            tiny = torch.finfo(gradient.dtype).tiny  # a gradient of 0 gives a step of 0
            return -FIRST_STEP / gradient.abs().mean().clamp(min=tiny) * gradient
        self._basis[-1] = gradient.flatten()
        dots = (self._basis @ self._basis.mT).cpu().double()  # small, and Apple GPUs lack float64
        return -(_two_loop(dots, self._order).to(gradient) @ self._basis).view_as(gradient)

    def _remember(self, s: Tensor, y: Tensor) -> None:
        """Keep a pair with positive curvature, in place of the oldest."""
        s, y = s.flatten(), y.flatten()
        if torch.dot(s, y) <= 1e-10 * torch.dot(y, y):
            return
        full = len(self._order) == self._history
        row = self._order.pop(0) if full else len(self._order)
        self._basis[row] = s
        self._basis[self._history + row] = y
        self._order.append(row)


def _two_loop(dots: Tensor, order: list[int]) -> Tensor:
    """Coefficients of H g in the basis [s_0.., y_0.., g], given all its inner products.

    Nocedal and Wright 2006, algorithm 7.4, with gamma = s.y / y.y of the newest pair.
    """
    m = (len(dots) - 1) // 2
    coefficients = torch.zeros_like(dots[0])
    coefficients[-1] = 1.0
    alpha = {}
    for i in reversed(order):
        alpha[i] = dots[i] @ coefficients / dots[i, m + i]
        coefficients[m + i] -= alpha[i]
    newest = order[-1]
    coefficients *= dots[newest, m + newest] / dots[m + newest, m + newest]
    for i in order:
        beta = dots[m + i] @ coefficients / dots[i, m + i]
        coefficients[i] += alpha[i] - beta
    return coefficients
