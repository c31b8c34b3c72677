"""A picture from coarse to fine: what transfers, textures, reconstructions and dreams share.

Each scale starts from the result of the one before it, enlarged (scales.py), and is optimised by
whatever the run is of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from styleforge.core.devices import out_of_memory_as_error
from styleforge.core.errors import OutOfMemoryError
from styleforge.images.geometry import Size, resize
from styleforge.optimize.evaluation import LossValues
from styleforge.optimize.minimize import Iterate
from styleforge.optimize.scales import Resize, Scale, refine

NOISE = 0.02
"""Standard deviation of the white noise around mid grey that a run may start from.

Like the authors' own code (Gatys et al. 2016), it is faint: loud noise is still there after
hundreds of steps.
"""


@dataclass(frozen=True)
class Progress:
    """Where a run stands after one step; ``evaluations`` counts those of all scales so far.

    Reading ``loss`` or ``note`` waits for the device.
    """

    scale: Scale
    scale_index: int
    scale_count: int
    evaluations: int
    iterate: Iterate
    message: str = ""

    @property
    def step(self) -> int:
        """Steps taken at this scale."""
        return self.iterate.step

    @property
    def loss(self) -> LossValues:
        return self.iterate.loss

    @property
    def note(self) -> str:
        """What the user should know of this step; mostly nothing."""
        return self.message or self.iterate.note


@dataclass(frozen=True)
class Reached:
    """The last iterate, with the initial image of its scale."""

    scale: Scale
    initial: Tensor
    iterate: Iterate


class CoarseToFine:
    """One run: iterate over it to its end, or stop early; ``image()`` is the picture so far.

    ``initial`` makes the image (1, 3, H, W) in [0, 1], on the CPU, that a scale would start from
    were there no other; ``optimize`` takes a scale and what it does start from: the result so far
    with ``detail`` of the initial image's, where that is finer. Where a scale runs out of memory
    it goes on from where it was if ``save_memory``, called with its size, finds a way.
    ``reached`` is where another run stood that this one goes on from.
    """

    def __init__(
        self,
        scales: Sequence[Scale],
        initial: Callable[[Scale], Tensor],
        optimize: Callable[[Scale, Tensor], Iterator[Iterate]],
        *,
        detail: float = 0.0,
        resize: Resize = resize,
        save_memory: Callable[[Size], bool] = lambda _: False,
        measure: str = "loss",
        reached: Reached | None = None,
    ) -> None:
        self.scales = scales
        self.measure = measure
        """What the total of the loss is called."""
        self.reached = reached
        """Nothing until the first step."""
        self._initial = initial
        self._optimize = optimize
        self._detail = detail
        self._resize = resize
        self._save_memory = save_memory

    def __iter__(self) -> Iterator[Progress]:
        evaluations = 0
        for index, scale in enumerate(self.scales):
            for iterate, message in self._within_memory(scale):
                evaluations += 1
                yield Progress(scale, index, len(self.scales), evaluations, iterate, message)

    def image(self) -> Tensor:
        """The picture so far, (1, 3, H, W) in [0, 1] on the CPU, always at the final size."""
        return self.at(self.scales[-1])

    def at(self, scale: Scale, detail: float | None = None) -> Tensor:
        """The picture so far at the size of a scale; ``detail`` may differ from the run's."""
        initial = self._initial(scale)
        if self.reached is None:
            return initial
        image = self.reached.iterate.image().detach().cpu()
        if self.reached.scale.size == scale.size:
            return image
        detail = self._detail if detail is None else detail
        return refine(image, self.reached.initial, initial, detail=detail, resize=self._resize)

    def _within_memory(self, scale: Scale) -> Iterator[tuple[Iterate, str]]:
        message = ""
        while True:
            error: OutOfMemoryError | None = None
            try:
                for iterate in self._steps(scale):
                    yield iterate, message
                    message = ""
            except OutOfMemoryError as reason:
                error = reason.with_traceback(None)  # whose frames hold the tensors
            if error is None:
                return
            if not self._save_memory(scale.size):
                raise error
            message = "out of memory: goes on in smaller tiles"

    def _steps(self, scale: Scale) -> Iterator[Iterate]:
        with out_of_memory_as_error(scale.size):
            initial = self._initial(scale)
            for iterate in self._optimize(scale, self.at(scale)):
                self.reached = Reached(scale, initial, iterate)
                yield iterate


def white_noise(size: Size, seed: int) -> Tensor:
    """Faint noise around mid grey, (1, 3, H, W), on the CPU."""
    width, height = size
    generator = torch.Generator().manual_seed(seed)
    return 0.5 + NOISE * torch.randn(1, 3, height, width, generator=generator)
