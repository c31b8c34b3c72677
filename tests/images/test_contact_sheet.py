from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.images.contact_sheet import GAP, TEXT, sheet

RED, GREEN, BLUE = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)


def flat(width: int, height: int, color: tuple[float, float, float] = RED) -> Tensor:
    return torch.tensor(color).view(1, 3, 1, 1).expand(1, 3, height, width)


def is_color(pixels: Tensor, color: tuple[float, float, float]) -> bool:
    return bool((pixels == torch.tensor(color).view(1, 3, 1, 1)).all())


def test_cells_are_in_rows_and_columns_with_gaps() -> None:
    found = sheet([[flat(16, 16), flat(16, 16, GREEN)], [flat(16, 16, BLUE)]], cell=16)
    side = 16 + GAP
    assert found.shape == (1, 3, 2 * side + GAP, 2 * side + GAP)
    first, second = slice(GAP, side), slice(GAP + side, 2 * side)
    assert is_color(found[..., first, first], RED)
    assert is_color(found[..., first, second], GREEN)
    assert is_color(found[..., second, first], BLUE)
    assert is_color(found[..., second, second], (1, 1, 1))
    assert is_color(found[..., :GAP, :], (1, 1, 1))
    assert is_color(found[..., side : side + GAP], (1, 1, 1))


@pytest.mark.parametrize(("size", "fitted"), [((40, 20), (20, 10)), ((5, 10), (10, 20))])
def test_pictures_are_fitted_into_their_cells(
    size: tuple[int, int], fitted: tuple[int, int]
) -> None:
    width, height = fitted
    found = sheet([[flat(*size)]], cell=20)
    assert found.shape == (1, 3, height + 2 * GAP, width + 2 * GAP)
    assert is_color(found[..., GAP:-GAP, GAP:-GAP], RED)


def test_a_column_is_as_wide_as_its_widest_picture_and_a_row_as_high_as_its_highest() -> None:
    found = sheet([[flat(10, 20), flat(20, 10)], [flat(20, 20), flat(10, 20)]], cell=20)
    assert found.shape == (1, 3, 20 + 20 + 3 * GAP, 20 + 20 + 3 * GAP)


def test_pixels_are_kept(photo: Tensor) -> None:
    height, width = photo.shape[2:]
    found = sheet([[photo]], cell=width)[..., GAP:-GAP, GAP:-GAP]
    assert found.shape == (1, 3, height, width)
    torch.testing.assert_close(found, photo, rtol=0, atol=0.5 / 255 + 1e-6)


def test_columns_are_named_above() -> None:
    picture = [[flat(40, 40), flat(40, 40)]]
    plain, named = sheet(picture, cell=40), sheet(picture, cell=40, columns=["a", "b"])
    top = named.shape[2] - plain.shape[2]
    assert top == TEXT + GAP
    assert named[..., top + GAP :, :].equal(plain[..., GAP:, :])
    ink = (named[..., : top + GAP, :] < 0.5).any(1).any(1).flatten().nonzero()
    assert ink.min() >= GAP
    assert (ink < GAP + 40).any()
    assert (ink >= 2 * GAP + 40).any()


def test_rows_are_labelled_below() -> None:
    rows = [[flat(40, 40)], [flat(40, 40, BLUE)]]
    found = sheet(rows, cell=40, labels=["first", "second"])
    line = TEXT + GAP
    assert found.shape == (1, 3, GAP + 2 * (40 + GAP + line), 40 + 2 * GAP)
    for top, color in ((GAP, RED), (GAP + 40 + GAP + line, BLUE)):
        assert is_color(found[..., top : top + 40, GAP:-GAP], color)
        below = found[..., top + 40 : top + 40 + GAP + line, :]
        assert (below < 0.5).any()


def test_a_long_name_is_cut_and_does_not_reach_into_the_next_column() -> None:
    found = sheet([[flat(60, 60), flat(60, 60)]], cell=60, columns=["long " * 20])
    assert found.shape[3] == 2 * 60 + 3 * GAP
    header = found[..., : TEXT + GAP, :]
    assert (header[..., : GAP + 60] < 0.5).any()
    assert is_color(header[..., GAP + 60 + 1 :], (1, 1, 1))


def test_there_may_be_more_names_than_columns_or_fewer() -> None:
    picture = [[flat(20, 20), flat(20, 20)]]
    shapes = {sheet(picture, cell=20, columns=["a"] * n).shape for n in (1, 2, 3)}
    assert len(shapes) == 1


def test_half_precision_pictures_are_taken() -> None:
    found = sheet([[flat(8, 8).bfloat16()]], cell=8)
    assert found.dtype == torch.float32
    assert is_color(found[..., GAP:-GAP, GAP:-GAP], RED)


def test_each_picture_may_have_a_caption_of_its_own() -> None:
    rows = [[flat(40, 40), flat(40, 40)], [flat(40, 40, BLUE)]]
    found = sheet(rows, cell=40, captions=[["a", "long " * 20], ["c"]])
    line = TEXT + GAP
    assert found.shape == (1, 3, GAP + 2 * (40 + GAP + line), 2 * 40 + 3 * GAP)
    below = found[..., GAP + 40 : GAP + 40 + line, :]
    last = found[..., -line:, :]
    assert (below[..., : GAP + 40] < 0.5).any()
    assert (below[..., 2 * GAP + 40 :] < 0.5).any()
    assert is_color(below[..., GAP + 40 : 2 * GAP + 40], (1, 1, 1))
    assert (last[..., : GAP + 40] < 0.5).any()
    assert is_color(last[..., GAP + 40 :], (1, 1, 1))
