"""What else than the Gram matrix can stand for a style: other statistics of a layer's features.

Each loss is scaled such that a beta means about the same whichever statistic is matched: 40 steps
of the default preset at 128 pixels (chelsea, the cafe terrace) leave the content loss within 2 %
of where the Gram matrix leaves it. A training takes each style's loss in the statistic's unit, and
a beta means about the same there too: four photos' losses against eight styles, at johnson's
layers, are 0.7 to 1.3 times those of the Gram matrix (neighbors, at theirs: 0.3 to 0.9 times).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.core.layers import CONVOLUTIONS, stride
from styleforge.losses.neighbors import nearest, variance
from styleforge.losses.objective import (
    GRAM,
    Statistic,
    Sums,
    at_least_float32,
    guided,
    half_squared_distance,
    rms,
    scatter_matrix,
    shared_mean,
)
from styleforge.presets.transfer import TrainingStatisticName

PLACES = 1024
"""Of a style image at a layer, among which the most similar ones are looked for.

With 4096 of them the loss of photos is 2 % less (the cafe terrace at 192 pixels, crops of 96), and
a search takes four times as long: with 1024, two thirds of what VGG-19 takes on a processor.
"""

_QUANTILES = 4096
"""Of a style image's projections, where targets of several sizes are to be stacked."""

_LEAST_VARIANCE = 1e-5
"""A filter that never responds has no gradient of its standard deviation otherwise."""


def _sums_and_squares(features: Tensor, channels: Tensor | None) -> Tensor:
    """Sums of T^2 F and of (T F)^2: (B, 2, N)."""
    return torch.stack([_sums(features, channels), _squares(features, channels)], 1)


def _sums(features: Tensor, channels: Tensor | None) -> Tensor:
    return at_least_float32(guided(guided(features, channels), channels)).sum((2, 3))


def _squares(features: Tensor, channels: Tensor | None) -> Tensor:
    return at_least_float32(guided(features, channels)).square().sum((2, 3))


def _mean_and_deviation(means: Tensor) -> Tensor:
    """Means of F and F^2 (B, 2, N) to mean and standard deviation."""
    mean, square = means.unbind(1)
    variance = (square - mean.square()).clamp(min=0)
    return torch.stack([mean, (variance + _LEAST_VARIANCE).sqrt()], 1)


def _scatter_and_sums(features: Tensor, channels: Tensor | None) -> Tensor:
    """(T F) (T F)^T and, in a last row, the sums of T^2 F: (B, N + 1, N)."""
    scatter = scatter_matrix(guided(features, channels))
    return torch.cat([scatter, _sums(features, channels)[:, None]], 1)


def _centered(means: Tensor) -> Tensor:
    """F F^T / M and the mean m (B, N + 1, N) to F F^T / M - m m^T."""
    gram, mean = means[:, :-1], means[:, -1:]
    return gram - mean.mT @ mean


MEAN_STD = Sums(_sums_and_squares, _mean_and_deviation, strength=3.5, relative=4.0)
"""Mean and standard deviation of each channel (Li, Wang, Liu and Hou 2017, section 4.2)."""

COVARIANCE = Sums(_scatter_and_sums, _centered, strength=0.5)
"""The Gram matrix of centered features (Sun and Saenko 2016): it does not know their mean."""


class SlicedWasserstein:
    """Sorted projections of the features on random directions (Heitz et al. 2021).

    Their mean squared difference is the sliced Wasserstein-2 distance between all that the two
    layers respond, not only between moments. As many directions as channels, fixed by the seed:
    the authors draw new ones in each step, but L-BFGS needs an objective that stays. Projections
    of another number of positions are interpolated at the same quantiles.
    """

    strength = 1.5
    relative = 2.0

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._known: dict[int, Tensor] = {}

    def __call__(self, features: Tensor, channels: Tensor | None = None) -> Tensor:
        """(B, N, M), each row ascending; not of regions."""
        assert channels is None, "check_masks refuses them"
        positions = at_least_float32(features).flatten(2)
        return (self.directions(positions) @ positions).sort(2).values

    def loss(self, found: Tensor, target: Tensor, shares: Tensor | None = None) -> Tensor:
        difference = found - quantiles(target, found.shape[2])
        return self.strength * shared_mean(difference.square(), shares)

    def target(self, features: Tensor) -> Tensor:
        return quantiles(self(features), _QUANTILES)

    def unit(self, target: Tensor) -> Tensor:
        return self.relative * rms(target)

    def directions(self, positions: Tensor) -> Tensor:
        """Unit vectors (N, N), one a row, for (B, N, M): drawn once, so a step can be recorded."""
        channels = positions.shape[1]
        if channels not in self._known:
            generator = torch.Generator().manual_seed(self._seed)
            drawn = F.normalize(torch.randn(channels, channels, generator=generator), dim=1)
            self._known[channels] = drawn.to(positions)
        return self._known[channels].to(positions)


