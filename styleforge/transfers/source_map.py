"""A picture of where in the paintings each place of a pastiche came from, with its key."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.images.colors import luminance
from styleforge.images.geometry import Size, fit_size, resize, size_of
from styleforge.transfers.matching import Sources

GAP = 12
"""White pixels between the map and the key, and between paintings of the key."""

_HUES = 0.85
"""Share of the circle of hues that is used, so that both ends of a painting differ."""

_LIGHTEST, _DARKEST = 1.0, 0.3
"""Brightness at a painting's top and bottom."""

_TINT = 0.65
"""How much of a painting in the key is color, and how much its own light and dark."""


def source_map(sources: Sources, paintings: Sequence[Tensor], size: Size) -> Tensor:
    """The map of (width, height) and, to its right, the paintings in the colors they have in it.

    From left to right of the paintings the hue changes, several of them sharing the circle; from
    top to bottom it gets darker. All are (1, 3, H, W) in [0, 1].
    """
    count = len(paintings)
    colors = place_colors(sources.style, sources.x, sources.y, count)
    enlarged = F.interpolate(colors, (size[1], size[0]), mode="nearest")
    return _side_by_side([enlarged, _key(paintings, size[1])])


def place_colors(style: Tensor, x: Tensor, y: Tensor, count: int) -> Tensor:
    """What stands for places (x, y) in [0, 1] of one of ``count`` paintings, (1, 3, H, W)."""
    hue = _HUES * (style + x) / count
    value = _LIGHTEST + (_DARKEST - _LIGHTEST) * y
    return _rgb(hue, torch.full_like(hue, 0.85), value)[None]


def _key(paintings: Sequence[Tensor], height: int) -> Tensor:
    """The paintings under each other, each tinted as its places are in the map."""
    count = len(paintings)
    room = (height - GAP * (count - 1)) // count
    tinted = []
    for number, painting in enumerate(paintings):
        longest = round(max(painting.shape[2:]) * room / painting.shape[2])
        small = resize(painting, fit_size(size_of(painting), longest))
        rows, columns = small.shape[2:]
        y = ((torch.arange(rows) + 0.5) / rows)[:, None].expand(rows, columns)
        x = ((torch.arange(columns) + 0.5) / columns)[None].expand(rows, columns)
        colors = place_colors(torch.full_like(x, number), x, y, count)
        tinted.append(torch.lerp(luminance(small).expand_as(small), colors, _TINT))
    width = max(image.shape[3] for image in tinted)
    canvas = torch.ones(1, 3, height, width)
    for number, image in enumerate(tinted):
        top = number * (room + GAP)
        canvas[..., top : top + image.shape[2], : image.shape[3]] = image[..., : height - top, :]
    return canvas


def _side_by_side(images: Sequence[Tensor]) -> Tensor:
    gap = torch.ones(1, 3, images[0].shape[2], GAP)
    return torch.cat([images[0], *(part for image in images[1:] for part in (gap, image))], 3)


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """HSV in [0, 1] to RGB (3, ...) (Smith 1978)."""
    sectors = torch.stack([hue * 6 + offset for offset in (0, 4, 2)])
    ramp = ((sectors % 6 - 3).abs() - 1).clamp(0, 1)
    return value * (1 + saturation * (ramp - 1))
