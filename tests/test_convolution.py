from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.convolution import convolve

PADDINGS = pytest.mark.parametrize("replicate", [True, False], ids=["replicate", "zeros"])
SHAPES = pytest.mark.parametrize("shape", [(2, 3, 6, 5), (1, 3, 1, 1), (1, 3, 1, 4)], ids=str)


def operands(shape: tuple[int, ...]) -> tuple[Tensor, Tensor, Tensor]:
    """x, kernel and bias in float64."""
    generator = torch.Generator().manual_seed(0)
    sizes = (shape, (4, shape[1], 3, 3), (4,))
    x, kernel, bias = (
        torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes
    )
    return x.requires_grad_(), kernel, bias


def plain(x: Tensor, kernel: Tensor, bias: Tensor, *, replicate: bool) -> Tensor:
    mode = "replicate" if replicate else "constant"
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), kernel, bias)


@PADDINGS
@SHAPES
def test_equals_torch_convolution(replicate: bool, shape: tuple[int, ...]) -> None:
    x, kernel, bias = operands(shape)
    torch.testing.assert_close(
        convolve(x, kernel, bias, replicate=replicate), plain(x, kernel, bias, replicate=replicate)
    )


@PADDINGS
@SHAPES
def test_gradient_equals_autograd_of_torch(replicate: bool, shape: tuple[int, ...]) -> None:
    x, kernel, bias = operands(shape)
    ours = convolve(x, kernel, bias, replicate=replicate)
    theirs = plain(x, kernel, bias, replicate=replicate)
    upstream = torch.randn_like(ours)
    torch.testing.assert_close(
        torch.autograd.grad(ours, x, upstream), torch.autograd.grad(theirs, x, upstream)
    )


@PADDINGS
def test_gradient_equals_finite_differences(replicate: bool) -> None:
    x, kernel, bias = operands((2, 2, 3, 4))
    assert torch.autograd.gradcheck(lambda x: convolve(x, kernel, bias, replicate=replicate), x)


@PADDINGS
def test_channels_last_input_gives_the_same(replicate: bool) -> None:
    x, kernel, bias = operands((2, 3, 6, 5))
    kernel_last = kernel.contiguous(memory_format=torch.channels_last)
    x_last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        convolve(x_last, kernel_last, bias, replicate=replicate),
        convolve(x, kernel, bias, replicate=replicate),
    )


@PADDINGS
def test_saves_no_input_for_the_backward_pass(replicate: bool) -> None:
    x, kernel, bias = operands((1, 3, 6, 5))
    saved: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda x: x):
        hidden = x + 1
        result = convolve(hidden, kernel, bias, replicate=replicate)
    gone = weakref.ref(hidden)
    del hidden
    assert saved == []
    assert gone() is None
    assert result.requires_grad


def test_weights_get_no_gradient() -> None:
    x, kernel, bias = operands((1, 3, 6, 5))
    kernel.requires_grad_()
    convolve(x, kernel, bias, replicate=True).sum().backward()
    assert kernel.grad is None
    assert x.grad is not None
