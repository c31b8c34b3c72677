from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.vgg import convolution, winograd
from styleforge.vgg.convolution import WINOGRAD_CHANNELS, WINOGRAD_TILES, Convolution, Padding

PADDINGS = pytest.mark.parametrize("padding", ["replicate", "zeros"])
SHAPES = pytest.mark.parametrize("shape", [(2, 3, 6, 5), (1, 3, 1, 1), (1, 3, 1, 4)], ids=str)

LEAST = (1, WINOGRAD_CHANNELS, winograd.TILE**2, WINOGRAD_TILES)
"""The smallest image that Winograd's algorithm takes."""


@pytest.fixture
def by_winograd(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the functions of Winograd's algorithm that are called."""
    calls: list[str] = []

    def record(name: str) -> None:
        function = getattr(winograd, name)

        def recorded(*args: Any) -> Tensor:
            calls.append(name)
            result: Tensor = function(*args)
            return result

        monkeypatch.setattr(winograd, name, recorded)

    record("correlate")
    record("correlate_adjoint")
    return calls


def operands(
    shape: tuple[int, ...], filters: int = 4, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    """x, kernel and bias."""
    generator = torch.Generator().manual_seed(0)
    sizes = (shape, (filters, shape[1], 3, 3), (filters,))
    x, kernel, bias = (torch.randn(size, generator=generator, dtype=dtype) for size in sizes)
    return x.requires_grad_(), kernel, bias


def plain(x: Tensor, kernel: Tensor, bias: Tensor, *, padding: Padding) -> Tensor:
    mode = "replicate" if padding == "replicate" else "constant"
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode=mode), kernel, bias)


def upstream(result: Tensor) -> Tensor:
    return torch.randn(result.shape, generator=torch.Generator().manual_seed(1)).to(result)


def relative_error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return (found - expected).abs().max().item() / expected.abs().max().item()


@PADDINGS
@SHAPES
def test_equals_torch_convolution(padding: Padding, shape: tuple[int, ...]) -> None:
    x, kernel, bias = operands(shape)
    torch.testing.assert_close(
        Convolution(kernel, bias, padding=padding)(x), plain(x, kernel, bias, padding=padding)
    )


@PADDINGS
@SHAPES
def test_gradient_equals_autograd_of_torch(padding: Padding, shape: tuple[int, ...]) -> None:
    x, kernel, bias = operands(shape)
    ours = Convolution(kernel, bias, padding=padding)(x)
    theirs = plain(x, kernel, bias, padding=padding)
    torch.testing.assert_close(
        torch.autograd.grad(ours, x, upstream(ours)),
        torch.autograd.grad(theirs, x, upstream(theirs)),
    )


@PADDINGS
def test_gradient_equals_finite_differences(padding: Padding) -> None:
    x, kernel, bias = operands((2, 2, 3, 4))
    assert torch.autograd.gradcheck(Convolution(kernel, bias, padding=padding), x)


@PADDINGS
def test_channels_last_input_gives_the_same(padding: Padding) -> None:
    x, kernel, bias = operands((2, 3, 6, 5))
    kernel_last = kernel.contiguous(memory_format=torch.channels_last)
    x_last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        Convolution(kernel_last, bias, padding=padding)(x_last),
        Convolution(kernel, bias, padding=padding)(x),
    )


@PADDINGS
@pytest.mark.parametrize(
    ("shape", "dtype", "calls"),
    [((1, 3, 6, 5), torch.float64, []), (LEAST, torch.float32, ["correlate"])],
    ids=["direct", "winograd"],
)
def test_saves_no_input_for_the_backward_pass(
    padding: Padding,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    calls: list[str],
    by_winograd: list[str],
) -> None:
    x, kernel, bias = operands(shape, WINOGRAD_CHANNELS, dtype)
    convolve = Convolution(kernel, bias, padding=padding)
    saved: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(saved.append, lambda x: x):
        hidden = x + 1
        result = convolve(hidden)
    gone = weakref.ref(hidden)
    del hidden
    assert saved == []
    assert gone() is None
    assert result.requires_grad
    assert by_winograd == calls


