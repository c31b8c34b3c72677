from __future__ import annotations

import colorsys

import pytest
import torch

from styleforge.transfers.matching import Sources
from styleforge.transfers.source_map import GAP, place_colors, source_map


def sources(height: int, width: int, *, styles: int = 1) -> Sources:
    """Every cell from the same place of the painting, the columns from each style in turn."""
    style = (torch.arange(width) % styles).expand(height, width)
    y = ((torch.arange(height) + 0.5) / height)[:, None].expand(height, width)
    x = ((torch.arange(width) + 0.5) / width).expand(height, width)
    return Sources(style, y, x, torch.zeros(height, width))


def test_colors_are_a_hue_from_left_to_right_and_dark_below() -> None:
    x, y = torch.tensor([[0.0, 0.5, 1.0]]), torch.tensor([[0.0, 0.5, 1.0]])
    found = place_colors(torch.zeros(1, 3), x, y, 1)[0, :, 0].T
    expected = [
        colorsys.hsv_to_rgb(hue, 0.85, value)
        for hue, value in zip((0, 0.425, 0.85), (1.0, 0.65, 0.3), strict=True)
    ]
    torch.testing.assert_close(found, torch.tensor(expected), atol=1e-6, rtol=0)


def test_paintings_share_the_circle_of_hues() -> None:
    end, start = place_colors(
        torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2), 2
    )[0, :, 0].T
    torch.testing.assert_close(end, start)


@pytest.mark.parametrize("styles", [1, 2, 3])
@pytest.mark.parametrize("size", [(60, 40), (40, 61)])
def test_the_map_has_the_pictures_size_and_the_key_is_as_high(
    styles: int, size: tuple[int, int]
) -> None:
    paintings = [torch.rand(1, 3, 50, 30 + 20 * k) for k in range(styles)]
    found = source_map(sources(10, 15, styles=styles), paintings, size)
    assert found.shape[2] == size[1]
    assert found.shape[3] > size[0] + GAP
    assert found.min() >= 0
    assert found.max() <= 1
    assert found[..., size[0] : size[0] + GAP].eq(1).all()


def test_a_picture_that_is_the_painting_has_the_colors_of_the_key() -> None:
    grey = torch.full((1, 3, 40, 60), 0.5)
    found = source_map(sources(40, 60), [grey], (60, 40))
    key = (found[..., 60 + GAP :] - 0.35 * 0.5) / 0.65
    torch.testing.assert_close(key, found[..., :60], atol=1e-4, rtol=0)
