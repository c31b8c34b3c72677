"""Adam (Kingma and Ba 2015) over one tensor, with a constant step size.

In the dozens of steps that a run takes, one that falls to zero got less far, and averaged iterates
helped only the shortest runs (benchmarks/README.md); the best iterate is kept. The moments
learned at a coarser size go on at the next. As in lbfgs.py, all state stays on the device and no
step waits for a number.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from styleforge.optimize.evaluation import Evaluate

STEP_SIZE = 0.1
"""About the largest change of a coordinate in one step."""

_BETAS = (0.9, 0.99)
_EPSILON = 1e-12


class Adam:
    """Minimises a function of one tensor.

    ``best`` is the evaluation with the lowest loss, ``finite`` whether the last one's loss was;
    ``rejected`` stays 0. A step overwrites them.
    """

    def __init__(self, evaluate: Evaluate, start: Tensor) -> None:
        self._evaluate = evaluate
        self.best = evaluate(start).clone()
        self.finite = self.best.finite
        self.rejected = torch.zeros((), dtype=torch.long, device=start.device)
        self._current = self.best.clone()
        self._taken = torch.zeros_like(self.rejected)
        self._taken_before = torch.zeros_like(self.rejected)
        self._size = start.new_full((), STEP_SIZE)
        self._mean = torch.zeros_like(start)
        self._square = torch.zeros_like(start)

    def go_on_from(self, other: Adam, moved: Callable[[Tensor, int], Tensor]) -> None:
        """Take over the moments of a run at a coarser size, before the first step.

        ``moved(x, p)`` brings p-th powers of gradients into these coordinates, and leaves 0 where
        the coarser size has none; there, counting begins anew.
        """
        self._mean = moved(other._mean, 1)
        self._square = moved(other._square, 2)
        counted = (other._taken + other._taken_before).expand_as(other._mean)
        self._taken_before = moved(counted, 0)

    def step(self) -> None:
        """One step: one evaluation. After a loss that is not finite, back to the best point."""
        gradient = self._current.gradient
        self._taken += 1
        self._mean.lerp_(gradient, 1 - _BETAS[0])
        self._square.lerp_(gradient.square(), 1 - _BETAS[1])
        trial = self._evaluate(self._current.point - self._change())
        self.finite.copy_(trial.finite)
        self.best.become(trial, self.finite & (trial.total < self.best.total))
        self._current.become(self.best, ~self.finite)
        self._current.become(trial, self.finite)
        self._size.copy_(torch.where(self.finite, self._size, 0.5 * self._size))

    def _change(self) -> Tensor:
        taken = self._taken + self._taken_before
        mean = self._mean / (1 - _BETAS[0] ** taken)
        square = self._square / (1 - _BETAS[1] ** taken)
        return self._size * mean / (square.sqrt() + _EPSILON)
