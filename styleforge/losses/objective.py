"""The losses of Gatys, Ecker and Bethge (2016) and of Kolkin et al. (2022), and their objective.

Conventions: every loss is a mean, so weights do not depend on the image's size. For features F
of layer l with N_l channels and M_l = H_l W_l positions, and targets P (features), A (Gram):

    L_content = 1/2 mean((F - P)^2)
    G         = F F^T / M_l
    E_l       = 1/4 mean((G - A)^2)     the paper's 1 / (4 N_l^2 M_l^2) sum (G - A)^2
                or of another statistic than G (statistics.py)
    L_nn      = 1/2 mean((A F - T)^2) / v     T_i: the painting's features where they are most
                like those of place i (neighbors.py), v: their variance, A: averaged to cells
    L         = alpha sum_l v_l L_content,l + beta sum_l w_l E_l + nu sum_l u_l L_nn,l + tv L_tv

All functions take any device and floating-point type and accumulate in float32 or better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

_LEAST_RMS = 1e-3
"""An evenly colored style image has hardly any features at some layers."""

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
        positions = at_least_float32(positions)
        return positions.mT @ positions

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (positions,) = ctx.saved_tensors
        result: Tensor = positions @ (gradient + gradient.mT).to(positions)
        return result


class Guidance(NamedTuple):
    """Where in a picture each of K styles goes, at one layer (Gatys et al. 2017, section 4).

    ``channels`` are T (K, 1, H, W), which weigh the features and have a mean square of 1, or None
    for a batch of K pictures; ``shares`` are lambda (K,), which weigh the styles' losses.
    """

    channels: Tensor | None
    shares: Tensor


class Statistic(Protocol):
    """What of a layer's features is held against the style's, wherever in the image it is."""

    def __call__(self, features: Tensor, channels: Tensor | None = None) -> Tensor:
        """Of features (B, N, H, W), as (B, R, C); or of features (1, N, H, W) in K regions."""

    def loss(self, found: Tensor, target: Tensor, shares: Tensor | None = None) -> Tensor:
        """How far apart, a scalar: the mean of the batch, or the regions' sum by their shares."""

    def target(self, features: Tensor) -> Tensor:
        """Of a style image's features (1, N, H, W), as large whatever the image's size: (1, R, C).

        So those of several styles can be stacked.
        """

    def unit(self, target: Tensor) -> Tensor:
        """A loss that is as large for every style, of stacked targets (B, R, C): (B,)."""


@dataclass(frozen=True)
class Sums:
    """A :class:`Statistic` that follows from means over positions: S = of_means(sums(F) / M).

    Its loss is ``strength`` mean((S - A)^2), in units of ``relative`` rms(A). ``sums`` takes
    features and guidance channels T, or None for T = 1, and can be added up over the parts of an
    image.
    """

    sums: Callable[[Tensor, Tensor | None], Tensor]
    of_means: Callable[[Tensor], Tensor]
    strength: float
    relative: float = 1.0

    def __call__(self, features: Tensor, channels: Tensor | None = None) -> Tensor:
        return self.of_means(self.sums(features, channels) / features.shape[2:].numel())

    def loss(self, found: Tensor, target: Tensor, shares: Tensor | None = None) -> Tensor:
        return self.strength * shared_mean((found - target).square(), shares)

    def target(self, features: Tensor) -> Tensor:
        return self(features)

    def unit(self, target: Tensor) -> Tensor:
        return self.relative * rms(target)


def rms(target: Tensor) -> Tensor:
    """The root mean square of each of stacked targets (B, R, C): (B,)."""
    return target.square().mean((1, 2)).sqrt().clamp(min=_LEAST_RMS)


def shared_mean(x: Tensor, shares: Tensor | None) -> Tensor:
    """The mean of (B, R, C); with shares (B,), the sum of each one's mean times its share."""
    return x.mean() if shares is None else (x.flatten(1).mean(1) * shares).sum()


def guided(features: Tensor, channels: Tensor | None) -> Tensor:
    """T F, the features (1, N, H, W) in each region: (K, N, H, W); without T, F as it is."""
    return features if channels is None else at_least_float32(features) * channels


def _guided_scatter(features: Tensor, channels: Tensor | None) -> Tensor:
    """(T F) (T F)^T (Gatys et al. 2017, equation 3)."""
    return scatter_matrix(guided(features, channels))


GRAM = Sums(_guided_scatter, lambda gram: gram, strength=0.25)
"""G, as in the paper."""


def content_loss(features: Tensor, target: Tensor) -> Tensor:
    """1/2 mean((F - P)^2), a scalar (Gatys et al. 2016, equation 1, as a mean)."""
    return half_squared_distance(features, target) / target.numel()


