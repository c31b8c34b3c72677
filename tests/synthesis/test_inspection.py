from __future__ import annotations

import io

import pytest
import torch
from PIL import Image

from styleforge.images.contact_sheet import GAP, TEXT
from styleforge.losses.objective import gram_matrix
from styleforge.synthesis.inspection import ACROSS, feature_sheet, gram_picture, strongest

FEATURES = torch.zeros(1, 8, 4, 6)
FEATURES[0, 3, 1, 2] = 24.0  # mean 1
FEATURES[0, 5] = 2.0
FEATURES[0, 1, :, :3] = 3.0  # mean 1.5


def test_the_strongest_have_the_highest_means_in_order() -> None:
    found = strongest(FEATURES, 3)
    assert [(one.channel, one.mean, one.maximum) for one in found] == [
        (5, 2.0, 2.0),
        (1, 1.5, 3.0),
        (3, 1.0, 24.0),
    ]
    assert found[1].responses.equal(FEATURES[0, 1])


def test_there_are_no_more_than_the_layer_has() -> None:
    assert [one.channel for one in strongest(FEATURES, 100)] == [5, 1, 3, 0, 2, 4, 6, 7]


def test_a_sheet_shows_each_map_from_black_to_white() -> None:
    picture = feature_sheet(strongest(FEATURES, 2), cell=60)
    cell_width, cell_height = 60 + 2 * GAP, 40 + 3 * GAP + TEXT
    assert picture.shape == (1, 3, cell_height + 2 * GAP, 2 * cell_width + 3 * GAP)
    top, left = 2 * GAP, 3 * GAP + cell_width
    second = picture[..., top : top + 40, left : left + 60]
    assert (second[..., :30] == 1).all()
    assert (second[..., 30:] == 0).all()


def test_a_sheet_breaks_into_rows() -> None:
    one = feature_sheet(strongest(FEATURES, ACROSS), cell=30)
    two = feature_sheet(strongest(FEATURES, ACROSS + 1), cell=30)
    assert two.shape[3] == one.shape[3]
    assert two.shape[2] > 1.8 * one.shape[2]


def test_channels_that_are_silent_are_black() -> None:
    silent = strongest(torch.zeros(1, 2, 4, 4), 1)
    picture = feature_sheet(silent, cell=40)
    assert (picture[..., 2 * GAP : 2 * GAP + 40, 2 * GAP : 2 * GAP + 40] == 0).all()


@pytest.mark.slow
def test_a_gram_matrix_is_drawn_as_a_png() -> None:
    content = gram_picture(gram_matrix(FEATURES)[0], "Gram matrix of conv4_2")
    image = Image.open(io.BytesIO(content))
    assert (image.format, image.size) == ("PNG", (800, 700))
    assert len(image.convert("RGB").getcolors(800 * 700) or ()) > 20
    assert content == gram_picture(gram_matrix(FEATURES)[0], "Gram matrix of conv4_2")


@pytest.mark.slow
def test_a_gram_matrix_of_zeros_is_drawn() -> None:
    assert gram_picture(torch.zeros(4, 4), "nothing").startswith(b"\x89PNG")
