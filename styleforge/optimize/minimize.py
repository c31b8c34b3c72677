"""Minimise an objective over an image at one size, step by step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Tensor

from styleforge.losses import Loss
from styleforge.optimize.adam import Adam
from styleforge.optimize.evaluation import Evaluator, LossValues
from styleforge.optimize.lbfgs import LBFGS
from styleforge.optimize.parameterization import SPECTRAL_EXPONENT, Parameterization

OptimizerName = Literal["lbfgs", "adam"]

STALL_STEPS = 10
STALL_IMPROVEMENT = 1e-3
"""A run ends early when 10 steps together lower the loss by less than a thousandth."""


@dataclass(frozen=True)
class Iterate:
    """The state after a step: ``step`` 0 is the start. ``image()`` is (1, 3, H, W) in [0, 1]."""

    step: int
    evaluations: int
    loss: LossValues
    note: str
    image: Callable[[], Tensor]


def minimize(
    objective: Callable[[Tensor], Loss], start: Tensor, *, optimizer: OptimizerName, steps: int
) -> Iterator[Iterate]:
    """Yield the start and then one iterate a step, at most ``steps``; the last is the best.

    ``start`` is (1, 3, H, W) in [0, 1]. Raises FloatingPointError if its loss is not finite.
    """
    height, width = start.shape[2:]
    exponent = SPECTRAL_EXPONENT[optimizer]
    space = Parameterization(height, width, exponent=exponent, device=start.device)
    evaluator = Evaluator(objective, space)
    point = space.coordinates(start)
    method: LBFGS | Adam = (
        LBFGS(evaluator, point) if optimizer == "lbfgs" else Adam(evaluator, point, steps=steps)
    )
    if not method.best.finite:
        raise FloatingPointError("the loss of the initial image is not finite")
    recent: deque[float] = deque(maxlen=STALL_STEPS + 1)
    for step in range(steps + 1):
        if step:
            method.step()
        best = method.best
        image = partial(space.image, best.point)
        yield Iterate(step, evaluator.count, best.loss, method.note, image)
        recent.append(best.value)
        if method.stuck or _stalled(recent):
            return


def _stalled(recent: deque[float]) -> bool:
    full = len(recent) == STALL_STEPS + 1
    return full and recent[0] - recent[-1] < STALL_IMPROVEMENT * abs(recent[0])
