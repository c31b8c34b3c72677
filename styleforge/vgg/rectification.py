"""ReLU and 2x2 pooling that keep bytes, or nothing, where autograd keeps floats.

The backward pass needs to know where the ReLU was open and which pixel a maximum came from,
not the values themselves; for a whole network that is half of the memory of an evaluation.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_CLOSED = -1
"""Instead of an offset in the window: the maximum is not positive, no gradient passes."""


def rectify(x: Tensor) -> Tensor:
    """max(x, 0), written over ``x``; one byte a value is kept for the gradient."""
    result: Tensor = _Rectify.apply(x)
    return result


def rectify_and_max_pool(x: Tensor) -> Tensor:
    """max_pool2d(relu(x), 2) of (B, C, H, W); two bytes a result are kept for the gradient."""
    result: Tensor = _RectifyAndMaxPool.apply(x)
    return result


def average_pool(x: Tensor) -> Tensor:
    """avg_pool2d(x, 2) of (B, C, H, W); nothing is kept for the gradient."""
    result: Tensor = _AveragePool.apply(x)
    return result


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        ctx.save_for_backward(x > 0)
        return x.clamp_(min=0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (is_open,) = ctx.saved_tensors
        result: Tensor = gradient * is_open
        return result


class _RectifyAndMaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        largest, indices = F.max_pool2d_with_indices(x, [2, 2])
        result = largest.clamp_(min=0)  # the ReLU of a maximum is the maximum of the ReLUs
        offsets = (indices - _window_starts(x)).short()
        ctx.save_for_backward(offsets.masked_fill_(result == 0, _CLOSED))
        ctx.shape = x.shape
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (offsets,) = ctx.saved_tensors
        image = _empty_like(gradient, ctx.shape)
        gradient = gradient * (offsets != _CLOSED)
        indices = offsets.clamp(min=0) + _window_starts(image)
        if image.device.type == "mps":  # its kernel looks at the image instead of the indices
            return _scatter(gradient, indices, ctx.shape)
        result: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, image, [2, 2], [2, 2], [0, 0], [1, 1], False, indices
        )  # of the image, only the shape is read
        return result


class _AveragePool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return F.avg_pool2d(x, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        image = _empty_like(gradient, ctx.shape)
        height, width = (2 * side for side in gradient.shape[2:])
        quarter = gradient / 4
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
            image[..., i:height:2, j:width:2] = quarter
        image[..., height:, :] = 0
        image[..., width:] = 0
        return image


def _empty_like(x: Tensor, shape: torch.Size) -> Tensor:
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


def _scatter(values: Tensor, indices: Tensor, shape: torch.Size) -> Tensor:
    """Zeros (B, C, H, W) but for values (B, C, h, w) at flat indices into H W."""
    flat = values.new_zeros(*shape[:2], shape[2] * shape[3])
    return flat.scatter_(2, indices.flatten(2), values.flatten(2)).view(shape)


def _window_starts(x: Tensor) -> Tensor:
    """Flat index of the first pixel of every 2x2 window of (B, C, H, W): (H // 2, W // 2)."""
    height, width = x.shape[2:]
    rows = torch.arange(height // 2, device=x.device) * 2 * width
    return rows[:, None] + torch.arange(width // 2, device=x.device) * 2
