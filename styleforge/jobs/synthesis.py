"""What textures, dreams and reconstructions have in common once they are made ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import torch
from pydantic import BeforeValidator
from torch import Tensor

from styleforge.core.allocator import keep_freed_memory
from styleforge.core.errors import UsageError
from styleforge.images.geometry import Size, check_longest, fit_size, parse_size
from styleforge.images.load import MIN_SIDE, Picture
from styleforge.images.save import Depth
from styleforge.jobs.recipe import SynthesisRecipe
from styleforge.jobs.result import Kept, Result
from styleforge.optimize.coarse_to_fine import CoarseToFine, Progress
from styleforge.transfers.estimate import available_memory, ensure_fits, peak_memory
from styleforge.vgg.network import VGG19


def _size(size: Size | str) -> Size:
    return parse_size(size) if isinstance(size, str) else size


PictureSize = Annotated[Size, BeforeValidator(_size)]
"""Recipes hold it as text."""


@dataclass(frozen=True)
class SynthesisJob:
    """One run or several, and the picture that is made of what they found.

    ``picture`` gives it as (1, 3, H, W) on the CPU, whenever it is asked for.
    """

    output: Path | None
    device: torch.device
    recipe: SynthesisRecipe
    runs: Sequence[CoarseToFine]
    picture: Callable[[], Tensor]
    depth: Depth = 8
    kept: Kept = field(default_factory=Kept)

    def __iter__(self) -> Iterator[tuple[CoarseToFine, Progress]]:
        """Carry out the runs, one after the other."""
        keep_freed_memory()
        for run in self.runs:
            for progress in run:
                yield run, progress

    @property
    def started(self) -> bool:
        """Whether there is anything to see yet."""
        return not self.runs or self.runs[0].reached is not None

    def result(self) -> Result:
        """The picture so far."""
        return Result(self.picture(), self.recipe, depth=self.depth).with_only(self.kept)


def fitting_size(picture: Picture, longest: int) -> Size:
    """(width, height) at this longest side. Raises :class:`UsageError` where it cannot be."""
    check_longest(longest)
    size = fit_size(picture.size, longest)
    if min(size) < MIN_SIDE:
        raise UsageError(
            f"{picture.path} is {picture.size[0]} x {picture.size[1]} pixels: at size {longest} "
            f"its shorter side would have {min(size)}; both sides must have at least {MIN_SIDE}"
        )
    return size


def check_memory(network: VGG19, size: Size, device: torch.device) -> None:
    """Raise :class:`OutOfMemoryError` where an image of this size would not fit."""
    ensure_fits(
        available_memory(device), size, lambda pixels: peak_memory(network, pixels, device=device)
    )
