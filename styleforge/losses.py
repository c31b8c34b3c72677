"""The losses of Gatys, Ecker and Bethge (2016) and the objective that weighs them.

Conventions: every loss is a mean, so weights do not depend on the image's size. For features F
of layer l with N_l channels and M_l = H_l W_l positions, and targets P (features), A (Gram):

    L_content = 1/2 mean((F - P)^2)
    G         = F F^T / M_l
    E_l       = 1/4 mean((G - A)^2)     the paper's 1 / (4 N_l^2 M_l^2) sum (G - A)^2
    L         = alpha sum_l v_l L_content,l + beta sum_l w_l E_l + tv L_tv

All functions take any device and floating-point type and accumulate in float32 or better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Features = Mapping[str, Tensor]
LayerWeights = Mapping[str, float]


def gram_matrix(features: Tensor) -> Tensor:
    """G = F F^T / M of features (B, N, H, W): (B, N, N), in float32 or better."""
    return scatter_matrix(features) / (features.shape[2] * features.shape[3])


def scatter_matrix(features: Tensor) -> Tensor:
    """F F^T of features (B, N, H, W): (B, N, N), in float32 or better."""
    result: Tensor = _Scatter.apply(features.permute(0, 2, 3, 1).flatten(1, 2))
    return result


class _Scatter(torch.autograd.Function):
    """F^T F of (B, M, N), whose gradient takes one matrix product instead of autograd's two.

    Features of 16 bits are multiplied as they are, and summed in float32.
    """

    @staticmethod
    def forward(ctx: Any, positions: Tensor) -> Tensor:
        ctx.save_for_backward(positions)
        if positions.is_cuda and positions.dtype.itemsize < 4:
            return torch.bmm(positions.mT, positions, out_dtype=torch.float32)
        positions = _at_least_float32(positions)
        return positions.mT @ positions

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (positions,) = ctx.saved_tensors
        result: Tensor = positions @ (gradient + gradient.mT).to(positions)
        return result


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """1/2 mean((F - P)^2), a scalar (Gatys et al. 2016, equation 1, as a mean)."""
    difference = _at_least_float32(features) - _at_least_float32(target)
    return 0.5 * difference.square().mean()


def style_loss(features: Tensor, target_gram: Tensor) -> Tensor:
    """E_l = 1/4 mean((G - A)^2), a scalar (Gatys et al. 2016, equation 4)."""
    return 0.25 * (gram_matrix(features) - target_gram).square().mean()


def total_variation(image: Tensor) -> Tensor:
    """mean(dx^2) + mean(dy^2) of an image (B, 3, H, W), a scalar.

    The squared form (Mahendran and Vedaldi 2015, beta = 2), which L-BFGS handles well.
    """
    image = _at_least_float32(image)
    horizontal = image[..., :, 1:] - image[..., :, :-1]
    vertical = image[..., 1:, :] - image[..., :-1, :]
    return horizontal.square().mean() + vertical.square().mean()


class Loss(NamedTuple):
    """The weighted terms of the objective, scalars: total = content + style + tv."""

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor


@dataclass(frozen=True)
class Objective:
    """L(image) = alpha L_content + beta sum_l w_l E_l + tv L_tv, against fixed targets.

    ``extract`` maps an image to features by layer name. ``content_targets`` are features,
    ``style_targets`` Gram matrices; ``content_weights`` and ``style_weights`` already hold alpha
    and beta times the weight of each layer.
    """

    extract: Callable[[Tensor], Features]
    content_targets: Features
    content_weights: LayerWeights
    style_targets: Mapping[str, Tensor]
    style_weights: LayerWeights
    tv_weight: float = 0.0

    def __call__(self, image: Tensor) -> Loss:
        features = self.extract(image)
        zero = torch.zeros((), device=image.device)
        content = sum(
            (
                weight * content_loss(features[layer], self.content_targets[layer])
                for layer, weight in self.content_weights.items()
            ),
            start=zero,
        )
        style = sum(
            (
                weight * style_loss(features[layer], self.style_targets[layer])
                for layer, weight in self.style_weights.items()
            ),
            start=zero,
        )
        tv = self.tv_weight * total_variation(image) if self.tv_weight else zero
        return Loss(content + style + tv, content, style, tv)


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
