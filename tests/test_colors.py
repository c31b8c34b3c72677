from __future__ import annotations

import pytest
import torch

from styleforge.colors import colors, match_colors


def image(seed: int, *, spread: float = 0.1) -> torch.Tensor:
    """Correlated colours around 0.4, (1, 3, 20, 30)."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(3, 3, generator=generator)
    pixels = torch.randn(1, 3, 20, 30, generator=generator)
    return 0.4 + spread * torch.einsum("ij,bjhw->bihw", mix, pixels)


def test_matched_colours_have_the_targets_mean_and_covariance() -> None:
    target = colors([(image(1), 1.0)])
    found = colors([(match_colors(image(0), target), 1.0)])
    torch.testing.assert_close(found.mean, target.mean, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(found.covariance, target.covariance, atol=1e-6, rtol=1e-3)


def test_an_images_own_colours_change_nothing() -> None:
    photo = image(0)
    torch.testing.assert_close(
        match_colors(photo, colors([(photo, 1.0)])), photo, atol=1e-4, rtol=1e-4
    )


def test_the_change_is_symmetric() -> None:
    """T of x -> T x + t: colours are stretched, not rotated."""
    photo = image(0)
    moved = match_colors(photo, colors([(image(1), 1.0)]))
    x, y = (p[0].flatten(1).double() for p in (photo, moved))
    x, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    change = y @ x.mT @ torch.linalg.inv(x @ x.mT)
    torch.testing.assert_close(change, change.mT, atol=1e-4, rtol=1e-4)


def test_colours_of_two_images_are_those_of_all_their_pixels() -> None:
    both = torch.cat([image(0), image(1)], dim=2)
    apart, together = colors([(image(0), 0.5), (image(1), 0.5)]), colors([(both, 1.0)])
    torch.testing.assert_close(apart.mean, together.mean)
    torch.testing.assert_close(apart.covariance, together.covariance)


@pytest.mark.parametrize("flat", [0.0, 0.5, 1.0])
def test_a_flat_photo_stays_finite(flat: float) -> None:
    photo = torch.full((1, 3, 8, 8), flat)
    assert match_colors(photo, colors([(image(1), 1.0)])).isfinite().all()
