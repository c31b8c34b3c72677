from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.vgg.rectification import rectify, rectify_and_max_pool

Function = Callable[[Tensor], Tensor]

LAYOUTS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}
SHAPES = [(1, 3, 4, 6), (2, 3, 5, 7), (2, 1, 5, 4), (2, 4, 2, 2), (1, 2, 3, 2), (1, 1, 2, 9)]


def plain_max_pool(x: Tensor) -> Tensor:
    return F.max_pool2d(F.relu(x), 2)


BOTH = pytest.mark.parametrize(
    ("function", "plain"),
    [(rectify, F.relu), (rectify_and_max_pool, plain_max_pool)],
    ids=["relu", "relu and max pooling"],
)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
IN_LAYOUTS = pytest.mark.parametrize("layout", LAYOUTS)


def random(
    shape: tuple[int, ...], dtype: torch.dtype = torch.float64, layout: str = "NCHW"
) -> Tensor:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    return x.contiguous(memory_format=LAYOUTS[layout])


def upstream(result: Tensor) -> Tensor:
    """A gradient whose values all differ, and are not 0."""
    values = torch.arange(1, result.numel() + 1, dtype=result.dtype)
    return values.view(result.shape) / result.numel()


def assert_equals_plain(function: Function, plain: Function, x: Tensor) -> None:
    """The same value and the same gradient, bit for bit."""
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    found, expected = function(ours.clone()), plain(theirs)
    assert torch.equal(found, expected)
    assert found.dtype == x.dtype
    (gradient,) = torch.autograd.grad(found, ours, upstream(found))
    (expected_gradient,) = torch.autograd.grad(expected, theirs, upstream(expected))
    assert torch.equal(gradient, expected_gradient)
    assert gradient.dtype == x.dtype


@BOTH
@DTYPES
@IN_LAYOUTS
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_torch(
    shape: tuple[int, ...], layout: str, dtype: torch.dtype, function: Function, plain: Function
) -> None:
    assert_equals_plain(function, plain, random(shape, dtype, layout))


@BOTH
@DTYPES
@IN_LAYOUTS
def test_equals_torch_where_values_are_equal(
    layout: str, dtype: torch.dtype, function: Function, plain: Function
) -> None:
    x = random((2, 3, 13, 15), dtype, layout).round()  # -2, -1, 0, 1 or 2
    windows = x.unfold(2, 2, 2).unfold(3, 2, 2).flatten(4)
    largest = windows.amax(4, keepdim=True)
    several = (windows == largest).sum(4) > 1
    assert (several & (largest[..., 0] > 0)).any()
    assert (several & (largest[..., 0] == 0)).any()
    assert_equals_plain(function, plain, x)


@BOTH
@IN_LAYOUTS
@pytest.mark.parametrize("value", [2.0, 0.0, -0.0, -1.0, float("inf"), -float("inf")])
def test_equals_torch_for_a_constant(
    value: float, layout: str, function: Function, plain: Function
) -> None:
    x = torch.full((2, 2, 5, 4), value).contiguous(memory_format=LAYOUTS[layout])
    assert_equals_plain(function, plain, x)


@BOTH
@DTYPES
@IN_LAYOUTS
def test_windows_below_zero_pass_no_gradient(
    layout: str, dtype: torch.dtype, function: Function, plain: Function
) -> None:
    x = random((2, 3, 6, 6), dtype, layout)
    x[:, :, 2:4] = -x[:, :, 2:4].abs() - 0.1
    assert_equals_plain(function, plain, x)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(function(x.clone()).sum(), x)
    assert gradient[:, :, 2:4].count_nonzero() == 0
    assert gradient.count_nonzero() > 0


@BOTH
@DTYPES
@IN_LAYOUTS
def test_equals_torch_for_what_is_rectified_already(
    layout: str, dtype: torch.dtype, function: Function, plain: Function
) -> None:
    x = random((2, 3, 7, 6), dtype, layout).clamp(min=0)
    windows = x.unfold(2, 2, 2).unfold(3, 2, 2)
    assert (windows.amax((4, 5)) == 0).any()
    assert_equals_plain(function, plain, x)


@BOTH
@IN_LAYOUTS
def test_the_gradient_may_come_in_any_layout(
    layout: str, function: Function, plain: Function
) -> None:
    x = random((2, 3, 5, 7), layout=layout).requires_grad_()
    found, expected = function(x.clone()), plain(x)
    gradient = random(tuple(found.shape))
    variants = [
        gradient,
        gradient.contiguous(memory_format=torch.channels_last),
        gradient.mT.contiguous().mT,
        gradient[:1, :1, :1, :1].expand_as(gradient),
    ]
    for variant in variants:
        (ours,) = torch.autograd.grad(found, x, variant, retain_graph=True)
        (theirs,) = torch.autograd.grad(expected, x, variant, retain_graph=True)
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("function", [rectify, rectify_and_max_pool])
@IN_LAYOUTS
def test_gradient_equals_finite_differences(layout: str, function: Function) -> None:
    size = 2 * 2 * 5 * 4
    order = torch.randperm(size, generator=torch.Generator().manual_seed(0))
    x = (order.double() - size / 2 + 0.5).view(2, 2, 5, 4)  # no two values within 1, none 0
    x = x.contiguous(memory_format=LAYOUTS[layout]).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: function(x.clone()), x)


