from __future__ import annotations

import numpy as np
import pytest

from styleforge.films.cuts import begins_shot
from styleforge.films.flow import boundaries, consistent, motion, unsmeared, warped
from tests.films.made import pan

BIG = (96, 80)


@pytest.mark.parametrize("step", [0, 1, 3, -2])
def test_the_motion_of_a_pan_is_found(step: int) -> None:
    before, now = pan(2, size=BIG, step=step)
    found = motion(now, before)
    across, down = np.median(found.flow, (0, 1))
    assert (across, down) == pytest.approx((step, 0), abs=0.1)
    assert found.share_known > 0.9
    assert not begins_shot(now, before)


def test_what_was_there_comes_back() -> None:
    before, now = pan(2, size=BIG, step=3)
    moved = warped(before, motion(now, before).flow)
    inside = np.s_[4:-4, 4:-4]
    assert np.abs(moved[inside] - now[inside].astype(int)).mean() < 1


def test_two_pictures_of_nothing_in_common_are_a_cut() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 96, 3), np.uint8)
    assert begins_shot(noise, pan(1, size=BIG)[0])


def test_convention_what_was_hidden_is_not_consistent() -> None:
    """By hand: |w + w'|^2 <= 0.01 (|w|^2 + |w'|^2) + 0.5."""
    back, forth = (np.zeros((20, 20, 2), np.float32) for _ in range(2))
    back[..., 0], forth[..., 0] = 2, -2
    assert consistent(back, forth)[10, 10] == 1
    forth[..., 0] = -2.75  # 0.5625 <= 0.01 (4 + 7.5625) + 0.5 = 0.6156
    assert consistent(back, forth)[10, 10] == 1
    forth[..., 0] = -2.8  # 0.64 > 0.01 (4 + 7.84) + 0.5 = 0.6184
    assert consistent(back, forth)[10, 10] == 0


def test_what_comes_from_outside_is_not_known() -> None:
    back, forth = (np.zeros((20, 20, 2), np.float32) for _ in range(2))
    back[..., 0], forth[..., 0] = -3, 3
    assert consistent(back, forth)[:, :3].sum() == 0
    assert consistent(back, forth)[:, 3:].all()


def test_convention_motion_has_a_boundary_where_it_is_steep() -> None:
    """By hand: |grad w|^2 > 0.01 |w|^2 + 0.002."""
    flow = np.zeros((20, 20, 2), np.float32)
    flow[..., 0] = np.arange(20) * 0.04  # 0.0016 < 0.002
    assert not boundaries(flow).any()
    flow[:, 10:, 0] += 5
    assert boundaries(flow)[10, 9:11].all()
    assert not boundaries(flow)[:, :9].any()


def test_frames_too_small_to_look_at_stay() -> None:
    found = motion(*pan(2, size=(12, 12)))
    assert not found.flow.any()
    assert found.known.all()


def test_convention_what_is_enlarged_to_more_than_three_times_is_smeared() -> None:
    """By hand: places x + w(x) = 0.25 x, 0.45 x and 0.8 x, of which the areas are these shares."""
    across = np.tile(np.arange(20, dtype=np.float32), (20, 1))
    for share, expected in ((0.25, 0.0), (0.45, 0.5), (0.8, 1.0)):
        for axis in (0, 1):
            flow = np.zeros((20, 20, 2), np.float32)
            flow[..., axis] = (share - 1) * (across if axis == 0 else across.T)
            assert unsmeared(flow) == pytest.approx(expected, abs=1e-5)
    turned = np.zeros((20, 20, 2), np.float32)
    turned[..., 0], turned[..., 1] = across.T - across, -across - across.T  # by 90 degrees
    assert unsmeared(turned) == pytest.approx(1)
