"""How a scene moved between two frames, where that is known, and frames carried along with it."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import cv2
import numpy as np

from styleforge.films.reading import Levels

Field = np.ndarray[Any, np.dtype[np.float32]]
"""(H, W, 2): x, then y, in pixels; or (H, W) of anything."""

_INCONSISTENT, _SLACK = 0.01, 0.5
"""|w + w'|^2 > 0.01 (|w|^2 + |w'|^2) + 0.5: what was hidden before (Ruder et al. 2016, eq. 5)."""

_BOUNDARY, _GRADIENT = 0.01, 0.002
"""|grad w|^2 > 0.01 |w|^2 + 0.002: edges of moving things (Ruder et al. 2016, eq. 6)."""

_SMEARED, _WHOLE = 0.3, 0.6
"""Share of a pixel that is taken along into one: below the first a smear, above the second not."""

_SMALLEST = 16
"""Pixels a side below which nothing is looked for: patches have 8."""


class Motion(NamedTuple):
    """From a frame to the one before it.

    ``flow`` (H, W, 2) is where each pixel was, relative to its place, in pixels; ``known`` (H, W)
    is 1 where that can be relied on, and 0 where something new appeared or motion has an edge.
    """

    flow: Field
    known: Field

    @property
    def share_known(self) -> float:
        return float(self.known.mean())


def motion(now: Levels, before: Levels) -> Motion:
    """Of two frames (H, W, 3) of one size, by dense inverse search (Kroeger et al. 2016)."""
    return _found(_search(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, finest=0), now, before)


def quick_motion(now: Levels, before: Levels) -> Motion:
    """The same at half the resolution and without refinement, to see how much is known."""
    return _found(_search(cv2.DISOPTICAL_FLOW_PRESET_FAST, finest=1), now, before)


def _found(search: Any, now: Levels, before: Levels) -> Motion:
    gray, gray_before = (cv2.cvtColor(levels, cv2.COLOR_RGB2GRAY) for levels in (now, before))
    if min(gray.shape) < _SMALLEST:
        return Motion(np.zeros((*gray.shape, 2), np.float32), np.ones(gray.shape, np.float32))
    back = search.calc(gray, gray_before, None)
    forth = search.calc(gray_before, gray, None)
    return Motion(back, consistent(back, forth) * (1 - boundaries(back)))


def consistent(back: Field, forth: Field) -> Field:
    """(H, W): 1 where the motion back and the motion forth from there come home, else 0.

    And where the place that it leads to is inside the frame.
    """
    there = warped(forth, back, interpolation=cv2.INTER_LINEAR)
    apart = np.square(back + there).sum(2)
    long = np.square(back).sum(2) + np.square(there).sum(2)
    known = (apart <= _INCONSISTENT * long + _SLACK) & inside(back)
    return cast(Field, known.astype(np.float32))


def boundaries(flow: Field) -> Field:
    """(H, W): 1 at the edges of what moves, else 0."""
    steepness = sum(np.square(part).sum(2) for part in np.gradient(flow, axis=(0, 1)))
    limit = _BOUNDARY * np.square(flow).sum(2) + _GRADIENT
    return cast(Field, (steepness > limit).astype(np.float32))


def unsmeared(flow: Field) -> Field:
    """(H, W) in [0, 1]: 0 where a motion enlarges what it takes along to more than three times.

    By area, from the determinant of the motion's derivative, I + grad w. The flow closes what was
    hidden by stretching what lies beside it, which leaves streaks.
    """
    down, across = cast(tuple[Field, Field], np.gradient(flow, axis=(0, 1)))
    area = (1 + across[..., 0]) * (1 + down[..., 1]) - across[..., 1] * down[..., 0]
    return cast(Field, np.clip((area - _SMEARED) / (_WHOLE - _SMEARED), 0, 1))


def warped(image: Any, flow: Field, *, interpolation: int = cv2.INTER_LANCZOS4) -> Any:
    """What was at the places that a motion leads to: (H, W, C) or (H, W), of the same type.

    By Lanczos, because what is warped frame after frame would get blurred by less.
    """
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return cv2.remap(
        image, x + flow[..., 0], y + flow[..., 1], interpolation, borderMode=cv2.BORDER_REPLICATE
    )


def _search(preset: int, *, finest: int) -> Any:
    """Down to the scale 2^-finest; 0 is full resolution, at half of which it stops by itself."""
    search = cv2.DISOpticalFlow.create(preset)
    search.setFinestScale(finest)
    if finest:
        search.setVariationalRefinementIterations(0)
    return search


def inside(flow: Field) -> Any:
    """(H, W): whether the place is in the frame."""
    height, width = flow.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    return (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
