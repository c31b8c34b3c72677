from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from styleforge.vgg import winograd
from styleforge.vgg.winograd import (
    BLOCK_TILES,
    TILE,
    Border,
    correlate,
    correlate_adjoint,
    transform_kernel,
)

BORDERS = [Border(0, "zeros"), Border(1, "reflect")] + [
    Border(width, padding) for width in (1, 2) for padding in ("zeros", "replicate")
]
SHAPES = [
    (1, 3, 8, 12),  # whole tiles
    (2, 3, 7, 9),
    (1, 5, 6, 5),
    (1, 1, 13, 3),
    (2, 4, 1, 1),
    (1, 1, 1, 1),
    (1, 2, 1, 11),
    (1, 2, 11, 1),
    (1, 2, 2, 2),
    (1, 2, 6, TILE * BLOCK_TILES),  # a row of tiles is one block
    (1, 2, 6, TILE * BLOCK_TILES + 1),  # rows are cut from here on
    (2, 2, 5, 2 * TILE * BLOCK_TILES + 7),
    (1, 2, 2 * TILE * BLOCK_TILES + 3, 2),
]


def fits(shape: tuple[int, ...], border: Border) -> bool:
    least = min(shape[2:])
    return least + 2 * border.width >= 3 and (least > 1 or border.padding != "reflect")


ALL_CASES = pytest.mark.parametrize(
    ("shape", "border"),
    [(shape, border) for shape in SHAPES for border in BORDERS if fits(shape, border)],
    ids=str,
)


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads as torch uses in this test."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def operands(shape: tuple[int, ...], filters: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """x, kernel and bias in float32."""
    generator = torch.Generator().manual_seed(0)
    sizes = (shape, (filters, shape[1], 3, 3), (filters,))
    x, kernel, bias = (torch.randn(size, generator=generator) for size in sizes)
    return x, kernel, bias


def direct(x: Tensor, kernel: Tensor, bias: Tensor | None, border: Border) -> Tensor:
    """The same as ``correlate`` by torch, in float64."""
    mode = "constant" if border.padding == "zeros" else border.padding
    padded = F.pad(x.double(), (border.width,) * 4, mode=mode)
    return F.conv2d(padded, kernel.double(), None if bias is None else bias.double())


def flipped(kernel: Tensor) -> Tensor:
    """The kernel of the adjoint."""
    return kernel.flip(2, 3).transpose(0, 1)


def relative_error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return (found - expected).abs().max().item() / expected.abs().max().item()


def test_transformed_kernel_equals_the_formula_by_hand() -> None:
    """G g G^T of a kernel u v^T is (G u) (G v)^T."""
    column, row = torch.tensor([15.0, 30.0, 45.0]), torch.tensor([0.0, 15.0, 0.0])
    kernel = torch.zeros(2, 3, 3, 3)
    kernel[1, 2] = column.outer(row)
    rows = torch.tensor([15.0, 30.0, -10.0, 9.0, -44.0, 45.0])
    columns = torch.tensor([0.0, 5.0, 5.0, -2.0, -8.0, 0.0])
    found = transform_kernel(kernel)
    assert found.shape == (36, 3, 2)
    expected = rows.outer(columns)
    torch.testing.assert_close(found[:, 2, 1].view(6, 6).mT, expected)  # columns come first
    found[:, 2, 1] = 0
    assert found.count_nonzero() == 0


@ALL_CASES
def test_equals_torch_convolution(shape: tuple[int, ...], border: Border) -> None:
    x, kernel, bias = operands(shape)
    found = correlate(x, transform_kernel(kernel), bias, border)
    assert found.dtype == torch.float32
    assert relative_error(found.double(), direct(x, kernel, bias, border)) < 1e-5


@ALL_CASES
def test_adjoint_equals_torch_convolution_by_the_flipped_kernel(
    shape: tuple[int, ...], border: Border
) -> None:
    gradient, kernel, _ = operands(shape)
    found = correlate_adjoint(gradient, transform_kernel(flipped(kernel)), border)
    assert found.dtype == torch.float32
    assert relative_error(found.double(), direct(gradient, kernel, None, border)) < 1e-5


@pytest.mark.slow
@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(1, 2), st.integers(1, 4), st.integers(1, 20), st.integers(1, 20)),
    filters=st.integers(1, 4),
    border=st.sampled_from(BORDERS),
    block_tiles=st.integers(1, 30),
)
def test_any_size_and_block_equals_torch_convolution(
    shape: tuple[int, ...], filters: int, border: Border, block_tiles: int
) -> None:
    batch, channels, *sides = shape
    height, width = (side if border.width else side + 2 for side in sides)
    assume(fits((batch, channels, height, width), border))
    x, kernel, bias = operands((batch, channels, height, width), filters)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "BLOCK_TILES", block_tiles)
        found = correlate(x, transform_kernel(kernel), bias, border)
        adjoint = correlate_adjoint(x, transform_kernel(flipped(kernel)), border)
    expected = direct(x, kernel, bias, border)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-4)
    expected = direct(x, kernel, None, border)
    torch.testing.assert_close(adjoint.double(), expected, rtol=1e-5, atol=1e-4)


@ALL_CASES
def test_result_is_channels_last(shape: tuple[int, ...], border: Border) -> None:
    x, kernel, bias = operands(shape)
    for found in (
        correlate(x, transform_kernel(kernel), bias, border),
        correlate_adjoint(x, transform_kernel(flipped(kernel)), border),
    ):
        assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("border", BORDERS, ids=str)
def test_layout_of_the_input_changes_nothing(border: Border) -> None:
    x, kernel, bias = operands((2, 3, 9, 10))
    transformed = transform_kernel(kernel)
    expected = correlate(x, transformed, bias, border)
    inside = F.pad(x, (1, 1, 1, 1), value=float("nan"))[..., 1:-1, 1:-1]
    for other in (x.contiguous(memory_format=torch.channels_last), inside, x.mT.contiguous().mT):
        assert torch.equal(correlate(other, transformed, bias, border), expected)


@pytest.mark.parametrize("border", BORDERS, ids=str)
def test_number_of_threads_changes_nothing(border: Border, threads: int) -> None:
    """But for rounding, which may depend on how the work is cut."""
    x, kernel, bias = operands((2, 8, 23, 18))
    transformed = transform_kernel(kernel)
    found = correlate(x, transformed, bias, border)
    adjoint = correlate_adjoint(found, transformed, border)
    assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    again = correlate(x, transformed, bias, border)
    assert relative_error(found, again) < 1e-5
    assert relative_error(adjoint, correlate_adjoint(found, transformed, border)) < 1e-5


@pytest.mark.parametrize("shape", [(2, 8, 45, 50), (1, 3, 4, 4), (1, 3, 5, 1030)], ids=str)
def test_any_number_of_threads_equals_torch_convolution(
    shape: tuple[int, ...], threads: int
) -> None:
    x, kernel, bias = operands(shape)
    border = Border(1, "replicate")
    found = correlate(x, transform_kernel(kernel), bias, border)
    assert relative_error(found.double(), direct(x, kernel, bias, border)) < 1e-5
    assert torch.get_num_threads() == threads


def test_failure_leaves_the_number_of_threads(threads: int) -> None:
    x, kernel, bias = operands((2, 8, 45, 50))
    border = Border(1, "zeros")
    with pytest.raises(RuntimeError, match="size"):
        correlate(x[:, 1:], transform_kernel(kernel), bias, border)
    assert torch.get_num_threads() == threads
    found = correlate(x, transform_kernel(kernel), bias, border)
    assert relative_error(found.double(), direct(x, kernel, bias, border)) < 1e-5
