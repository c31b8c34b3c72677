"""An image from white noise, coarse to fine: what reconstructions and textures share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from styleforge.images.geometry import Size, resize
from styleforge.losses.objective import Loss
from styleforge.optimize.coarse_to_fine import CoarseToFine, white_noise
from styleforge.optimize.evaluation import Evaluator
from styleforge.optimize.lbfgs import LBFGS
from styleforge.optimize.minimize import Iterate, descend
from styleforge.optimize.parameterization import Parameterization
from styleforge.optimize.scales import Scale

ObjectiveAt = Callable[[Size], Callable[[Tensor], Loss]]
"""Makes the objective for images of a (width, height)."""


def synthesis(
    objective_at: ObjectiveAt,
    scales: Sequence[Scale],
    *,
    seed: int = 0,
    periodic: bool = False,
    device: torch.device | str = "cpu",
) -> CoarseToFine:
    """A run that minimises an objective from white noise.

    ``periodic`` images go on at their opposite edges, and so should the objective.
    """

    def initial(scale: Scale) -> Tensor:
        return white_noise(scale.size, seed)

    def minimize(scale: Scale, start: Tensor) -> Iterator[Iterate]:
        width, height = scale.size
        space = Parameterization(height, width, periodic=periodic, device=device)
        point = space.coordinates(start.to(device))
        method = LBFGS(Evaluator(objective_at(scale.size), space), point)
        return descend(method, space, steps=scale.steps)

    return CoarseToFine(scales, initial, minimize, resize=resize_periodic if periodic else resize)


def resize_periodic(pixels: Tensor, size: Size) -> Tensor:
    """Resize (1, C, H, W) to (width, height) as if it went on at its opposite edges."""
    width, height = size
    repeated = resize(pixels.repeat(1, 1, 3, 3), (3 * width, 3 * height))
    return repeated[..., height : 2 * height, width : 2 * width]
