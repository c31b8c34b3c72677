from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from styleforge.core.errors import UsageError
from styleforge.images.load import Picture
from styleforge.losses.masks import (
    check_masks,
    check_style_masks,
    composite,
    coverage,
    guidance,
    mask_of,
    patchwork,
    regions,
)


def mask(*rows: Sequence[float]) -> Tensor:
    """(1, 1, H, W) of these values."""
    return torch.tensor(rows)[None, None]


WHITE = torch.ones(1, 1, 40, 60)


@pytest.mark.parametrize(
    ("masks", "statistic", "message"),
    [
        (
            [("a.png", WHITE)],
            "gram",
            "masks and styles differ in number (1 and 2): "
            "give one mask for each style, in the same order",
        ),
        (
            [("a.png", WHITE), ("b.png", torch.ones(1, 1, 60, 40))],
            "gram",
            "b.png is 40 x 60 pixels, which is not the shape of the content image (120 x 80); "
            "cut it the same way",
        ),
        (
            [("a.png", 0 * WHITE), ("b.png", WHITE)],
            "gram",
            "a.png is black everywhere: paint white where the style goes",
        ),
        (
            [("a.png", WHITE), ("b.png", WHITE)],
            "sliced-wasserstein",
            "masks do not go with the statistic sliced-wasserstein; use another statistic",
        ),
    ],
)
def test_masks_that_do_not_fit(
    masks: list[tuple[str, Tensor]], statistic: str, message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        check_masks(masks, styles=2, size=(120, 80), statistic=statistic)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        (
            [("a.png", torch.ones(1, 1, 60, 40))],
            "a.png is 40 x 60 pixels, which is not the shape of the style image (120 x 80); "
            "cut it the same way",
        ),
        (
            [("a.png", 0 * WHITE)],
            "a.png is black everywhere: paint white where the style may be taken from",
        ),
        (
            [("a.png", 0.001 * WHITE)],
            "a.png leaves 0.10 % of its style image, too little to take a style from; "
            "leave 0.2 % or more",
        ),
        (
            [("a.png", WHITE), ("b.png", WHITE)],
            "style masks and styles differ in number (2 and 1): give one for each style, "
            "in the same order; a white one leaves all of it",
        ),
    ],
)
def test_style_masks_that_do_not_fit(masks: list[tuple[str, Tensor]], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_style_masks(masks, sizes=[(120, 80)])
    assert str(caught.value) == message


def test_style_masks_of_the_paintings_shape_fit() -> None:
    check_style_masks([("a.png", WHITE)], sizes=[(120, 80)])
    check_style_masks([], sizes=[(120, 80)])


@pytest.mark.parametrize("shape", [(80, 120), (40, 60), (41, 60), (40, 61), (400, 600)])
def test_masks_of_the_photos_shape_fit(shape: tuple[int, int]) -> None:
    check_masks([("a.png", torch.ones(1, 1, *shape))], styles=1, size=(120, 80), statistic="gram")
    check_masks([], styles=1, size=(120, 80), statistic="gram")


def test_a_mask_is_as_white_as_the_picture_is_light_and_opaque() -> None:
    pixels = torch.tensor([0.3, 0.6, 0.9]).view(1, 3, 1, 1).expand(-1, -1, 1, 2)
    opaque, clear = (
        mask_of(Picture(Path("m.png"), "", pixels, alpha, b""))
        for alpha in (None, mask([1.0, 0.5]))
    )
    torch.testing.assert_close(opaque, mask([0.6, 0.6]))
    torch.testing.assert_close(clear, mask([0.6, 0.3]))


def test_coverage_is_where_any_style_goes() -> None:
    masks = torch.cat([mask([0.0, 0.3, 1.0, 1.0]), mask([0.0, 0.3, 0.0, 1.0])])
    torch.testing.assert_close(coverage(masks), mask([0.0, 0.6, 1.0, 1.0]))


def test_where_masks_overlap_the_weights_share_the_place() -> None:
    masks = torch.cat([mask([0.0, 1.0, 1.0, 0.2]), mask([0.0, 0.0, 1.0, 0.0])])
    found = regions(masks, [3.0, 1.0])
    torch.testing.assert_close(found[:1], mask([0.0, 1.0, 0.75, 0.2]))
    torch.testing.assert_close(found[1:], mask([0.0, 0.0, 0.25, 0.0]))


def test_complementary_soft_masks_stay_as_they_are() -> None:
    soft = mask([0.0, 0.3, 0.8, 1.0])
    masks = torch.cat([soft, 1 - soft])
    torch.testing.assert_close(regions(masks, [1.0, 1.0]), masks)


def test_guidance_is_averaged_down_to_a_mean_square_of_1() -> None:
    half = torch.zeros(1, 1, 8, 8)
    half[..., :4] = 1
    half[..., 4:6] = torch.tensor([1.0, 0.0])  # becomes 1/2 at a stride of 2
    channels, shares = guidance(half, "relu2_1")
    row = torch.tensor([1.0, 1.0, 0.5, 0.0])
    expected = row / row.square().mean().sqrt()
    torch.testing.assert_close(channels[0, 0], expected.expand(4, 4))
    torch.testing.assert_close(shares, torch.tensor([5 / 8]))


def test_guidance_everywhere_is_exactly_1() -> None:
    channels, shares = guidance(torch.ones(1, 1, 13, 17), "relu3_1")
    assert channels.equal(torch.ones(1, 1, 3, 4))
    assert shares.equal(torch.ones(1))


def test_a_region_that_a_layer_does_not_see_is_finite() -> None:
    corner = torch.zeros(1, 1, 9, 9)
    corner[..., 8:, 8:] = 1  # beyond the last whole position
    assert guidance(corner, "relu3_1").channels.equal(torch.zeros(1, 1, 2, 2))


def test_a_composite_is_exact_at_both_ends(photo: Tensor) -> None:
    soft = torch.linspace(-0.5, 1.5, photo.shape[3]).clamp(0, 1).expand(1, 1, photo.shape[2], -1)
    pastiche = 1 - photo
    found = composite(pastiche, photo, soft)
    black, white = (soft == 0).expand_as(photo), (soft == 1).expand_as(photo)
    assert found[black].equal(photo[black])
    assert found[white].equal(pastiche[white])
    assert black.any()
    assert white.any()


def test_a_patchwork_is_each_pastiche_in_its_region(photo: Tensor) -> None:
    height, width = photo.shape[2:]
    columns = torch.arange(width).expand(1, 1, height, -1)
    left, right = (columns < 9).float(), (columns >= width - 9).float()
    one, two = 1 - photo, photo.flip(3)
    found = patchwork(iter([one, two]), photo, torch.cat([left, right]))
    assert found[..., :9].equal(one[..., :9])
    assert found[..., width - 9 :].equal(two[..., width - 9 :])
    assert found[..., 9 : width - 9].equal(photo[..., 9 : width - 9])
    mixed = patchwork([one, two], photo, torch.cat([0.25 * left, 0.5 * left]))
    expected = 0.25 * photo + 0.25 * one + 0.5 * two
    torch.testing.assert_close(mixed[..., :9], expected[..., :9])
