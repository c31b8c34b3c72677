from __future__ import annotations

import numpy as np
import pytest

from styleforge.core.errors import UsageError
from styleforge.films.flow import Motion, motion
from styleforge.films.steady import (
    check_steadiness,
    likeness,
    recognized,
    rounded,
    steadied,
    trust,
)
from tests.films.made import pan

BIG = (96, 80)
STILL = np.zeros((4, 4, 2), np.float32)


def test_convention_a_frame_is_mixed_with_the_one_before() -> None:
    """By hand: (1 - 0.8) 100 + 0.8 200 = 180; with m = 0.5: 140; with m = 0: 100."""
    painted, before = (np.full((4, 4, 3), value, np.uint8) for value in (100, 200))
    for m, expected in ((1.0, 180), (0.5, 140), (0.0, 100)):
        trusted = np.full((4, 4), m, np.float32)
        assert (steadied(painted, before, STILL, trusted) == expected).all()


def test_a_still_stays_as_it_is() -> None:
    (frame,) = pan(1, size=BIG)
    painted = 255 - frame
    y = painted
    found = motion(frame, frame)
    for _ in range(10):
        y = steadied(painted, y, found.flow, trust(found, frame, frame))
    assert np.abs(y - painted.astype(int)).mean() < 1


def test_what_moves_takes_its_strokes_along() -> None:
    before, now = pan(2, size=BIG, step=3)
    found = motion(now, before)
    y = steadied(
        np.zeros_like(now), 255 - before, found.flow, trust(found, now, before), steadiness=0.99
    )
    inside = np.s_[8:-8, 8:-8]
    assert np.abs(y[inside] - (255 - now[inside]).astype(int)).mean() < 6


def test_light_that_changes_is_not_followed() -> None:
    (frame,) = pan(1, size=BIG)
    bright = rounded(frame.astype(float) + 60)
    found = motion(frame, frame)
    assert trust(found, frame, frame)[8:-8, 8:-8].mean() > 0.95
    assert trust(found, bright, frame)[8:-8, 8:-8].mean() < 0.1
    d = 60 / 255
    assert likeness(found, np.full_like(frame, 160), np.full_like(frame, 100))[
        9, 9
    ] == pytest.approx(np.exp(-50 * 3 * d * d), rel=1e-4)


def test_levels_are_rounded_within_their_range() -> None:
    assert rounded(np.array([-3.0, 0.4, 0.6, 254.6, 300.0])).tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize("steadiness", [-0.1, 1.0])
def test_a_share_that_is_none(steadiness: float) -> None:
    with pytest.raises(UsageError, match=r"^`steady` is from 0 to below 1 \(not "):
        check_steadiness(steadiness)


def test_what_comes_in_at_the_side_is_not_recognized_in_an_even_sky() -> None:
    """Warping repeats the outermost pixels there, which look as they should."""
    sky = np.full((80, 96, 3), 128, np.uint8)
    flow = np.zeros((80, 96, 2), np.float32)
    flow[..., 0] = 6  # from the right
    known = np.ones((80, 96), np.float32)
    known[:, 40:] = 0  # an edge of motion, and what is new
    found = recognized(Motion(flow, known), sky, sky)
    assert (found[:, :90] == 1).all()
    assert (found[:, 90:] == 0).all()


def test_light_that_changes_is_not_recognized() -> None:
    (frame,) = pan(1, size=BIG)
    found = motion(frame, frame)
    assert recognized(found, frame, frame).mean() > 0.9
    assert recognized(found, rounded(frame.astype(float) + 60), frame).mean() < 0.1
