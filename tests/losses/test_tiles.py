from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from styleforge.core.layers import LAYERS, filters, reach, stride
from styleforge.losses.masks import guidance
from styleforge.losses.neighbors import CELL
from styleforge.losses.objective import GRAM, NeighborTarget, Objective, Sums, gram_matrix
from styleforge.losses.statistics import COVARIANCE, MEAN_STD, SlicedWasserstein
from styleforge.losses.tiles import TiledObjective, Tiling, style_statistics, whole_features
from styleforge.vgg.network import VGG19, Padding, Pooling
from styleforge.vgg.weights import Weights
from tests.conftest import mostly_slow

CONTENT, STYLE = "relu3_1", ["relu1_1", "relu2_1"]
SIZES = pytest.mark.parametrize("size", mostly_slow([(75, 65), (64, 96), (40, 100)]), ids=str)


def image(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 12, 12, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return smooth + 0.05 * torch.randn(1, 3, height, width, generator=generator)


def objective_for(network: VGG19, picture: Tensor) -> Objective:
    photo, painting = (image(*size, seed) for size, seed in ((picture.shape[2:], 1), ((50, 60), 2)))
    with torch.no_grad():
        photo, painting = network(photo.to(picture)), network(painting.to(picture))
    return Objective(
        network,
        content_targets={CONTENT: photo[CONTENT]},
        content_weights={CONTENT: 1.0},
        style_targets={layer: gram_matrix(painting[layer]) for layer in STYLE},
        style_weights=dict.fromkeys(STYLE, 10.0),
        tv_weight=3.0,
    )


@pytest.mark.parametrize("layer", ["relu1_1", "relu2_2", "pool2", "relu3_1", "relu4_1"])
def test_reach_is_how_far_a_feature_sees(layer: str, weights: Weights) -> None:
    network = VGG19(weights, [layer], pooling="avg")
    side = 144
    pixels = image(side, side).requires_grad_()
    features = network(pixels)[layer]
    middle = features.shape[2] // 2
    (gradient,) = torch.autograd.grad(features[0, :, middle, middle].sum(), pixels)
    strength = gradient.abs().sum((0, 1, 3))
    seen = (strength > 1e-6 * strength.max()).nonzero().flatten()  # Winograd's zeros are rounded
    first, last = middle * stride(layer), (middle + 1) * stride(layer) - 1
    furthest = max(first - int(seen[0]), int(seen[-1]) - last)
    assert furthest <= reach(layer) < furthest + stride(layer) + 1


@pytest.mark.parametrize("layer", LAYERS)
def test_stride_is_the_size_of_the_image_over_the_features(layer: str) -> None:
    assert stride(layer) == 2 ** LAYERS[: LAYERS.index(layer) + 1].__str__().count("pool")


@pytest.mark.parametrize("side", [16, 50, 64, 1000])
@SIZES
def test_cores_cover_every_pixel_once(size: tuple[int, int], side: int) -> None:
    count = torch.zeros(1, 1, *size)
    tiling = Tiling.of(side, ["relu4_2"])
    for tile in tiling.tiles(*size):
        tile.core.cut(count).add_(1)
        assert tile.outer.top <= tile.core.top
        assert tile.outer.right >= tile.core.right
        area = (tile.outer.bottom - tile.outer.top) * (tile.outer.right - tile.outer.left)
        assert area <= tiling.largest
    assert count.eq(1).all()


@pytest.mark.parametrize(
    ("padding", "pooling", "size"),
    [
        ("replicate", "avg", (75, 65)),
        pytest.param("replicate", "max", (64, 48), marks=pytest.mark.slow),
        pytest.param("zeros", "max", (49, 64), marks=pytest.mark.slow),
    ],
)
def test_loss_and_gradient_equal_those_of_the_whole_picture(
    size: tuple[int, int], padding: Padding, pooling: Pooling, weights: Weights
) -> None:
    """In float64: in float32, rounding can turn a maximum, and its gradient, to another pixel."""
    network = VGG19(weights, [CONTENT, *STYLE], pooling=pooling, padding=padding).double()
    loss, gradient = difference_of_tiled_from_whole(network, image(*size).double())
    assert loss < 1e-10
    assert gradient < 1e-10


@pytest.mark.slow
@pytest.mark.parametrize("in_regions", [False, True], ids=["everywhere", "in regions"])
@pytest.mark.parametrize(
    "statistic", [GRAM, MEAN_STD, COVARIANCE], ids=["gram", "mean-std", "covariance"]
)
def test_other_statistics_and_regions_equal_those_of_the_whole_picture(
    statistic: Sums, in_regions: bool, weights: Weights
) -> None:
    layers = STYLE[:2]
    network = VGG19(weights, layers).double()
    picture, painting = image(70, 51).double(), image(50, 60, 2).double()
    masks = torch.rand(2, 1, 70, 51, generator=torch.Generator().manual_seed(3)).double()
    with torch.no_grad():
        features = network(painting)
    count = 2 if in_regions else 1
    whole = Objective(
        network,
        {},
        {},
        {layer: statistic(features[layer]).repeat(count, 1, 1) for layer in layers},
        dict.fromkeys(layers, 10.0),
        statistic=statistic,
        guidance={layer: guidance(masks, layer) for layer in layers if in_regions},
    )
    tiled = TiledObjective(whole, Tiling.of(32, network.wanted))
    for found, expected in zip(*(evaluated(x, picture) for x in (tiled, whole)), strict=True):
        assert (found - expected).norm() < 1e-10 * expected.norm()


def random_neighbors(picture: Tensor, cells: dict[str, int]) -> dict[str, Any]:
    """Targets and weights for an objective, as a scale of neighbors has them."""
    generator = torch.Generator().manual_seed(4)
    targets = {}
    for layer, cell in cells.items():
        shape = [side // (stride(layer) * cell) for side in picture.shape[2:]]
        rows = torch.rand(9, filters(layer), generator=generator).to(picture)
        places = torch.randint(9, shape, generator=generator)
        targets[layer] = NeighborTarget(rows, places, cell, torch.tensor(0.3).to(picture))
    return {"neighbor_targets": targets, "neighbor_weights": dict.fromkeys(cells, 5.0)}


@pytest.mark.parametrize(
    "cells",
    mostly_slow(
        [{"relu1_2": 4, "relu2_2": 2}, {"relu1_2": 1, "relu2_2": 1}, {"relu2_1": 2, "relu3_1": 1}]
    ),
    ids=str,
)
@pytest.mark.parametrize("size", [(65, 43), (49, 52)], ids=str)
def test_neighbors_equal_those_of_the_whole_picture(
    size: tuple[int, int], cells: dict[str, int], weights: Weights
) -> None:
    """Also where the last tile is narrower than a cell, and no layer is coarser than cells are."""
    network = VGG19(weights, list(cells)).double()
    picture = image(*size).double()
    whole = Objective(network, {}, {}, {}, {}, **random_neighbors(picture, cells))
    tiled = TiledObjective(whole, Tiling.of(16, network.wanted))
    for found, expected in zip(*(evaluated(x, picture) for x in (tiled, whole)), strict=True):
        assert (found - expected).norm() < 1e-10 * expected.norm()


@pytest.mark.slow
def test_neighbors_beside_all_else_equal_those_of_the_whole_picture(weights: Weights) -> None:
    network = VGG19(weights, [CONTENT, *STYLE]).double()
    picture = image(75, 65).double()
    whole = replace(
        objective_for(network, picture), **random_neighbors(picture, {"relu1_1": 4, "relu3_1": 1})
    )
    tiled = TiledObjective(whole, Tiling.of(32, network.wanted))
    for found, expected in zip(*(evaluated(x, picture) for x in (tiled, whole)), strict=True):
        assert (found - expected).norm() < 1e-10 * expected.norm()


def test_no_tile_ends_within_a_cell() -> None:
    for length in range(32, 140):
        for tile in Tiling.of(16, ["relu1_2"]).tiles(length, 40):
            assert tile.core.top % CELL == tile.core.left % CELL == 0


@pytest.mark.slow
@SIZES
def test_float32_is_as_close_as_rounding_allows(size: tuple[int, int], weights: Weights) -> None:
    network = VGG19(weights, [CONTENT, *STYLE], pooling="avg")
    loss, gradient = difference_of_tiled_from_whole(network, image(*size))
    assert loss < 1e-5
    assert gradient < 1e-4


def difference_of_tiled_from_whole(network: VGG19, picture: Tensor) -> tuple[float, float]:
    """Relative, of the loss's terms and of the gradient's norm."""
    whole = objective_for(network, picture)
    tiled = TiledObjective(whole, Tiling.of(32, network.wanted))
    found, expected = (evaluated(objective, picture) for objective in (tiled, whole))
    loss, gradient = ((x - y).norm() / y.norm() for x, y in zip(found, expected, strict=True))
    return loss.item(), gradient.item()


def evaluated(objective: Objective | TiledObjective, picture: Tensor) -> tuple[Tensor, Tensor]:
    """The terms of the loss and the gradient of its total."""
    pixels = picture.clone().requires_grad_()
    loss = objective(pixels)
    (gradient,) = torch.autograd.grad(loss.total, pixels)
    return torch.stack(loss).detach(), gradient


@SIZES
def test_targets_equal_those_of_the_whole_picture(size: tuple[int, int], weights: Weights) -> None:
    network = VGG19(weights, [CONTENT, *STYLE])
    tiling = Tiling.of(32, network.wanted)
    with torch.no_grad():
        features = network(image(*size))
    grams = style_statistics(network, image(*size), STYLE, tiling)
    for layer in STYLE:
        torch.testing.assert_close(grams[layer], gram_matrix(features[layer]), rtol=1e-4, atol=1e-4)
    whole = whole_features(network, image(*size), [CONTENT], tiling)
    difference = (whole[CONTENT] - features[CONTENT]).abs().max()
    assert difference < 1e-4 * features[CONTENT].max()


@pytest.mark.parametrize("statistic", [MEAN_STD, COVARIANCE], ids=["mean-std", "covariance"])
def test_targets_of_other_statistics_equal_those_of_the_whole_picture(
    statistic: Sums, weights: Weights
) -> None:
    network = VGG19(weights, STYLE).double()
    picture = image(70, 51).double()
    cut, whole = (
        style_statistics(network, picture, STYLE, tiling, statistic=statistic)
        for tiling in (Tiling.of(32, network.wanted), None)
    )
    for layer in STYLE:
        torch.testing.assert_close(cut[layer], whole[layer])


def test_sorted_projections_are_taken_whole(weights: Weights) -> None:
    network, statistic = VGG19(weights, ["relu1_1"]), SlicedWasserstein(0)
    found = style_statistics(network, image(48, 64), ["relu1_1"], None, statistic=statistic)
    with torch.no_grad():
        expected = statistic(network(image(48, 64))["relu1_1"])
    assert found["relu1_1"].equal(expected)


def test_without_a_tiling_targets_are_taken_whole(weights: Weights) -> None:
    network = VGG19(weights, [CONTENT, *STYLE])
    picture = image(48, 64)
    with torch.no_grad():
        features = network(picture)
    assert whole_features(network, picture, [CONTENT], None)[CONTENT].equal(features[CONTENT])
    grams = style_statistics(network, picture, STYLE, None)
    torch.testing.assert_close(grams["relu2_1"], gram_matrix(features["relu2_1"]))
