"""A picture put together from what its cells were matched with: patches of the paintings."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.images.geometry import Size, resize, size_of
from styleforge.transfers.matching import Sources

_OVERLAP = 2
"""Patches are so many times as wide as the cells that they stand for."""


def patchwork(sources: Sources, paintings: Sequence[Tensor], size: Size) -> Tensor:
    """(1, 3, H, W) of a (width, height), from paintings (1, 3, H', W') as large beside it.

    Each cell brings the square around the place that it was matched with, upright as it was seen;
    where squares overlap they are mixed, each counting most at its middle.
    """
    down, across = sources.style.shape
    cell = max(1, round(size[0] / across))
    wide = _OVERLAP * cell
    patches = torch.zeros(down * across, 3, wide, wide)
    for number, painting in enumerate(paintings):
        for turns in range(4):
            chosen = ((sources.style == number) & (sources.turns == turns)).flatten()
            if chosen.any():
                y, x = _turned(sources.y.flatten()[chosen], sources.x.flatten()[chosen], turns)
                patches[chosen] = _cut(torch.rot90(painting.cpu(), turns, (2, 3)), y, x, cell)
    return resize(_mixed(patches, (down, across), cell), size).clamp(0, 1)


def lost(image: Tensor, coarse: Size) -> Tensor:
    """The fine detail of an image (1, 3, H, W) that a coarser (width, height) does not hold."""
    return image - resize(resize(image, coarse), size_of(image))


def _turned(y: Tensor, x: Tensor, turns: int) -> tuple[Tensor, Tensor]:
    """Where a place in [0, 1] of a painting is after so many quarter turns to the left."""
    for _ in range(turns):
        y, x = 1 - x, y
    return y, x


def _cut(painting: Tensor, y: Tensor, x: Tensor, cell: int) -> Tensor:
    """Squares (cells, 3, wide, wide) around places in [0, 1], moved inside by a cell at the edges.

    A painting's edge, and its frame, is what the edge of a picture is most like, and would be laid
    there in every frame of a film that pans.
    """
    rows, columns = painting.shape[2:]
    offsets = torch.arange(_OVERLAP * cell)
    top, left = (
        _inwards(place * side - len(offsets) / 2, cell, side - len(offsets) - cell)
        for place, side in ((y, rows), (x, columns))
    )
    down = (top[:, None] + offsets).clamp(max=rows - 1)[:, :, None]
    right = (left[:, None] + offsets).clamp(max=columns - 1)[:, None, :]
    return painting[0][:, down, right].transpose(0, 1)


def _inwards(places: Tensor, first: int, last: int) -> Tensor:
    """Whole places between two, or in their middle where there is no room."""
    if first > last:
        return torch.full_like(places, max(0, (first + last) // 2)).long()
    return places.round().long().clamp(first, last)


def _mixed(patches: Tensor, grid: tuple[int, int], cell: int) -> Tensor:
    """Squares laid over each other a cell apart, (1, 3, down cell, across cell)."""
    wide = patches.shape[2]
    line = (torch.arange(wide) + 0.5) / wide
    window = (torch.sin(torch.pi * line) ** 4).outer(torch.sin(torch.pi * line) ** 4)
    columns = (patches * window).flatten(1).mT[None]
    weights = window.flatten()[None, :, None].expand(1, -1, len(patches))
    size = (grid[0] * cell, grid[1] * cell)
    laid = [
        F.fold(x, size, wide, stride=cell, padding=(wide - cell) // 2) for x in (columns, weights)
    ]
    return laid[0] / laid[1]
