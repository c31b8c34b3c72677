"""Coarse to fine: which sizes to optimise at, and how each starts from the one before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from torch import Tensor

from styleforge.images.geometry import Size, fit_size, resize, size_of
from styleforge.images.load import MIN_SIDE


class Stage(Enum):
    """What the style is at a scale.

    Statistics alone; or the neighbors of whole hypercolumns, or of each layer by itself, which
    go beside the statistics where a preset weighs both.
    """

    STATISTICS = "statistics"
    HYPERCOLUMNS = "hypercolumns"
    LAYERS = "layers"


@dataclass(frozen=True)
class Scale:
    """One size of the schedule: (width, height) in pixels and the steps to take there.

    ``offset`` (x, y) is by how many pixels the picture is moved to the right and down before it is
    looked at. Pooling takes squares of two, four and eight pixels, and what is optimised against
    one lattice of them shows it as a fine grid.
    """

    size: Size
    steps: int
    stage: Stage = Stage.STATISTICS
    offset: tuple[int, int] = (0, 0)

    @property
    def longest(self) -> int:
        return max(self.size)


def plan_scales(
    final: Size, *, steps: int, start: int, factor: float, coarse_steps: int
) -> list[Scale]:
    """Sizes start, start * factor, ... and the final one last.

    A size within a factor of sqrt(``factor``) of the final one is left out: it would cost
    nearly as much and teach little. So is one whose shorter side is under 32 pixels.
    """
    scales = []
    longest = float(start)
    while longest * factor**0.5 < max(final):
        size = fit_size(final, round(longest))
        if min(size) >= MIN_SIDE:
            scales.append(Scale(size, coarse_steps))
        longest *= factor
    return [*scales, Scale(final, steps)]


Resize = Callable[[Tensor, Size], Tensor]
"""Brings (1, 3, H, W) to a (width, height)."""


def refine(
    coarse: Tensor,
    coarse_content: Tensor,
    content: Tensor,
    *,
    detail: float,
    resize: Resize = resize,
) -> Tensor:
    """The start of a finer scale: upsampled result plus the photo's own fine detail.

        upsample(coarse) + detail * (content - upsample(coarse_content))

    With ``detail`` 1 the photo is moved only by what the coarse scale changed; with 0 it is a
    plain enlargement. All are (1, 3, H, W) in [0, 1], and so is the result.
    """
    size = size_of(content)
    lost = content - resize(coarse_content, size)
    return (resize(coarse, size) + detail * lost).clamp(0, 1)
