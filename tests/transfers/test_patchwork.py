from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.transfers.matching import Sources
from styleforge.transfers.patchwork import lost, patchwork


def everywhere_itself(down: int, across: int, *, turns: int = 0, style: int = 0) -> Sources:
    """Each cell comes from its own place, of a picture that was turned before."""
    y = ((torch.arange(down) + 0.5) / down)[:, None].expand(down, across)
    x = ((torch.arange(across) + 0.5) / across).expand(down, across)
    for _ in range(turns):
        y, x = x, 1 - y
    same = torch.ones(down, across)
    return Sources(same.long() * style, y, x, same * turns)


INSIDE = (..., slice(20, -20), slice(20, -20))
"""Where no square was moved away from an edge."""


@pytest.fixture
def picture() -> Tensor:
    """96 x 80: 12 x 10 cells."""
    return torch.rand(1, 3, 80, 96, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("turns", range(4))
def test_a_picture_is_put_together_from_itself(picture: Tensor, turns: int) -> None:
    """Whatever the painting was turned by before it was matched."""
    painting = torch.rot90(picture, -turns, (2, 3))
    found = patchwork(everywhere_itself(10, 12, turns=turns), [painting], (96, 80))
    torch.testing.assert_close(found[INSIDE], picture[INSIDE])


def test_the_frame_of_a_painting_is_left_out(picture: Tensor) -> None:
    framed = torch.ones_like(picture)
    framed[..., 8:-8, 8:-8] = 0.25
    found = patchwork(everywhere_itself(10, 12), [framed], (96, 80))
    torch.testing.assert_close(found, torch.full_like(found, 0.25))


def test_cells_come_from_the_style_that_they_name(picture: Tensor) -> None:
    sources = everywhere_itself(10, 12, style=1)
    found = patchwork(sources, [torch.zeros_like(picture), picture], (96, 80))
    torch.testing.assert_close(found[INSIDE], picture[INSIDE])


def test_places_at_the_edge_and_small_paintings_are_filled(photo: Tensor) -> None:
    sources = everywhere_itself(5, 8)
    corner = sources._replace(y=torch.zeros(5, 8), x=torch.ones(5, 8))
    assert patchwork(corner, [photo], (64, 40)).isfinite().all()
    assert patchwork(corner, [photo[..., :7, :9]], (64, 40)).shape == (1, 3, 40, 64)


def test_sides_that_are_no_multiples_of_cells(photo: Tensor) -> None:
    assert patchwork(everywhere_itself(5, 8), [photo], (67, 43)).shape == (1, 3, 43, 67)


def test_what_is_lost_has_no_color_of_its_own(photo: Tensor) -> None:
    fine = lost(photo, (16, 10))
    assert fine.abs().mean() > 0.01
    assert fine.mean().abs() < 0.01
    assert lost(torch.full_like(photo, 0.3), (16, 10)).abs().max() < 1e-5
