from __future__ import annotations

import numpy as np
import pytest

from styleforge.films.mixing import followed, mixed, whole
from tests.films.made import Array


def plain(level: int, share: int = 255) -> Array:
    return np.dstack([np.full((4, 6, 3), level, np.uint8), np.full((4, 6), share, np.uint8)])


def test_the_nearer_one_counts_more() -> None:
    earlier, later = plain(100), plain(200)
    means = [mixed(earlier, later, nearness).mean() for nearness in (0, 0.25, 0.5, 1)]
    assert means == [100, 125, 150, 200]


def test_what_came_along_counts_more() -> None:
    assert mixed(plain(100, 51), plain(200), 0.5).mean() == 183  # 100 + 100 / 1.2
    assert mixed(plain(100, 0), plain(200), 0.1).mean() == 199
    assert mixed(plain(100, 0), plain(200, 0), 0.25).mean() == 125, "neither did"


def test_strokes_keep_their_strength() -> None:
    random = np.random.default_rng(0)
    earlier, later = (whole(random.integers(60, 190, (80, 80, 3), np.uint8)) for _ in range(2))
    found = mixed(earlier, later, 0.5)
    plain_mean = (earlier[..., :3].astype(float) + later[..., :3]) / 2
    assert found.std() == pytest.approx(earlier[..., :3].std(), rel=0.05)
    assert plain_mean.std() < 0.75 * earlier[..., :3].std()
    assert np.array_equal(mixed(earlier, earlier, 0.5), earlier[..., :3]), "nothing is added"


def test_shares_become_less_on_the_way() -> None:
    still = np.zeros((4, 6, 2), np.float32)
    trusted = np.full((4, 6), 0.5, np.float32)
    once = followed(plain(7)[..., :3], whole(plain(7)[..., :3]), still, trusted)
    twice = followed(plain(9)[..., :3], once, still, trusted)
    assert (once[..., 3] == 128).all()
    assert (twice[..., 3] == 64).all()
    assert (twice[..., :3] == 9).all()