class _HalfSquaredDistance(torch.autograd.Function):
    """1/2 sum((F - P)^2) for a constant P, whose gradient is the difference that it took anyway."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, target: Tensor) -> Tensor:
        difference = at_least_float32(features) - at_least_float32(target)
        ctx.save_for_backward(difference)
        ctx.dtype = features.dtype
        return 0.5 * difference.square().sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (difference,) = ctx.saved_tensors
        return (upstream * difference).to(ctx.dtype), None


def half_squared_distance(features: Tensor, target: Tensor) -> Tensor:
    """1/2 sum((F - P)^2) for a constant P, a scalar."""
    result: Tensor = _HalfSquaredDistance.apply(features, target)
    return result


def style_loss(
    features: Tensor,
    target: Tensor,
    *,
    statistic: Statistic = GRAM,
    guidance: Guidance | None = None,
) -> Tensor:
    """E_l = 1/4 mean((G - A)^2), a scalar (Gatys et al. 2016, equation 4), or of another statistic.

    With guidance, sum_k lambda_k E_l,k over the regions (Gatys et al. 2017, equation 4).
    """
    channels, shares = guidance or (None, None)
    return statistic.loss(statistic(features, channels), target, shares)


class NeighborTarget(NamedTuple):
    """T of a layer: what the most similar places of the style images look like there.

    ``rows`` (K, N) are features of style images, ``places`` (H, W) say which of them goes where.
    Features are averaged over ``cell`` x ``cell`` positions before they are compared;
    ``variance`` is that of the style images' own features, averaged over channels, a scalar.
    """

    rows: Tensor
    places: Tensor
    cell: int
    variance: Tensor

    @property
    def features(self) -> Tensor:
        """T (1, N, H, W), in channels last."""
        return F.embedding(self.places, self.rows).permute(2, 0, 1)[None]


def neighbor_loss(features: Tensor, target: NeighborTarget) -> Tensor:
    """L_nn = 1/2 mean((A F - T)^2) / v, a scalar: the content loss of another content.

    Kolkin et al. (2022, equation 3) take cosines, which do not know how strong features are: black
    and white come out too strong. Divided by the variance it is about 1 for what has nothing in
    common with the style, and does not depend on the layer.
    """
    return content_loss(averaged(features, target.cell), target.features) / target.variance


def averaged(features: Tensor, cell: int) -> Tensor:
    """A F: means of ``cell`` x ``cell`` positions of (B, N, H, W); what is left over is cut off."""
    return features if cell == 1 else F.avg_pool2d(at_least_float32(features), cell)


def total_variation(image: Tensor) -> Tensor:
    """mean(dx^2) + mean(dy^2) of an image (B, 3, H, W), a scalar.

    The squared form (Mahendran and Vedaldi 2015, beta = 2), which L-BFGS handles well.
    """
    image = at_least_float32(image)
    horizontal = image[..., :, 1:] - image[..., :, :-1]
    vertical = image[..., 1:, :] - image[..., :-1, :]
    return horizontal.square().mean() + vertical.square().mean()


class Loss(NamedTuple):
    """The weighted terms of the objective, scalars: total = content + style + tv.

    ``style`` is of statistics and of neighbors together.
    """

    total: Tensor
    content: Tensor
    style: Tensor
    tv: Tensor


@dataclass(frozen=True)
class Objective:
    """L(image) = alpha L_content + beta sum_l w_l E_l + nu sum_l u_l L_nn,l + tv L_tv.

    Against fixed targets.

    ``extract`` maps an image to features by layer name. ``content_targets`` are features,
    ``style_targets`` Gram matrices, or what else ``statistic`` gives; ``content_weights`` and
    ``style_weights`` already hold alpha and beta times the weight of each layer, and
    ``neighbor_weights`` nu. Layers with ``guidance`` have a target for each region.
    """

    extract: Callable[[Tensor], Features]
    content_targets: Features
    content_weights: LayerWeights
    style_targets: Mapping[str, Tensor]
    style_weights: LayerWeights
    tv_weight: float = 0.0
    statistic: Statistic = GRAM
    guidance: Mapping[str, Guidance] = field(default_factory=dict)
    neighbor_targets: Mapping[str, NeighborTarget] = field(default_factory=dict)
    neighbor_weights: LayerWeights = field(default_factory=dict)

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
                weight * self._style_loss(layer, features[layer])
                for layer, weight in self.style_weights.items()
            ),
            start=zero,
        )
        style = sum(
            (
                weight * neighbor_loss(features[layer], self.neighbor_targets[layer])
                for layer, weight in self.neighbor_weights.items()
            ),
            start=style,
        )
        tv = self.tv_weight * total_variation(image) if self.tv_weight else zero
        return Loss(content + style + tv, content, style, tv)

    def _style_loss(self, layer: str, features: Tensor) -> Tensor:
        return style_loss(
            features,
            self.style_targets[layer],
            statistic=self.statistic,
            guidance=self.guidance.get(layer),
        )


def at_least_float32(x: Tensor) -> Tensor:
    """As it is if float64, else as float32."""
    return x if x.dtype == torch.float64 else x.float()