@IN_LAYOUTS
@pytest.mark.parametrize("needs_gradient", [False, True])
def test_rectify_writes_over_its_input(layout: str, needs_gradient: bool) -> None:
    x = random((2, 3, 5, 7), layout=layout)
    hidden = x.clone().requires_grad_(needs_gradient) * 1
    result = rectify(hidden)
    assert result.data_ptr() == hidden.data_ptr()
    assert torch.equal(hidden, F.relu(x))
    assert result.requires_grad == needs_gradient
    assert result.stride() == x.stride()


def test_what_was_written_over_has_the_gradient_of_the_relu() -> None:
    x = random((1, 2, 4, 4)).requires_grad_()
    hidden = x * 1
    rectify(hidden)
    (gradient,) = torch.autograd.grad(hidden, x, upstream(hidden))
    assert torch.equal(gradient, upstream(hidden) * (x > 0))


@IN_LAYOUTS
@pytest.mark.parametrize("needs_gradient", [False, True])
def test_pooling_leaves_its_input_alone(layout: str, needs_gradient: bool) -> None:
    x = random((2, 3, 5, 7), layout=layout).requires_grad_(needs_gradient)
    before = x.detach().clone()
    result = rectify_and_max_pool(x)
    result.detach().zero_()
    assert torch.equal(x, before)
    assert result.requires_grad == needs_gradient
    assert result.is_contiguous(memory_format=LAYOUTS[layout])


def test_torch_notices_a_value_lost_by_rectifying() -> None:
    x = random((1, 2, 4, 4)).requires_grad_()
    hidden = x * 1
    squares = hidden.square().sum()
    rectify(hidden)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        squares.backward()


@pytest.mark.parametrize(
    ("function", "kept", "shape"),
    [(rectify, torch.bool, (2, 3, 5, 7)), (rectify_and_max_pool, torch.int16, (2, 3, 2, 3))],
    ids=["relu", "relu and max pooling"],
)
@DTYPES
@IN_LAYOUTS
def test_saves_no_floats(
    layout: str, dtype: torch.dtype, function: Function, kept: torch.dtype, shape: tuple[int, ...]
) -> None:
    x = random((2, 3, 5, 7), dtype, layout).requires_grad_()
    saved: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda x: x):
        function(x * 1)
    assert [(x.dtype, x.shape) for x in saved] == [(kept, shape)]


def test_offsets_are_those_of_the_corners_of_a_window() -> None:
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda x: x):
        rectify_and_max_pool(random((2, 3, 25, 17)).requires_grad_() * 1)
    (offsets,) = saved
    assert set(offsets.unique().tolist()) == {-1, 0, 1, 17, 18}


@BOTH
def test_channels_last_stays_so_in_the_gradient(function: Function, plain: Function) -> None:
    x = random((2, 3, 5, 7), layout="channels_last").requires_grad_()
    given = upstream(plain(x)).contiguous(memory_format=torch.channels_last)
    (gradient,) = torch.autograd.grad(function(x.clone()), x, given)
    assert gradient.is_contiguous(memory_format=torch.channels_last)


@DTYPES
@IN_LAYOUTS
@pytest.mark.parametrize("width", [16_000, 15_999])
def test_offsets_of_wide_images_do_not_overflow(
    width: int, layout: str, dtype: torch.dtype
) -> None:
    x = torch.zeros((1, 1, 2, width), dtype=dtype).contiguous(memory_format=LAYOUTS[layout])
    columns = torch.arange(width // 2 * 2)
    corner = columns // 2 % 4  # every corner of a window is the largest somewhere
    x[0, 0, corner // 2, columns // 2 * 2 + corner % 2] = 1.0 + columns.to(dtype) // 2
    assert_equals_plain(rectify_and_max_pool, plain_max_pool, x)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(rectify_and_max_pool(x).sum(), x)
    assert torch.equal(gradient, (x > 0).to(dtype))


def test_an_image_too_small_to_pool_is_refused_as_by_torch() -> None:
    for shape in [(1, 1, 1, 4), (1, 1, 4, 1)]:
        with pytest.raises(RuntimeError, match="Output size is too small"):
            rectify_and_max_pool(torch.ones(shape))
