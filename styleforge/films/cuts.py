"""Where one shot ends and another begins."""

from __future__ import annotations

from typing import cast

import cv2

from styleforge.films.flow import quick_motion
from styleforge.films.reading import Levels

LEAST_KNOWN = 0.35
"""Share of a frame whose motion is known, under which it is of another shot.

Measured at :data:`_LOOKED_AT`: 0.78 and more from frame to frame within a shot, 0.65 and more at
fast motion and four frames apart, and at most 0.1 between pictures that have nothing in common.
"""

_LOOKED_AT = 160
"""Pixels of the longest side at which cuts are looked for, in 3 ms a frame."""


def begins_shot(now: Levels, before: Levels) -> bool:
    """Whether hardly anything of a frame (H, W, 3) can be found in the one before it."""
    return quick_motion(_small(now), _small(before)).share_known < LEAST_KNOWN


def _small(levels: Levels) -> Levels:
    height, width = levels.shape[:2]
    factor = _LOOKED_AT / max(height, width)
    if factor >= 1:
        return levels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return cast(Levels, cv2.resize(levels, size, interpolation=cv2.INTER_AREA))