class NearestFeatures:
    """The most similar of a style image's features at each place (Zhang et al. 2022, section 3.2).

        L_nn = 1/2 mean((F - T)^2) / v      T_i: the A_j of the highest cosine with F_i

    A (K, N) are the features at places of the style image that the seed draws, v is their
    variance; means are taken off before cosines are compared, and the choice has no gradient. The
    authors (ARF, equation 1) take the mean cosine distance, which does not know how strong
    features are; this is the loss of a transfer (``neighbor_loss`` in objective.py), with
    neighbors that are found anew for each picture, and it needs no unit: about 1 for what has
    nothing in common with the style.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def __call__(self, features: Tensor, channels: Tensor | None = None) -> Tensor:
        """(B, H W, N), all features row by row; not of regions."""
        assert channels is None, "a transfer has neighbors of its own"
        return at_least_float32(features).permute(0, 2, 3, 1).flatten(1, 2)

    def loss(self, found: Tensor, target: Tensor, shares: Tensor | None = None) -> Tensor:
        distances = [_to_nearest(own, rows) for own, rows in zip(found, target, strict=True)]
        return shared_mean(torch.stack(distances)[:, None], shares)

    def target(self, features: Tensor) -> Tensor:
        """At random places; where there are fewer than are wanted, at each of them repeatedly."""
        rows = self(features)
        generator = torch.Generator().manual_seed(self._seed)
        order = torch.randperm(rows.shape[1], generator=generator)
        return rows[:, order[torch.arange(PLACES) % len(order)].to(rows.device)]

    def unit(self, target: Tensor) -> Tensor:
        return target.new_ones(len(target))


def _to_nearest(features: Tensor, rows: Tensor) -> Tensor:
    """1/2 mean((F - T)^2) / v of features (M, N) and the most similar of rows (K, N), a scalar."""
    queries = features.detach()
    chosen = nearest(queries, rows - rows.mean(0), queries.mean(0)).places
    return half_squared_distance(features, rows[chosen]) / (features.numel() * variance(rows))


def sorting_bytes(layers: Iterable[str]) -> float:
    """Memory per pixel that sorted projections take beside the features (measured: 27 a number).

    Per direction and position: the projection, its rank, the difference and their gradients.
    """
    return 28 * sum(CONVOLUTIONS[f"conv{name[4]}_1"] / stride(name) ** 2 for name in layers)


def quantiles(ordered: Tensor, count: int) -> Tensor:
    """(B, R, M) in ascending rows to ``count`` of the same distributions, evenly spaced."""
    if ordered.shape[2] == count:
        return ordered
    return F.interpolate(ordered, count, mode="linear", align_corners=False)


def blended(statistics: Sequence[Tensor], shares: Sequence[float]) -> Tensor:
    """sum_k v_k A_k of statistics (B, R, C), with sum_k v_k = 1.

    Against sum_k v_k mean((S - A_k)^2) the loss differs by a constant only. (Of sorted
    projections it is the Wasserstein barycenter on each direction.)
    """
    count = max(x.shape[2] for x in statistics)
    parts = [share * quantiles(x, count) for x, share in zip(statistics, shares, strict=True)]
    return torch.stack(parts).sum(0)


def statistic_named(name: TrainingStatisticName, *, seed: int) -> Statistic:
    """A statistic as presets name it; the seed is of random directions or places."""
    if name == "neighbors":
        return NearestFeatures(seed)
    if name == "sliced-wasserstein":
        return SlicedWasserstein(seed)
    return {"gram": GRAM, "mean-std": MEAN_STD, "covariance": COVARIANCE}[name]
