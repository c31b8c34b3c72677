"""Which place of a painting is most like each place of a picture.

Places are compared by the cosine of their features after each side's mean is taken off (Kolkin et
al. 2022, "Neural Neighbor Style Transfer", section 4.1). The means matter: a dark photo finds the
dark places of a light painting, and not only its darkest one.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.core.layers import filters, stride
from styleforge.images.geometry import Size
from styleforge.losses.objective import Features, LayerWeights, at_least_float32, averaged

CELL = 4
"""Pixels of the image a side for which there is one hypercolumn."""

DIMENSIONS = 192
"""Directions in which hypercolumns are compared, of 1216 with the default layers.

The neighbors found are 0.0001 to 0.0013 less similar than the exact ones, at 64 to 512 pixels.
"""

_FITTED_ROWS = 4096
_POWER_ITERATIONS = 2
"""Rows, of each side at most, whose main directions are taken, and how exactly."""

_LEAST_VARIANCE = 1e-2

_BLOCK = 1 << 20
"""Similarities that are there at the same time: as many as stay in a processor's cache."""

_BALANCING_STEPS = 200
_PREFERENCE = 0.25
"""How much more similar a style must be elsewhere to win a place that is e times less its own."""


class Matches(NamedTuple):
    """Of Q queries: the number of the most similar key, and their cosine; both (Q,)."""

    places: Tensor
    similarity: Tensor


def hypercolumns(features: Features, weights: LayerWeights, variances: Features) -> Tensor:
    """All layers' features at each cell of the image, (cells, sum_l N_l), row by row.

    Layers finer than the cells are averaged, coarser ones interpolated. Each is scaled, by its
    weight u and the style's variance v, so that squared distances are those of
    :func:`styleforge.losses.objective.neighbor_loss`.
    """
    size = grid(features)
    columns = []
    for layer, weight in weights.items():
        own = at_least_float32(rows_of(on_cells(features[layer], layer, size)))
        columns.append(own * _scale(weight, variances[layer], own.shape[1]))
    return torch.cat(columns, 1)


def split_columns(columns: Tensor, weights: LayerWeights, variances: Features) -> dict[str, Tensor]:
    """Hypercolumns (cells, sum_l N_l) back to each layer's features (cells, N_l)."""
    channels = [filters(layer) for layer in weights]
    parts = zip(weights.items(), torch.split(columns, channels, 1), strict=True)
    return {
        layer: own / _scale(weight, variances[layer], own.shape[1])
        for (layer, weight), own in parts
    }


def _scale(weight: float, variance: Tensor, channels: int) -> Tensor:
    return (weight / (channels * variance)).sqrt()


def on_cells(features: Tensor, layer: str, size: Size) -> Tensor:
    """A layer's features (1, N, H, W) on a grid of cells of this (height, width)."""
    if stride(layer) <= CELL:
        return averaged(features, CELL // stride(layer))
    return F.interpolate(features.float(), size, mode="bilinear", align_corners=False)


def rows_of(features: Tensor) -> Tensor:
    """(1, N, H, W) to (H W, N): one row a position."""
    return features[0].permute(1, 2, 0).flatten(0, 1)


def grid(features: Features) -> Size:
    """(height, width) of the cells of an image with these features, from the finest layer's."""
    layer = min(features, key=stride)
    height, width = features[layer].shape[2:]
    return height * stride(layer) // CELL, width * stride(layer) // CELL


def variance(rows: Tensor) -> Tensor:
    """Of features (K, N), averaged over channels, a scalar; an even image has next to none."""
    return rows.float().var(0, correction=0).mean().clamp(min=_LEAST_VARIANCE)


def nearest(
    queries: Tensor, keys: Tensor, mean: Tensor, preference: Tensor | None = None
) -> Matches:
    """The most similar of ``keys`` (K, N), which are centered, for each of ``queries`` (Q, N).

    ``mean`` (N,) is the queries', to be taken off. Keys of a lower ``preference`` (K,) in (0, 1]
    count as less similar by that factor. Only a block of the similarities is ever in memory.
    """
    keys = F.normalize(keys, dim=1)
    if preference is not None:
        keys = keys * preference[:, None]
    offset = keys @ mean
    transposed = keys.mT.contiguous()
    places, found = [], []
    for block in torch.split(queries, max(1, _BLOCK // len(keys))):
        best = torch.addmm(offset, block, transposed, beta=-1).max(1)
        places.append(best.indices)
        found.append(best.values / (block - mean).norm(dim=1).clamp(min=1e-12))
    return Matches(torch.cat(places), torch.cat(found))


def main_directions(*sides: Tensor, count: int, seed: int) -> Tensor:
    """An orthonormal basis (N, count) of nearly the largest principal components of (R, N) each.

    By subspace iteration on at most 4096 rows of each side (Halko, Martinsson and Tropp 2011,
    algorithm 4.4).
    """
    generator = torch.Generator().manual_seed(seed)
    chosen = [torch.randperm(len(rows), generator=generator)[:_FITTED_ROWS] for rows in sides]
    sample = torch.cat([rows[own.to(rows.device)] for rows, own in zip(sides, chosen, strict=True)])
    count = min(count, *sample.shape)
    basis = torch.randn(sample.shape[1], count, generator=generator).to(sample)
    for _ in range(1 + _POWER_ITERATIONS):
        basis = torch.linalg.qr(sample.mT @ (sample @ basis)).Q
    return basis


def owners(similarity: Tensor, regions: Tensor) -> Tensor:
    """Which of K styles paints each of Q places: (Q,), from similarities and regions (K, Q).

    A region says how much a place is a style's own: where it is 0 the style never goes. Each
    style gets about as many places as its region has in all, and there those that it suits best:
    argmax_k similarity_k + 1/4 log region_k + b_k, with the b_k that make it so. Where no style
    goes, it does not matter.
    """
    prior = similarity + _PREFERENCE * regions.clamp(min=1e-12).log()
    prior = prior.masked_fill(regions == 0, -math.inf)
    contested = prior[:, regions.sum(0) > 0]
    wanted = regions.sum(1) / regions.sum().clamp(min=1e-12)
    bias = torch.zeros_like(wanted)
    for step in range(_BALANCING_STEPS):
        chosen = (contested + bias[:, None]).argmax(0)
        shares = torch.bincount(chosen, minlength=len(bias)) / max(1, len(chosen))
        bias += 0.5 * 0.97**step * (wanted - shares)
    return (prior + bias[:, None]).argmax(0)
