from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.images.geometry import resize
from styleforge.images.load import load_image
from styleforge.images.motion import carried, motion, moved
from tests.conftest import CHELSEA

INSIDE = (..., slice(12, -12), slice(12, -12))


@pytest.fixture(scope="module")
def scene() -> Tensor:
    """Half a photograph, (1, 3, 150, 225)."""
    return resize(load_image(CHELSEA).pixels, (225, 150))


def crop(scene: Tensor, left: int, top: int) -> Tensor:
    """(1, 3, 80, 96)."""
    return scene[..., top : top + 80, left : left + 96]


@pytest.mark.parametrize(("x", "y"), [(0, 0), (2, 0), (-3, 1), (0, -4), (5, 3)])
def test_the_motion_of_a_pan_is_found(scene: Tensor, x: int, y: int) -> None:
    field = motion(crop(scene, 60 + x, 30 + y), crop(scene, 60, 30))
    assert field.shape == (1, 2, 80, 96)
    across, down = field[INSIDE].flatten(2).median(2).values[0].tolist()
    assert (across, down) == pytest.approx((x, y), abs=0.15)


def test_pixels_come_from_where_the_motion_points(scene: Tensor) -> None:
    before = crop(scene, 60, 30)
    field = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 80, 96)
    torch.testing.assert_close(moved(before, field)[INSIDE], crop(scene, 63, 28)[INSIDE])
    assert torch.equal(moved(before, field)[..., 50, -1], before[..., 48, -1]), "the edge goes on"


def test_two_parts_may_move_differently(scene: Tensor) -> None:
    before = crop(scene, 60, 30)
    now = torch.cat([crop(scene, 62, 30)[..., :48], crop(scene, 58, 30)[..., 48:]], 3)
    across = motion(now, before)[0, 0]
    assert across[20:60, 12:36].median() == pytest.approx(2, abs=0.3)
    assert across[20:60, 60:84].median() == pytest.approx(-2, abs=0.3)


def test_what_has_no_texture_stays_where_it_is() -> None:
    flat = torch.full((1, 3, 40, 40), 0.5)
    for now in (flat, torch.zeros_like(flat)):
        assert motion(now, flat).abs().max() < 1e-3


def test_a_result_moves_with_its_scene(scene: Tensor) -> None:
    painted = 1 - scene
    before, now = crop(scene, 60, 30), crop(scene, 63, 28)
    start = carried(crop(painted, 60, 30), before, now)
    assert start.shape == now.shape
    assert 0 <= start.min() <= start.max() <= 1
    wanted = crop(painted, 63, 28)
    left = (start - wanted)[INSIDE].abs().mean()
    assert left < 0.5 * (crop(painted, 60, 30) - wanted)[INSIDE].abs().mean()


def test_where_nothing_moved_the_result_stays(scene: Tensor) -> None:
    frame, result = crop(scene, 60, 30), crop(scene, 20, 10)
    torch.testing.assert_close(carried(result, frame, frame), result, atol=1e-5, rtol=0)
