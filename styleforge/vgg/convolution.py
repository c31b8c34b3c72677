"""A 3x3 convolution whose weights are constants, by the fastest algorithm for its size.

``torch.conv2d`` keeps its input for the weights' gradient, even where none is wanted; here only
the image's gradient exists, so a backward pass needs the kernel alone. That halves the memory.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from styleforge.core.devices import tf32_allowed
from styleforge.vgg import winograd
from styleforge.vgg.winograd import Border

Padding = Literal["replicate", "zeros"]
AnyPadding = Literal["replicate", "zeros", "reflect"]

WINOGRAD_CHANNELS = 64
WINOGRAD_TILES = 32
"""Winograd's algorithm takes over from these many channels, in and out, and tiles (measured)."""


class Convolution(nn.Module):
    """Convolve (B, C, H, W) with a fixed kernel (N, C, 3, 3) and bias (N,) to (B, N, H, W).

    The border repeats the edge pixels (``replicate``), or is zero. Computes in the kernel's
    type; on CUDA, float32 may be multiplied as TF32 where ``tf32`` says so. Differentiable once,
    in the image; not with the border reflected (``reflect``).
    """

    kernel: Tensor
    bias: Tensor

    def __init__(
        self,
        kernel: Tensor,
        bias: Tensor,
        *,
        padding: AnyPadding = "replicate",
        tf32: bool = False,
    ) -> None:
        super().__init__()
        self.padding = padding
        self.tf32 = tf32
        kernel = kernel.contiguous(memory_format=torch.channels_last)
        self.register_buffer("kernel", kernel)
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = _Convolve.apply(x.to(self.kernel.dtype), self)
        return result

    def is_faster_by_winograd(self, x: Tensor) -> bool:
        """Whether Winograd's algorithm suits this image or gradient."""
        return (
            x.device.type == "cpu"
            and x.dtype == self.kernel.dtype == torch.float32
            and min(self.kernel.shape[:2]) >= WINOGRAD_CHANNELS
            and x.shape[0] * x.shape[2] * x.shape[3] >= WINOGRAD_TILES * winograd.TILE**2
        )

    @cached_property
    def transformed(self) -> Tensor:
        return winograd.transform_kernel(self.kernel)


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, convolution: Convolution) -> Tensor:
        ctx.convolution = convolution
        with tf32_allowed(convolution.tf32):
            return _convolve(x, convolution)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        convolution: Convolution = ctx.convolution
        if convolution.padding == "reflect":
            raise RuntimeError("there is no gradient where the border is reflected")
        replicate = convolution.padding == "replicate"
        if convolution.is_faster_by_winograd(gradient):
            border = Border(2 if replicate else 1, "zeros")
            result = winograd.correlate_adjoint(gradient, convolution.transformed, border)
        else:
            padding = 0 if replicate else 1
            with tf32_allowed(convolution.tf32):
                result = F.conv_transpose2d(gradient, convolution.kernel, padding=padding)
        return _fold_border(result) if replicate else result, None


def _convolve(x: Tensor, convolution: Convolution) -> Tensor:
    padding = convolution.padding
    if convolution.is_faster_by_winograd(x):
        border = Border(1, padding)
        return winograd.correlate(x, convolution.transformed, convolution.bias, border)
    if padding == "zeros":
        return F.conv2d(x, convolution.kernel, convolution.bias, padding=1)
    padded = F.pad(x, (1, 1, 1, 1), mode=padding)
    return F.conv2d(padded, convolution.kernel, convolution.bias)


def _fold_border(padded: Tensor) -> Tensor:
    """The adjoint of replicate padding by 1: border gradients go to the pixel they repeat."""
    padded[..., 1, :] += padded[..., 0, :]
    padded[..., -2, :] += padded[..., -1, :]
    padded[..., :, 1] += padded[..., :, 0]
    padded[..., :, -2] += padded[..., :, -1]
    return padded[..., 1:-1, 1:-1]
