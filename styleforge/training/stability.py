"""The loss of stability: a network for films paints a moved photo as it paints the photo.

    L_s = weight mean((f(T x + e) - T f(x))^2)

T is a shift by whole pixels and e a little noise. A network that was not trained so lays its
strokes anew wherever a film moves. (ReCoNet, Gao et al. 2018, and ReReVST, Wang et al. 2020, move
along the motion of films and along random motion.)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

FARTHEST = 8
"""Pixels of a shift at most: more than what the strides of a network make one position of."""

_EDGE = 16
"""Pixels at the edges, which see what lies beyond them, and do not count."""

_NOISE = 0.01
"""Standard deviation."""


class Windows(NamedTuple):
    """Two windows of the same photos, the second moved by ``shift`` (y, x) and with noise."""

    still: Tensor
    moved: Tensor
    shift: tuple[int, int]


def windows(photos: Tensor, seed: int) -> Windows:
    """Of photos (B, 3, H, W) in [0, 1]: both (B, 3, H - 8, W - 8), always the same for a seed."""
    chance = torch.Generator().manual_seed(seed % 2**63)
    y, x = torch.randint(1, FARTHEST + 1, (2,), generator=chance).tolist()
    still = photos[..., :-FARTHEST, :-FARTHEST]
    height, width = still.shape[-2:]
    noise = _NOISE * torch.randn(still.shape, generator=chance)
    moved = photos[..., y : y + height, x : x + width] + noise.to(photos)
    return Windows(still, moved.clamp(0, 1), (y, x))


def instability(still: Tensor, moved: Tensor, shift: tuple[int, int]) -> Tensor:
    """Mean squared difference of pastiches (B, 3, H, W) of both windows, where both see a place."""
    (y, x), (height, width) = shift, still.shape[-2:]
    here = still[..., y + _EDGE : height - _EDGE, x + _EDGE : width - _EDGE]
    there = moved[..., _EDGE : height - _EDGE - y, _EDGE : width - _EDGE - x]
    return nn.functional.mse_loss(there, here)
