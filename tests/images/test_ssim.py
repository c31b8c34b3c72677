from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from styleforge.images.ssim import structural_similarity
from tests.pictures import Array

SCIKIT_IMAGE = 0.3982436204754687


def noise(seed: int, width: int = 17, height: int = 14) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(1, 1, height, width, generator=generator)


def plain(one: Array, other: Array) -> float:
    """Window by window, with explicit weighted sums."""
    weights = np.array(
        [[math.exp(-(i**2 + j**2) / (2 * 1.5**2)) for i in range(-5, 6)] for j in range(-5, 6)]
    )
    weights /= weights.sum()
    values = []
    for top in range(one.shape[0] - 10):
        for left in range(one.shape[1] - 10):
            x = one[top : top + 11, left : left + 11]
            y = other[top : top + 11, left : left + 11]
            mx, my = (weights * x).sum(), (weights * y).sum()
            vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
            c = (weights * (x - mx) * (y - my)).sum()
            c1, c2 = 0.01**2, 0.03**2
            values.append(
                (2 * mx * my + c1) * (2 * c + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
            )
    return float(np.mean(values))


def test_it_is_the_papers_formula_window_by_window() -> None:
    one, other = noise(0), 0.7 * noise(0) + 0.3 * noise(1)
    arrays = [x[0, 0].double().numpy() for x in (one, other)]
    assert structural_similarity(one, other).item() == pytest.approx(plain(*arrays), abs=1e-12)


def test_it_is_what_scikit_image_finds() -> None:
    """structural_similarity(..., gaussian_weights=True, use_sample_covariance=False) of 0.26."""
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij")
    one = 0.5 + 0.4 * torch.sin(x / 3) * torch.cos(y / 4)
    other = 0.45 + 0.3 * torch.sin(x / 3 + 0.5) * torch.cos(y / 5)
    assert structural_similarity(one[None, None], other[None, None]).item() == pytest.approx(
        SCIKIT_IMAGE, abs=1e-6
    )


def test_a_picture_is_wholly_similar_to_itself() -> None:
    assert structural_similarity(noise(0), noise(0)).item() == 1


def test_of_flat_pictures_the_brightness_alone_counts() -> None:
    dark, light = torch.full((1, 1, 12, 12), 0.2), torch.full((1, 1, 12, 12), 0.8)
    expected = (2 * 0.2 * 0.8 + 1e-4) / (0.2**2 + 0.8**2 + 1e-4)
    assert structural_similarity(dark, light).item() == pytest.approx(expected, abs=1e-6)


def test_a_negative_is_dissimilar() -> None:
    assert structural_similarity(noise(0), 1 - noise(0)).item() < -0.5


def test_the_order_does_not_matter() -> None:
    assert structural_similarity(noise(0), noise(1)).equal(
        structural_similarity(noise(1), noise(0))
    )


def test_one_window_is_enough() -> None:
    assert structural_similarity(noise(0, 11, 11), noise(0, 11, 11)).item() == 1
