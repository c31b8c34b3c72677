"""Frames that were painted one by one, held still: each is mixed with the one before, moved."""

from __future__ import annotations

from typing import Any, cast

import cv2
import numpy as np

from styleforge.core.errors import UsageError
from styleforge.films.flow import Field, Motion, inside, unsmeared, warped
from styleforge.films.reading import Levels

STEADINESS = 0.8
"""c: how much of a frame is the one before it, moved, where that is known."""

_UNLIKE = 50.0
"""By how much less, per squared difference of the original's colors in [0, 1] (Lai et al. 2018)."""

_SOFT = 1.0
"""Pixels over which the share of the frame before fades out at its edges."""


def check_steadiness(steadiness: float) -> None:
    """Raise :class:`UsageError` for a share that is none; with 1 nothing would be painted anew."""
    if not 0 <= steadiness < 1:
        raise UsageError(f"`steady` is from 0 to below 1 (not {steadiness:g})")


def trust(motion: Motion, frame: Levels, before: Levels) -> Field:
    """How far a result can follow the original, (H, W) in [0, 1].

    The motion's own, times :func:`likeness`, so that light that changes, and edges that the motion
    missed, are painted anew and leave no ghosts.
    """
    known = motion.known * likeness(motion, frame, before)
    return cast(Field, cv2.GaussianBlur(cv2.erode(known, np.ones((3, 3))), (0, 0), _SOFT))


def recognized(motion: Motion, frame: Levels, before: Levels) -> Field:
    """How much a frame's start takes from the last result, moved: (H, W) in [0, 1].

    Where it looks as it should, even at edges of motion, where it could not be held to: what is
    begun anew there in every frame never gets finished. But not what comes in at the sides of a
    frame, nor smears: there warping repeats pixels, which became streaks in an even sky.
    """
    in_sight = inside(motion.flow) * unsmeared(motion.flow)
    return cast(Field, in_sight * likeness(motion, frame, before))


def likeness(motion: Motion, frame: Levels, before: Levels) -> Field:
    """exp(-50 |frame - warp(before)|^2), (H, W): whether what was moved looks as it should."""
    colors = (frame.astype(np.float32) - warped(before, motion.flow)) / 255
    alike: Field = np.exp(-_UNLIKE * np.square(colors).sum(2))
    return alike


def steadied(
    painted: Levels, before: Levels, flow: Field, trusted: Field, *, steadiness: float = STEADINESS
) -> Levels:
    """Y = (1 - c m) x + c m warp(y before), of frames (H, W, 3): x painted, y steadied.

    m (H, W) is how far y before can be followed (Lai et al. 2018, Ruder et al. 2016).
    """
    share = (steadiness * trusted)[..., None]
    moved = warped(before.astype(np.float32), flow)
    mixed = painted + share * (moved - painted)
    return rounded(mixed)


def rounded(levels: Any) -> Levels:
    """To 8 bits, as a file holds it: what goes on from it is the same after an interruption."""
    whole: Levels = np.clip(np.rint(levels), 0, 255).astype(np.uint8)
    return whole
