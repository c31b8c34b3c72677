from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from styleforge.optimize.parameterization import (
    Parameterization,
    dct_frequencies,
    dct_matrix,
    hartley_frequencies,
    hartley_matrix,
)

HALF_LEVEL = 0.5 / 255


def random(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def gradient_of_pixels(image: Tensor) -> Tensor:
    """d(sum of all pixels times random signs) / d coordinates, at an image."""
    space = Parameterization(image.shape[2], image.shape[3])
    point = space.coordinates(image).requires_grad_()
    weighted = (space.image(point) * (random(*image.shape) - 0.5)).sum()
    return torch.autograd.grad(weighted, point)[0]


def test_round_trip_of_an_image(photo: Tensor) -> None:
    space = Parameterization(photo.shape[2], photo.shape[3])
    inside = photo.clamp(HALF_LEVEL, 1 - HALF_LEVEL)
    torch.testing.assert_close(space.image(space.coordinates(photo)), inside, rtol=0, atol=1e-5)


def test_convention_black_and_white_start_half_a_level_inside() -> None:
    image = torch.cat([torch.zeros(1, 3, 8, 4), torch.ones(1, 3, 8, 4)], dim=3)
    space = Parameterization(8, 8)
    moved = (space.image(space.coordinates(image)) - image).abs()
    torch.testing.assert_close(moved, torch.full_like(moved, HALF_LEVEL), rtol=0, atol=1e-5)
    rounded = (255 * space.image(space.coordinates(image)) - 1e-3 * (image - 0.5)).round() / 255
    assert ((rounded - image).abs() <= 1 / 255).all()


@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    size=st.floats(-1e6, 1e6),
    seed=st.integers(0, 99),
)
def test_any_coordinates_give_pixels_inside_the_box(
    height: int, width: int, size: float, seed: int
) -> None:
    coordinates = size * torch.randn(
        1, 3, height, width, generator=torch.Generator().manual_seed(seed)
    )
    image = Parameterization(height, width).image(coordinates)
    assert image.shape == coordinates.shape
    assert image.min() >= 0
    assert image.max() <= 1


@given(size=st.integers(1, 40))
def test_dct_is_orthonormal(size: int) -> None:
    matrix = dct_matrix(size)
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(size), rtol=0, atol=1e-5)


def test_dct_of_a_constant_is_its_mean_alone() -> None:
    torch.testing.assert_close(
        dct_matrix(4) @ torch.ones(4), torch.tensor([2.0, 0, 0, 0]), rtol=0, atol=1e-6
    )


def test_gradient_equals_finite_differences() -> None:
    space = Parameterization(3, 4)
    space._rows, space._columns = space._rows.double(), space._columns.double()
    point = random(1, 3, 3, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(space.image, point)


def test_gradient_flows_at_black_and_white_pixels() -> None:
    for value in (0.0, 1.0):
        gradient = gradient_of_pixels(torch.full((1, 3, 8, 8), value))
        middle = gradient_of_pixels(torch.full((1, 3, 8, 8), 0.5))
        assert torch.isfinite(gradient).all()
        assert gradient.norm() > 0.05 * middle.norm()


def test_smooth_changes_are_scaled_up() -> None:
    space = Parameterization(16, 16)
    impulse = torch.zeros(1, 3, 16, 16)
    low, high = impulse.clone(), impulse.clone()
    low[..., 0, 1], high[..., 15, 15] = 0.01, 0.01
    change = [(space.image(x) - 0.5).norm().item() for x in (low, high)]
    assert change[0] > 4 * change[1]


def test_no_seam_joins_opposite_borders() -> None:
    """A step that brightens one border pixel spreads to its neighbours, not across the edge."""
    space = Parameterization(16, 24)
    point = torch.zeros(1, 3, 16, 24, requires_grad=True)
    (gradient,) = torch.autograd.grad(space.image(point)[0, 0, 8, 0], point)
    row = (space.image(0.1 * gradient) - 0.5)[0, 0, 8]
    assert row[0] > row[1] > 0
    assert row[-1].abs() < 0.1 * row[1]


def test_lowest_frequency_is_opposite_at_opposite_borders() -> None:
    coordinates = torch.zeros(1, 3, 8, 8)
    coordinates[..., 0, 1] = 0.1
    row = (Parameterization(8, 8).image(coordinates) - 0.5)[0, 0, 0]
    torch.testing.assert_close(row, -row.flip(0))
    assert (row.diff() < 0).all()


@given(size=st.integers(1, 40))
def test_hartley_is_orthonormal_and_its_own_inverse(size: int) -> None:
    matrix = hartley_matrix(size)
    torch.testing.assert_close(matrix @ matrix, torch.eye(size), rtol=0, atol=1e-5)
    assert matrix.equal(matrix.mT)


def test_hartley_against_the_fourier_transform() -> None:
    x = random(12)
    spectrum = torch.fft.fft(x) / math.sqrt(12)
    torch.testing.assert_close(
        hartley_matrix(12) @ x, spectrum.real - spectrum.imag, rtol=0, atol=1e-5
    )


def test_frequencies_are_in_cycles_per_pixel() -> None:
    assert dct_frequencies(4).tolist() == [0, 1 / 8, 2 / 8, 3 / 8]
    assert hartley_frequencies(5).tolist() == [0, 1 / 5, 2 / 5, 2 / 5, 1 / 5]


def test_a_periodic_image_moves_by_a_gradient_that_moves_with_it(photo: Tensor) -> None:
    """A step down the gradient of one pixel: the same step, wherever that pixel is."""
    space = Parameterization(*photo.shape[2:], periodic=True)

    def moved(image: Tensor, row: int, column: int) -> Tensor:
        point = space.coordinates(image).requires_grad_()
        (gradient,) = torch.autograd.grad(space.image(point)[0, 0, row, column], point)
        return space.image(point.detach() - gradient)

    expected = moved(photo, 3, 4).roll((10, 20), (2, 3))
    found = moved(photo.roll((10, 20), (2, 3)), 13, 24)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_amplitude_is_the_root_mean_square_of_z() -> None:
    space = Parameterization(6, 8, exponent=0.5)
    point = 0.1 * random(1, 3, 6, 8)
    z = (2 * space.image(point) - 1).asin()
    torch.testing.assert_close(space.amplitude(point), z.square().mean().sqrt())
