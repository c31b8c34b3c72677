from __future__ import annotations

import pytest

from styleforge.jobs.video import frames_to_paint


@pytest.mark.parametrize(
    ("keyframes", "expected"),
    [((), 9), ((0,), 9), ((9,), 9), ((4,), 9), ((0, 9), 16), ((2, 5, 6), 2 + 2 * 2 + 3)],
)
def test_frames_between_keyframes_are_painted_twice(
    keyframes: tuple[int, ...], expected: int
) -> None:
    assert frames_to_paint(10, keyframes) == expected
