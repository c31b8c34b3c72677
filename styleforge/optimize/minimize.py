"""Minimise an objective over an image at one size, step by step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import torch
from torch import Tensor

from styleforge.losses.objective import Loss
from styleforge.optimize.adam import Adam
from styleforge.optimize.evaluation import Evaluator, LossValues
from styleforge.optimize.lbfgs import LBFGS
from styleforge.optimize.parameterization import SPECTRAL_EXPONENT, Parameterization
from styleforge.optimize.replay import Replayed

OptimizerName = Literal["lbfgs", "adam"]

STALL_STEPS = 10
STALL_IMPROVEMENT = 1e-3
"""A run ends early when 10 steps together lower the loss by less than a thousandth."""

MAX_REJECTED = 10
"""A run also ends after so many steps in a row that were taken back."""


@dataclass(frozen=True)
class Iterate:
    """The state after a step: ``step`` 0 is the start.

    ``image()`` is (1, 3, H, W) in [0, 1], and right until the next step is taken. What is read
    from the device waits until it has got there; nothing else does.
    """

    step: int
    image: Callable[[], Tensor]
    status: Tensor
    """(6,): the terms of the loss, whether the last trial was finite, steps rejected in a row."""

    @classmethod
    def of(cls, step: int, image: Tensor, total: Tensor) -> Iterate:
        """One whose loss, a scalar, has no terms, and which no trial went wrong on the way to."""
        zero, one = torch.zeros_like(total), torch.ones_like(total)
        return cls(step, lambda: image, torch.stack([total, zero, zero, zero, one, zero]))

    @property
    def evaluations(self) -> int:
        """Forward and backward passes so far: one for the start and one a step."""
        return self.step + 1

    @cached_property
    def loss(self) -> LossValues:
        return LossValues(*self._values[:4])

    @property
    def note(self) -> str:
        """What the user should know of this step; mostly nothing."""
        finite = self._values[4]
        return "" if finite else "the loss was not finite: went back and took a smaller step"

    @property
    def stuck(self) -> bool:
        return self._values[5] >= MAX_REJECTED

    @cached_property
    def _values(self) -> list[float]:
        values: list[float] = self.status.tolist()
        return values


@dataclass
class Carried:
    """What an optimiser learned in one run, for the next: Adam's moments, L-BFGS's pairs.

    The pairs (s, y) go on at the same size only, against other targets: those from a coarser size
    made the finer one slower.
    """

    space: Parameterization | None = None
    method: LBFGS | Adam | None = None

    def into(self, method: LBFGS | Adam, space: Parameterization) -> None:
        """Hand over what there is, and keep this run's for the next."""
        before = self.method
        if isinstance(method, Adam) and isinstance(before, Adam) and self.space is not None:
            method.go_on_from(before, partial(space.moved_gradient, self.space))
        if isinstance(method, LBFGS) and isinstance(before, LBFGS) and method.fits(before):
            method.go_on_from(before)
        self.space, self.method = space, method


def minimize(
    objective: Callable[[Tensor], Loss],
    start: Tensor,
    *,
    optimizer: OptimizerName,
    steps: int,
    replay: bool = False,
    carried: Carried | None = None,
) -> Iterator[Iterate]:
    """Yield the start and then one iterate a step, at most ``steps``; the last is the best.

    ``start`` is (1, 3, H, W) in [0, 1]. ``replay`` records a step on CUDA, for an objective that
    waits for nothing. ``carried`` is shared by the sizes of a run. Raises FloatingPointError if
    the loss of the start is not finite.
    """
    height, width = start.shape[2:]
    exponent = SPECTRAL_EXPONENT[optimizer]
    space = Parameterization(height, width, exponent=exponent, device=start.device)
    evaluator = Evaluator(objective, space)
    point = space.coordinates(start)
    method: LBFGS | Adam
    method = LBFGS(evaluator, point) if optimizer == "lbfgs" else Adam(evaluator, point)
    if carried is not None:
        carried.into(method, space)
    yield from descend(method, space, steps=steps, replay=replay)


def descend(
    method: LBFGS | Adam, space: Parameterization, *, steps: int, replay: bool = False
) -> Iterator[Iterate]:
    """Take a method's steps, as :func:`minimize` does, in a space of its own."""
    if not method.finite:
        raise FloatingPointError("the loss of the initial image is not finite")
    take_step = Replayed(method.step) if replay else method.step
    image = partial(space.image, method.best.point)
    recent: deque[Iterate] = deque(maxlen=STALL_STEPS + 1)
    for step in range(steps + 1):
        if step:
            take_step()
        iterate = Iterate(step, image, _status(method))
        yield iterate
        recent.append(iterate)
        may_wait = method.best.point.device.type == "cpu" or step % STALL_STEPS == 0
        if may_wait and (iterate.stuck or _stalled(recent)):
            return


def _status(method: LBFGS | Adam) -> Tensor:
    return torch.cat([method.best.loss, torch.stack([method.finite, method.rejected])])


def _stalled(recent: deque[Iterate]) -> bool:
    if len(recent) <= STALL_STEPS:
        return False
    before, now = recent[0].loss.total, recent[-1].loss.total
    return before - now < STALL_IMPROVEMENT * abs(before)
