"""Where one shot ends and another begins."""

from __future__ import annotations

from styleforge.films.flow import Motion

LEAST_KNOWN = 0.35
"""Share of a frame whose motion is known, under which it is of another shot.

Measured at 320 x 180: 0.73 and more within a shot, at fast motion and four frames apart, and at
most 0.1 between pictures that have nothing in common.
"""


def is_cut(motion: Motion) -> bool:
    """Whether hardly anything of a frame can be found in the one before it."""
    return motion.share_known < LEAST_KNOWN
