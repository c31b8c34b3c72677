from __future__ import annotations

import pytest
import torch

from styleforge.images.colors import (
    color_distance,
    colors,
    luminance,
    match_colors,
    match_luminance,
)


def image(seed: int, *, spread: float = 0.1) -> torch.Tensor:
    """Correlated colors around 0.4, (1, 3, 20, 30)."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(3, 3, generator=generator)
    pixels = torch.randn(1, 3, 20, 30, generator=generator)
    return 0.4 + spread * torch.einsum("ij,bjhw->bihw", mix, pixels)


def test_matched_colors_have_the_targets_mean_and_covariance() -> None:
    target = colors([(image(1), 1.0)])
    found = colors([(match_colors(image(0), target), 1.0)])
    torch.testing.assert_close(found.mean, target.mean, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(found.covariance, target.covariance, atol=1e-6, rtol=1e-3)


def test_an_images_own_colors_change_nothing() -> None:
    photo = image(0)
    torch.testing.assert_close(
        match_colors(photo, colors([(photo, 1.0)])), photo, atol=1e-4, rtol=1e-4
    )


def test_the_change_is_symmetric() -> None:
    """T of x -> T x + t: colors are stretched, not rotated."""
    photo = image(0)
    moved = match_colors(photo, colors([(image(1), 1.0)]))
    x, y = (p[0].flatten(1).double() for p in (photo, moved))
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    change = y @ x.mT @ torch.linalg.inv(x @ x.mT)
    torch.testing.assert_close(change, change.mT, atol=1e-4, rtol=1e-4)


def test_colors_of_two_images_are_those_of_all_their_pixels() -> None:
    both = torch.cat([image(0), image(1)], dim=2)
    apart, together = colors([(image(0), 0.5), (image(1), 0.5)]), colors([(both, 1.0)])
    torch.testing.assert_close(apart.mean, together.mean)
    torch.testing.assert_close(apart.covariance, together.covariance)


@pytest.mark.parametrize("flat", [0.0, 0.5, 1.0])
def test_a_flat_photo_stays_finite(flat: float) -> None:
    photo = torch.full((1, 3, 8, 8), flat)
    assert match_colors(photo, colors([(image(1), 1.0)])).isfinite().all()


def test_the_distance_of_colors_is_the_root_mean_square_that_matching_moves_them_by() -> None:
    photo, target = image(0), colors([(image(1), 1.0)])
    moved = (match_colors(photo, target) - photo).square().sum(1).mean().sqrt().item()
    assert color_distance(colors([(photo, 1.0)]), target) == pytest.approx(moved, rel=1e-4)


def test_the_distance_of_colors_along_one_direction_is_the_textbooks() -> None:
    """Of normal distributions on a line: W^2 = (m - m')^2 + (s - s')^2."""
    grey = torch.linspace(-1, 1, 600).view(1, 1, 20, 30).expand(1, 3, 20, 30)
    spread = grey[0, 0].double().std(correction=0).item()
    one, other = colors([(0.3 + 0.1 * grey, 1.0)]), colors([(0.5 + 0.3 * grey, 1.0)])
    expected = (3 * 0.2**2 + 3 * (0.2 * spread) ** 2) ** 0.5
    assert color_distance(one, other) == pytest.approx(expected, rel=1e-6)


def test_the_distance_of_colors_is_symmetric_and_zero_at_home() -> None:
    one, other = (colors([(image(seed), 1.0)]) for seed in (0, 1))
    assert color_distance(one, other) == pytest.approx(color_distance(other, one), rel=1e-9)
    assert color_distance(one, one) == pytest.approx(0, abs=1e-7)


def test_the_luminance_weighs_the_channels() -> None:
    photo = torch.tensor([1.0, 0.5, 0.25]).view(1, 3, 1, 1).expand(2, 3, 4, 5)
    assert luminance(photo).shape == (2, 1, 4, 5)
    expected = torch.tensor(0.299 + 0.587 / 2 + 0.114 / 4)
    torch.testing.assert_close(luminance(photo)[0, 0, 0, 0], expected)


def test_matched_luminance_is_grey_with_the_photos_mean_and_deviation() -> None:
    painting, photo = image(0), image(1, spread=0.02)
    found = match_luminance(painting, photo)
    assert found.shape == painting.shape
    assert found[:, 0].equal(found[:, 1])
    wanted, own = luminance(photo), found[:, :1]
    torch.testing.assert_close(own.mean(), wanted.mean(), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(own.std(), wanted.std(), atol=1e-4, rtol=1e-3)
    pair = torch.stack([x.flatten() for x in (own, luminance(painting))])
    assert torch.corrcoef(pair)[0, 1] > 0.9999


def test_a_flat_painting_has_no_luminance_to_stretch() -> None:
    found = match_luminance(torch.full((1, 3, 8, 8), 0.2), image(1))
    torch.testing.assert_close(found, luminance(image(1)).mean().expand_as(found))