@pytest.mark.parametrize(
    ("shape", "dtype"), [((1, 3, 6, 5), torch.float64), (LEAST, torch.float32)], ids=str
)
def test_weights_get_no_gradient(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x, kernel, bias = operands(shape, WINOGRAD_CHANNELS, dtype)
    kernel.requires_grad_()
    bias.requires_grad_()
    convolve = Convolution(kernel, bias)
    convolve(x).sum().backward()
    assert kernel.grad is None
    assert bias.grad is None
    assert x.grad is not None
    assert list(convolve.parameters()) == []


@PADDINGS
@pytest.mark.parametrize("batch", [1, 2])
def test_large_convolutions_go_by_winograd_there_and_back(
    padding: Padding, batch: int, by_winograd: list[str]
) -> None:
    x, kernel, bias = operands((batch, *LEAST[1:]), WINOGRAD_CHANNELS, torch.float32)
    result = Convolution(kernel, bias, padding=padding)(x)
    assert by_winograd == ["correlate"]
    result.backward(upstream(result))
    assert by_winograd == ["correlate", "correlate_adjoint"]


@PADDINGS
@pytest.mark.parametrize(
    ("channels", "filters", "width", "dtype"),
    [
        (WINOGRAD_CHANNELS, WINOGRAD_CHANNELS, WINOGRAD_TILES, torch.float64),
        (WINOGRAD_CHANNELS - 1, WINOGRAD_CHANNELS, WINOGRAD_TILES, torch.float32),
        (WINOGRAD_CHANNELS, WINOGRAD_CHANNELS - 1, WINOGRAD_TILES, torch.float32),
        (WINOGRAD_CHANNELS, WINOGRAD_CHANNELS, WINOGRAD_TILES - 1, torch.float32),
    ],
    ids=["float64", "few channels in", "few channels out", "few tiles"],
)
def test_other_convolutions_go_directly(
    padding: Padding,
    channels: int,
    filters: int,
    width: int,
    dtype: torch.dtype,
    by_winograd: list[str],
) -> None:
    x, kernel, bias = operands((1, channels, winograd.TILE**2, width), filters, dtype)
    result = Convolution(kernel, bias, padding=padding)(x)
    result.backward(upstream(result))
    assert by_winograd == []


@PADDINGS
def test_both_ways_give_the_same(
    padding: Padding, by_winograd: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, kernel, bias = operands((2, *LEAST[1:]), WINOGRAD_CHANNELS, torch.float32)
    convolve = Convolution(kernel, bias, padding=padding)
    ours = convolve(x)
    (gradient,) = torch.autograd.grad(ours, x, upstream(ours))
    assert len(by_winograd) == 2
    monkeypatch.setattr(convolution, "WINOGRAD_CHANNELS", WINOGRAD_CHANNELS + 1)
    direct = convolve(x)
    (direct_gradient,) = torch.autograd.grad(direct, x, upstream(direct))
    assert len(by_winograd) == 2
    assert relative_error(ours, direct) < 1e-5
    assert relative_error(gradient, direct_gradient) < 1e-5


@PADDINGS
@pytest.mark.parametrize("size", [(24, 24), (23, 25), (1, 600), (600, 1)], ids=str)
def test_gradient_by_winograd_equals_autograd_of_torch_in_float64(
    padding: Padding, size: tuple[int, int], by_winograd: list[str]
) -> None:
    x, kernel, bias = operands((1, 64, *size), 64, torch.float32)
    ours = Convolution(kernel, bias, padding=padding)(x)
    exact = x.detach().double().requires_grad_()
    theirs = plain(exact, kernel.double(), bias.double(), padding=padding)
    (gradient,) = torch.autograd.grad(ours, x, upstream(ours))
    (expected,) = torch.autograd.grad(theirs, exact, upstream(ours).double())
    assert len(by_winograd) == 2
    assert relative_error(ours.double(), theirs) < 1e-4
    assert relative_error(gradient.double(), expected) < 1e-4


def test_there_is_no_gradient_where_the_border_is_reflected() -> None:
    x, kernel = torch.rand(1, 2, 8, 8, requires_grad=True), torch.rand(3, 2, 3, 3)
    result = Convolution(kernel, torch.zeros(3), padding="reflect")(x)
    with pytest.raises(RuntimeError, match="no gradient where the border is reflected"):
        result.sum().backward()


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_allowed_only_where_it_is_wished(
    tf32: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the way there and back, whatever else the process allows."""
    seen: list[bool] = []
    for name in ("conv2d", "conv_transpose2d"):
        own = getattr(F, name)

        def watched(*arguments: Any, own: Any = own, **named: Any) -> Tensor:
            seen.append(torch.backends.cudnn.allow_tf32)
            result: Tensor = own(*arguments, **named)
            return result

        monkeypatch.setattr(F, name, watched)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", not tf32)
    x = torch.rand(1, 2, 8, 8, requires_grad=True)
    convolution = Convolution(torch.rand(3, 2, 3, 3), torch.zeros(3), tf32=tf32)
    convolution(x).sum().backward()
    assert seen == [tf32, tf32]
    assert torch.backends.cudnn.allow_tf32 is not tf32
