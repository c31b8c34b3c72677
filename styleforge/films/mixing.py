"""Two results for one frame, one from earlier and one from later, mixed.

A result with how far it was followed is (H, W, 4): colors, and in the fourth channel the share of
them that came all the way, in levels.
"""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np

from styleforge.films.flow import Field, warped
from styleforge.films.reading import Levels
from styleforge.films.steady import rounded

_LEAST = 1e-3
"""Of a share: where neither result came along, the nearer one counts."""

_STROKE, _MOST_GAIN = 3.0, 1.5
"""Pixels within which strokes keep their strength, and by how much they are made stronger at most.

Of two that have nothing in common half and half leaves 1 / sqrt(2).
"""


def whole(levels: Levels) -> Levels:
    """A picture that everything comes from, (H, W, 4)."""
    return np.dstack([levels, np.full(levels.shape[:2], 255, np.uint8)])


def followed(result: Levels, before: Levels, flow: Field, trusted: Field) -> Levels:
    """A result (H, W, 3) with what came along so far, by that of the frame before (H, W, 4).

    s = m warp(s before), with m how far the motion can be trusted here.
    """
    share = trusted * warped(before[..., 3].astype(np.float32), flow)
    return np.dstack([result, rounded(share)])


def mixed(earlier: Levels, later: Levels, nearness: float) -> Levels:
    """(H, W, 3): by ``nearness`` to the later one, from 0 to 1, and by what came along of each.

    y = x + b (z - x),  b = t s_z / ((1 - t) s_x + t s_z)

    Strokes that are not in the same place would get fainter; they keep their strength.
    """
    share_x, share_z = _share(earlier) * (1 - nearness), _share(later) * nearness
    b = (share_z / (share_x + share_z))[..., None]
    x, z = (part[..., :3].astype(np.float32) for part in (earlier, later))
    mix = x + b * (z - x)
    wanted = _strength(x) + b * (_strength(z) - _strength(x))
    gain = np.sqrt((wanted + 1) / (_strength(mix) + 1))
    smooth = _smooth(mix)
    return rounded(smooth + np.clip(gain, 1, _MOST_GAIN) * (mix - smooth))


def _smooth(picture: Field) -> Field:
    return cast(Field, cv2.GaussianBlur(picture, (0, 0), _STROKE))


def _strength(picture: Field) -> Field:
    """(H, W, 1): how far, squared, colors are from their surroundings' there."""
    apart = np.square(picture - _smooth(picture)).mean(2)
    return _smooth(cast(Field, apart))[..., None]


def _share(result: Levels) -> Field:
    shares: Any = result[..., 3].astype(np.float32) / 255 + _LEAST
    return cast(Field, shares)
