"""Adam (Kingma and Ba 2015) over one tensor, with the step size cosine-annealed to zero.

The decay does what averaging the iterates does, at no memory: the last steps are small, so the
result is not one of the noisy points that Adam's constant step would leave behind.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from styleforge.optimize.evaluation import Evaluate, Evaluation

STEP_SIZE = 0.2
"""Largest change of a coordinate in one step, at the start."""

_BETAS = (0.9, 0.99)
_EPSILON = 1e-12


class Adam:
    """Minimises a function of one tensor in a known number of steps; ``best`` is the lowest."""

    def __init__(self, evaluate: Evaluate, start: Tensor, *, steps: int) -> None:
        self._evaluate = evaluate
        self._current: Evaluation = evaluate(start)
        self.best = self._current
        self.note = ""
        self.stuck = False
        self._steps = max(steps, 1)
        self._taken = 0
        self._size = STEP_SIZE
        self._mean = torch.zeros_like(start)
        self._square = torch.zeros_like(start)

    def step(self) -> None:
        """One step: one evaluation. After a loss that is not finite, back to the best point."""
        gradient = self._current.gradient
        self._taken += 1
        self._mean.lerp_(gradient, 1 - _BETAS[0])
        self._square.lerp_(gradient.square(), 1 - _BETAS[1])
        trial = self._evaluate(self._current.point - self._change())
        self.note = ""
        if not trial.finite:
            self.note = "the loss was not finite: went back and took a smaller step"
            self._size *= 0.5
            self._current = self.best
            return
        self._current = trial
        if trial.value < self.best.value:
            self.best = trial

    def _change(self) -> Tensor:
        mean = self._mean / (1 - _BETAS[0] ** self._taken)
        square = self._square / (1 - _BETAS[1] ** self._taken)
        progress = min(1.0, self._taken / (self._steps + 1))
        size = self._size * 0.5 * (1 + math.cos(math.pi * progress))
        return size * mean / (square.sqrt() + _EPSILON)
