"""Two results for one frame, one from earlier and one from later, mixed.

A result with how far it was followed is (H, W, 4): colors, and in the fourth channel the share of
them that came all the way, in levels.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from styleforge.films.flow import Field, warped
from styleforge.films.reading import Levels
from styleforge.films.steady import rounded

_LEAST = 1e-3
"""Of a share: where neither result came along, the nearer one counts."""


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

    y = a + b (z - a),  b = t s_z / ((1 - t) s_a + t s_z)
    """
    a, b = (_share(earlier) * (1 - nearness), _share(later) * nearness)
    colors, others = (part[..., :3].astype(np.float32) for part in (earlier, later))
    return rounded(colors + (b / (a + b))[..., None] * (others - colors))


def _share(result: Levels) -> Field:
    shares: Any = result[..., 3].astype(np.float32) / 255 + _LEAST
    return cast(Field, shares)
