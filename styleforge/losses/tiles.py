"""Large pictures tile by tile: the same loss and gradient, in memory that does not grow with them.

A Gram matrix is a sum over positions, so it can be summed over tiles, and so can other moments. A
first pass does that, without keeping anything; the loss's derivative by each sum is then known,
and a second pass sends it, with the content loss of the tile, back to the tile's pixels. Tiles
overlap by as much as the deepest layer sees, so neither pass differs from one over the whole
picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from styleforge.core.layers import reach, stride
from styleforge.losses.neighbors import CELL
from styleforge.losses.objective import (
    GRAM,
    Features,
    Guidance,
    Loss,
    Objective,
    Statistic,
    Sums,
    averaged,
    half_squared_distance,
    total_variation,
)

Extract = Callable[[Tensor], Features]


class Box(NamedTuple):
    top: int
    left: int
    bottom: int
    right: int

    def cut(self, image: Tensor) -> Tensor:
        """The part of (B, C, H, W) inside the box."""
        return image[..., self.top : self.bottom, self.left : self.right]


@dataclass(frozen=True)
class Tile:
    """``core`` is the tile's own part of the picture, ``outer`` what has to be looked at for it."""

    core: Box
    outer: Box

    def own(self, features: Tensor, step: int) -> Tensor:
        """The core's part of features that were computed over ``outer``, at a layer's stride."""
        top, left = (
            (self.core.top - self.outer.top) // step,
            (self.core.left - self.outer.left) // step,
        )
        box = self.place(step)
        return features[..., top : top + box.bottom - box.top, left : left + box.right - box.left]

    def place(self, step: int) -> Box:
        """Where the core lies in the whole picture's features."""
        return Box(*(side // step for side in self.core))


@dataclass(frozen=True)
class Tiling:
    """Cuts any picture into tiles with cores of at most ``side`` pixels for some layers' sake."""

    side: int
    margin: int
    align: int

    @classmethod
    def of(cls, side: int, layers: Iterable[str]) -> Tiling:
        layers = list(layers)
        align = max(CELL, *map(stride, layers))  # no tile ends within a hypercolumn's cell
        margin = max(map(reach, layers))
        return cls(max(side // align, 1) * align, math.ceil(margin / align) * align, align)

    @property
    def largest(self) -> int:
        """Pixels of the largest tile, with what overlaps."""
        return (self.side + 2 * self.margin) ** 2

    def cost(self, width: int, height: int) -> float:
        """Pixels that an evaluation looks at, the first pass being half of one."""
        outers = (tile.outer for tile in self.tiles(height, width))
        return 1.5 * sum((box.bottom - box.top) * (box.right - box.left) for box in outers)

    def tiles(self, height: int, width: int) -> Iterator[Tile]:
        for top, bottom in self._cuts(height):
            for left, right in self._cuts(width):
                outer = Box(
                    max(top - self.margin, 0),
                    max(left - self.margin, 0),
                    min(bottom + self.margin, height),
                    min(right + self.margin, width),
                )
                yield Tile(Box(top, left, bottom, right), outer)

    def _cuts(self, length: int) -> list[tuple[int, int]]:
        count = math.ceil(length / self.side)
        step = math.ceil(length / count / self.align) * self.align
        return [(start, min(start + step, length)) for start in range(0, length, step)]


@torch.no_grad()
def style_statistics(
    extract: Extract,
    image: Tensor,
    layers: Iterable[str],
    tiling: Tiling | None,
    *,
    statistic: Statistic = GRAM,
    guidance: Mapping[str, Guidance] | None = None,
) -> dict[str, Tensor]:
    """G of the features of (1, 3, H, W) at each layer, ``{layer: (1, N, N)}``, or what else it is.

    With ``guidance``, of one region. In tiles only of a statistic that follows from moments.
    """
    layers, guidance = list(layers), guidance or {}
    if tiling is None:
        features = extract(image)
        channels = {layer: place.channels for layer, place in guidance.items()}
        return {layer: statistic(features[layer], channels.get(layer)) for layer in layers}
    assert isinstance(statistic, Sums)
    sums = _sums(extract, image, layers, tiling=tiling, moments=statistic, guidance=guidance)
    return {layer: statistic.of_means(sums[layer] / _positions(image, layer)) for layer in layers}


@torch.no_grad()
def whole_features(
    extract: Extract, image: Tensor, layers: Iterable[str], tiling: Tiling | None
) -> dict[str, Tensor]:
    """Features of (1, 3, H, W) at each layer, put together from tiles."""
    layers = list(layers)
    whole: dict[str, Tensor] = {}
    for tile in tiles(tiling, image):
        features = extract(tile.outer.cut(image))
        for layer in layers:
            own = tile.own(features[layer], stride(layer))
            if layer not in whole:
                sides = (side // stride(layer) for side in image.shape[2:])
                whole[layer] = own.new_empty(*own.shape[:2], *sides)
            tile.place(stride(layer)).cut(whole[layer]).copy_(own)
    return whole


@dataclass(frozen=True)
class TiledObjective:
    """An :class:`Objective` evaluated tile by tile; its gradient comes with the evaluation."""

    objective: Objective
    tiling: Tiling

    def __call__(self, image: Tensor) -> Loss:
        total, content, style = _Tiled.apply(image, self)
        weight = self.objective.tv_weight
        tv = weight * total_variation(image) if weight else image.new_zeros(())
        return Loss(total + tv, content, style, tv)

    @torch.no_grad()
    def evaluate(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Content loss, style loss and the gradient of their sum."""
        style, derivatives = self._style(image)
        content = image.new_zeros(())
        gradient = torch.zeros_like(image)
        for tile in self.tiling.tiles(*image.shape[2:]):
            with torch.enable_grad():
                pixels = tile.outer.cut(image).detach().clone().requires_grad_()
                features = self.objective.extract(pixels)
                own_content = self._content(features, tile, image)
                own_neighbors = self._neighbors(features, tile, image)
                own_style = image.new_zeros(())
                for layer, derivative in derivatives.items():
                    guidance = self.objective.guidance.get(layer)
                    own = _own_sums(tile, layer, features[layer], self._moments, guidance)
                    own_style = own_style + (own * derivative).sum()
                own_total = own_content + own_neighbors + own_style
                if not own_total.requires_grad:  # a strip narrower than the cells of all layers
                    continue
                (own_gradient,) = torch.autograd.grad(own_total, pixels)
            content += own_content.detach()
            style += own_neighbors.detach()
            tile.outer.cut(gradient).add_(own_gradient)
        return content, style, gradient

    def _style(self, image: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The style loss, and its derivative by the sums over positions at each layer."""
        objective = self.objective
        if not objective.style_weights:
            return image.new_zeros(()), {}
        sums = _sums(
            objective.extract,
            image,
            objective.style_weights,
            tiling=self.tiling,
            moments=self._moments,
            guidance=objective.guidance,
        )
        loss = image.new_zeros(())
        derivatives = {}
        for layer, weight in objective.style_weights.items():
            positions = _positions(image, layer)
            means = (sums[layer] / positions).requires_grad_()
            with torch.enable_grad():
                own = weight * self._style_loss(layer, means)
            derivatives[layer] = torch.autograd.grad(own, means)[0] / positions
            loss += own.detach()
        return loss, derivatives

    @property
    def _moments(self) -> Sums:
        assert isinstance(self.objective.statistic, Sums), "only sums can be taken in tiles"
        return self.objective.statistic

    def _style_loss(self, layer: str, means: Tensor) -> Tensor:
        guidance = self.objective.guidance.get(layer)
        return self._moments.loss(
            self._moments.of_means(means),
            self.objective.style_targets[layer],
            guidance.shares if guidance else None,
        )

    def _content(self, features: Features, tile: Tile, image: Tensor) -> Tensor:
        """The tile's share of the content loss."""
        loss = image.new_zeros(())
        for layer, weight in self.objective.content_weights.items():
            target, step = self.objective.content_targets[layer], stride(layer)
            own, part = tile.own(features[layer], step), tile.place(step).cut(target)
            loss = loss + weight * half_squared_distance(own, part) / target.numel()
        return loss

    def _neighbors(self, features: Features, tile: Tile, image: Tensor) -> Tensor:
        """The tile's share of the loss against the style's most similar places."""
        loss = image.new_zeros(())
        for layer, weight in self.objective.neighbor_weights.items():
            target, step = self.objective.neighbor_targets[layer], stride(layer)
            places = tile.place(step * target.cell).cut(target.places)
            if not places.numel():  # a strip at the edge, narrower than a cell
                continue
            own = averaged(tile.own(features[layer], step), target.cell)
            numbers = target.places.numel() * own.shape[1]
            share = half_squared_distance(own, target._replace(places=places).features)
            loss = loss + weight * share / (numbers * target.variance)
        return loss


class _Tiled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, tiled: TiledObjective) -> tuple[Tensor, Tensor, Tensor]:
        content, style, gradient = tiled.evaluate(image)
        ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(content, style)
        return content + style, content, style

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, *_: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return upstream * gradient, None


def _sums(
    extract: Extract,
    image: Tensor,
    layers: Iterable[str],
    *,
    tiling: Tiling,
    moments: Sums,
    guidance: Mapping[str, Guidance],
) -> dict[str, Tensor]:
    """What a statistic sums, over all positions of the image's features at each layer."""
    sums: dict[str, Tensor] = {}
    for tile in tiles(tiling, image):
        features = extract(tile.outer.cut(image))
        for layer in layers:
            own = _own_sums(tile, layer, features[layer], moments, guidance.get(layer))
            sums[layer] = sums[layer] + own if layer in sums else own
    return sums


def _own_sums(
    tile: Tile, layer: str, features: Tensor, moments: Sums, guidance: Guidance | None
) -> Tensor:
    """The tile's share of the sums; ``features`` are of what the tile looks at."""
    step = stride(layer)
    channels = guidance.channels if guidance else None
    own_channels = None if channels is None else tile.place(step).cut(channels)
    return moments.sums(tile.own(features, step), own_channels)


def tiles(tiling: Tiling | None, image: Tensor) -> Iterator[Tile]:
    """Those of (1, 3, H, W); without a tiling, all of it as one."""
    height, width = image.shape[2:]
    if tiling is None:
        return iter([Tile(Box(0, 0, height, width), Box(0, 0, height, width))])
    return tiling.tiles(height, width)


def _positions(image: Tensor, layer: str) -> int:
    """M of a layer: the positions of its features over the whole of (1, 3, H, W)."""
    return math.prod(side // stride(layer) for side in image.shape[2:])
