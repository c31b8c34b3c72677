from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.images.colors import keep_colors

TO_YIQ = torch.tensor(
    [[0.299, 0.587, 0.114], [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]]
)


def yiq(image: Tensor) -> Tensor:
    return torch.einsum("ij,bjhw->bihw", TO_YIQ, image)


def between(low: float, high: float, seed: int) -> Tensor:
    random = torch.rand(1, 3, 12, 16, generator=torch.Generator().manual_seed(seed))
    return low + (high - low) * random


def test_luminance_is_the_pastiches_and_color_is_the_photos() -> None:
    pastiche, photo = between(0.4, 0.6, 0), between(0.3, 0.7, 1)
    found = yiq(keep_colors(pastiche, photo))
    torch.testing.assert_close(found[:, :1], yiq(pastiche)[:, :1], rtol=0, atol=1e-6)
    torch.testing.assert_close(found[:, 1:], yiq(photo)[:, 1:], rtol=0, atol=1e-6)


def test_a_grey_photo_stays_grey() -> None:
    grey = between(0, 1, 1)[:, :1].expand(-1, 3, -1, -1)
    found = keep_colors(between(0, 1, 0), grey)
    torch.testing.assert_close(found, found[:, :1].expand_as(found), rtol=0, atol=1e-6)


def test_a_photo_with_its_own_luminance_stays_as_it_is() -> None:
    photo = between(0, 1, 1)
    assert keep_colors(photo, photo).equal(photo)


@pytest.mark.parametrize(
    ("level", "expected"), [(0.0, (0.701, 0, 0)), (1.0, (1, 0.701, 0.701))], ids=["black", "white"]
)
def test_the_result_is_within_0_and_1(level: float, expected: tuple[float, float, float]) -> None:
    red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1)
    found = keep_colors(torch.full((1, 3, 1, 1), level), red)
    assert found.flatten().tolist() == pytest.approx(expected)


def test_both_pictures_are_left_as_they_were(photo: Tensor) -> None:
    pastiche, before = 1 - photo, photo.clone()
    keep_colors(pastiche, photo)
    assert photo.equal(before)
    assert pastiche.equal(1 - before)
