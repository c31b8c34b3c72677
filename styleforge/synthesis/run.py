"""An image from white noise, coarse to fine: what reconstructions and textures share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from styleforge.core.devices import out_of_memory_as_error
from styleforge.images.geometry import Size, resize
from styleforge.losses.objective import Loss
from styleforge.optimize.evaluation import Evaluator
from styleforge.optimize.lbfgs import LBFGS
from styleforge.optimize.minimize import Iterate, descend
from styleforge.optimize.parameterization import Parameterization
from styleforge.optimize.scales import Scale
from styleforge.transfers.run import NOISE

ObjectiveAt = Callable[[Size], Callable[[Tensor], Loss]]
"""Makes the objective for images of a (width, height)."""


@dataclass(frozen=True)
class SynthesisProgress:
    """Where a run stands after so many steps at a scale; ``value`` is of what it measures."""

    scale_index: int
    scale: Scale
    step: int
    value: float


class Synthesis:
    """One run: iterate over it to its end, or stop early; ``image()`` is the picture so far.

    Each scale starts from the enlarged result of the one before it, the first from white noise.
    ``periodic`` images go on at their opposite edges, and so should the objective.
    """

    measure = "loss"
    """What is minimised."""

    def __init__(
        self,
        objective_at: ObjectiveAt,
        scales: Sequence[Scale],
        *,
        seed: int = 0,
        periodic: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self.scales = scales
        self._objective_at = objective_at
        self._periodic = periodic
        self._device = torch.device(device)
        self._start = white_noise(scales[0].size, seed)
        self._reached: Iterate | None = None

    def __iter__(self) -> Iterator[SynthesisProgress]:
        for index, scale in enumerate(self.scales):
            with out_of_memory_as_error(scale.size):
                for iterate in self._descend(scale):
                    self._reached = iterate
                    yield SynthesisProgress(index, scale, iterate.step, iterate.loss.total)

    @property
    def started(self) -> bool:
        """Whether there is anything to see yet."""
        return self._reached is not None

    def image(self) -> Tensor:
        """The picture so far, (1, 3, H, W) in [0, 1] on the CPU, always at the final size."""
        return self._resized(self.scales[-1].size)

    def _descend(self, scale: Scale) -> Iterator[Iterate]:
        width, height = scale.size
        space = Parameterization(height, width, periodic=self._periodic, device=self._device)
        start = space.coordinates(self._resized(scale.size).to(self._device))
        method = LBFGS(Evaluator(self._objective_at(scale.size), space), start)
        return descend(method, space, steps=scale.steps)

    def _resized(self, size: Size) -> Tensor:
        image = self._start if self._reached is None else self._reached.image().detach().cpu()
        return resize_periodic(image, size) if self._periodic else resize(image, size)


def resize_periodic(pixels: Tensor, size: Size) -> Tensor:
    """Resize (1, C, H, W) to (width, height) as if it went on at its opposite edges."""
    width, height = size
    repeated = resize(pixels.repeat(1, 1, 3, 3), (3 * width, 3 * height))
    return repeated[..., height : 2 * height, width : 2 * width]


def white_noise(size: Size, seed: int) -> Tensor:
    """Faint noise around mid grey, (1, 3, H, W), as a transfer's ``init: noise`` begins with."""
    width, height = size
    generator = torch.Generator().manual_seed(seed)
    return 0.5 + NOISE * torch.randn(1, 3, height, width, generator=generator)
