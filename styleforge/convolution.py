"""A 3x3 convolution whose weights are constants: nothing is kept for them between passes.

``torch.conv2d`` keeps its input for the weights' gradient, even where none is wanted; here only
the image's gradient exists, so a backward pass needs the kernel alone. That halves the memory.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable


def convolve(x: Tensor, kernel: Tensor, bias: Tensor, *, replicate: bool) -> Tensor:
    """Convolve (B, C, H, W) with (N, C, 3, 3) to (B, N, H, W).

    The border repeats the edge pixels (``replicate``), or is zero. Differentiable once in ``x``.
    """
    result: Tensor = _Convolve.apply(x, kernel, bias, replicate)
    return result


class _Convolve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Tensor, bias: Tensor, replicate: bool) -> Tensor:
        ctx.kernel, ctx.replicate = kernel, replicate
        if replicate:
            return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), kernel, bias)
        return F.conv2d(x, kernel, bias, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        if not ctx.replicate:
            return F.conv_transpose2d(gradient, ctx.kernel, padding=1), None, None, None
        return _fold_border(F.conv_transpose2d(gradient, ctx.kernel)), None, None, None


def _fold_border(padded: Tensor) -> Tensor:
    """The adjoint of replicate padding by 1: border gradients go to the pixel they repeat."""
    padded[..., 1, :] += padded[..., 0, :]
    padded[..., -2, :] += padded[..., -1, :]
    padded[..., :, 1] += padded[..., :, 0]
    padded[..., :, -2] += padded[..., :, -1]
    return padded[..., 1:-1, 1:-1]
