from __future__ import annotations

import numpy as np
import pytest

from styleforge.films.flicker import Flicker, error, flickers
from tests.films.made import pan

BIG = (96, 80)


def test_convention_the_error_is_a_mean_over_channels() -> None:
    """By hand: two pixels known, each 51 / 255 = 0.2 away in one of three channels."""
    this, following = np.zeros((2, 4, 4, 3), np.uint8)
    following[..., 0] = 51
    known = np.zeros((4, 4), np.float32)
    known[0, :2] = 1
    found = error(this, following, np.zeros((4, 4, 2), np.float32), known)
    assert found == pytest.approx(2 * 0.04 / 3)


def last(originals: list[np.ndarray], painted: list[np.ndarray]) -> Flicker:  # type: ignore[type-arg]
    *_, found = flickers(iter(originals), iter(painted))
    return found


def test_a_film_flickers_as_itself() -> None:
    film = pan(4, size=BIG, step=2)
    found = last(film, film)
    assert found.pairs == 3
    assert 0 < found.painted == found.original < 1e-3


def test_noise_is_more_flicker() -> None:
    film = pan(4, size=BIG, step=2)
    random = np.random.default_rng(0)
    noisy = [np.clip(f + random.normal(0, 20, f.shape), 0, 255).astype(np.uint8) for f in film]
    assert last(film, noisy).painted > 10 * last(film, film).painted


def test_cuts_are_left_out() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 96, 3), np.uint8)
    film = [*pan(2, size=BIG), noise, noise]
    found = last(film, film)
    assert (found.pairs, found.cuts) == (2, 1)
