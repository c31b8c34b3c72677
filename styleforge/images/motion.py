"""How a scene moved from one frame to the next, and a result carried along with it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.images.colors import luminance
from styleforge.images.geometry import Size, resize

_COARSEST = 16
"""Pixels on the shorter side below which nothing is looked for."""

_ROUNDS = 4
"""Times the motion is corrected at each size."""

_WINDOW = 11
"""Pixels a side of the square that is taken to move as one."""

_FLATNESS = 1e-5
"""Squared gradient, of a luminance in [0, 1], under which a window tells nothing of its motion."""


@torch.no_grad()
def carried(result: Tensor, before: Tensor, frame: Tensor) -> Tensor:
    """What became of the frame before, moved to where its scene is now: (1, 3, H, W) in [0, 1].

        moved(result) + frame - moved(before)

    Strokes stay on what they were painted on, and what is new comes from the frame itself.
    """
    field = motion(frame, before)
    return (moved(result, field) + frame - moved(before, field)).clamp(0, 1)


def motion(frame: Tensor, before: Tensor) -> Tensor:
    """Where each pixel of a frame was in the one before, relative to its place: (1, 2, H, W).

    x, then y, in pixels. Lucas and Kanade 1981, from coarse to fine: within a window the motion d
    solves

        (sum g g^T) d = sum g (frame - before(x + d)),     g: the gradient of the frame's luminance
    """
    now, then = luminance(frame), luminance(before)
    field = now.new_zeros(1, 2, 1, 1)
    for height, width in _sizes(now.shape[2], now.shape[3]):
        fine, coarse = resize(now, (width, height)), resize(then, (width, height))
        grown = torch.tensor([width / field.shape[3], height / field.shape[2]]).view(1, 2, 1, 1)
        field = F.interpolate(field, (height, width), mode="bilinear") * grown.to(field)
        for _ in range(_ROUNDS):
            field = field + _correction(fine, moved(coarse, field))
    return field


def moved(image: Tensor, field: Tensor) -> Tensor:
    """The image (1, C, H, W) at the places that a motion points to; edge pixels go on outside."""
    height, width = image.shape[2:]
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([x, y]).to(field) + field[0]
    half = torch.tensor([width, height]).view(2, 1, 1).to(field) / 2
    grid = ((places + 0.5) / half - 1).permute(1, 2, 0)[None]
    return F.grid_sample(image, grid, "bicubic", "border", align_corners=False).clamp(0, 1)


def _sizes(height: int, width: int) -> list[Size]:
    """Halved until little is left, the smallest first."""
    sizes = [(height, width)]
    while min(sizes[0]) >= 2 * _COARSEST:
        sizes.insert(0, (sizes[0][0] // 2, sizes[0][1] // 2))
    return sizes


def _correction(now: Tensor, then: Tensor) -> Tensor:
    """What is still to be added to the motion: the 2 x 2 systems solved by Cramer's rule."""
    across, down = torch.gradient(now, dim=(3, 2))
    change = now - then
    products = [across * across, across * down, down * down, across * change, down * change]
    xx, xy, yy, xt, yt = _window_means(torch.cat(products, 1)).unbind(1)
    xx, yy = xx + _FLATNESS, yy + _FLATNESS
    determinant = xx * yy - xy * xy
    return torch.stack([yy * xt - xy * yt, xx * yt - xy * xt], 1) / determinant[:, None]


def _window_means(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, _WINDOW, 1, _WINDOW // 2, count_include_pad=False)
