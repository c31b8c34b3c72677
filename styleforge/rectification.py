"""ReLU, alone or with the 2x2 pooling after it, that keeps bytes where autograd keeps floats.

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
        image = torch.empty(
            ctx.shape,
            dtype=gradient.dtype,
            device=gradient.device,
            memory_format=torch.channels_last,
        )
        gradient = gradient * (offsets != _CLOSED)
        indices = offsets.clamp(min=0) + _window_starts(image)
        result: Tensor = torch.ops.aten.max_pool2d_with_indices_backward(
            gradient, image, [2, 2], [2, 2], [0, 0], [1, 1], False, indices
        )  # of the image, only the shape is read
        return result


def _window_starts(x: Tensor) -> Tensor:
    """Flat index of the first pixel of every 2x2 window of (B, C, H, W): (H // 2, W // 2)."""
    height, width = x.shape[2:]
    rows = torch.arange(height // 2, device=x.device) * 2 * width
    return rows[:, None] + torch.arange(width // 2, device=x.device) * 2
