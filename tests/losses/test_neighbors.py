from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from styleforge.core.layers import stride
from styleforge.losses import neighbors
from styleforge.losses.neighbors import (
    CELL,
    grid,
    hypercolumns,
    main_directions,
    nearest,
    on_cells,
    owners,
    rows_of,
    split_columns,
    variance,
)
from styleforge.losses.objective import NeighborTarget, neighbor_loss
from styleforge.vgg.network import VGG19
from styleforge.vgg.weights import Weights

FINE = {"relu1_2": 0.2, "relu2_2": 0.3, "relu3_1": 0.5}
LAYERS = {**FINE, "relu4_1": 0.4}


def random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def cosines(queries: Tensor, keys: Tensor, mean: Tensor) -> Tensor:
    """(Q, K), one by one."""
    rows = [[_cosine(query - mean, key) for key in keys] for query in queries]
    return torch.tensor(rows, dtype=queries.dtype)


def _cosine(one: Tensor, other: Tensor) -> float:
    return float(one.dot(other) / (one.norm() * other.norm()))


def features_of(image: Tensor, weights: Weights, layers: dict[str, float]) -> dict[str, Tensor]:
    with torch.no_grad():
        found: dict[str, Tensor] = VGG19(weights, list(layers))(image)
    return found


@settings(max_examples=40)
@given(
    queries=st.integers(1, 9),
    keys=st.integers(2, 9),
    channels=st.integers(2, 6),
    seed=st.integers(0),
)
def test_nearest_is_the_highest_cosine(queries: int, keys: int, channels: int, seed: int) -> None:
    asked, known = random(queries, channels, seed=seed % 2**32), random(keys, channels, seed=1)
    mean = asked.mean(0) - 0.5  # so that a single query is not zero
    expected = cosines(asked, known, mean)
    found = nearest(asked, known, mean)
    assert found.places.equal(expected.argmax(1))
    torch.testing.assert_close(found.similarity, expected.max(1).values)


def test_nearest_does_not_depend_on_the_queries_mean() -> None:
    """A dark photo finds the dark places of a light painting."""
    queries, keys = random(20, 5), random(9, 5, seed=1)
    found, moved = (nearest(x, keys, x.mean(0)).places for x in (queries, queries + 30))
    assert found.equal(moved)
    assert not found.equal(nearest(queries + 30, keys, torch.zeros(5).double()).places)


@pytest.mark.parametrize("block", [1, 10, 27, 1 << 20])
def test_blocks_equal_the_whole(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    queries, keys = random(23, 4), random(9, 4, seed=1)
    expected = cosines(queries, keys, queries.mean(0))
    monkeypatch.setattr(neighbors, "_BLOCK", block)
    found = nearest(queries, keys, queries.mean(0))
    assert found.places.equal(expected.argmax(1))
    torch.testing.assert_close(found.similarity, expected.max(1).values)


def test_keys_of_a_lower_preference_count_as_less_similar() -> None:
    keys = torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]])
    queries, mean = torch.tensor([[3.0, 0.0]]), torch.zeros(2)
    for preference, place, similarity in ((0.7, 0, 0.7), (0.5, 1, 0.6), (0.1, 1, 0.6)):
        found = nearest(queries, keys, mean, torch.tensor([preference, 1.0, 1.0]))
        assert found.places.item() == place
        assert found.similarity.item() == pytest.approx(similarity)


def test_an_even_side_is_finite() -> None:
    even, other = torch.full((4, 3), 0.3), random(5, 3).float()
    for queries, keys in ((even, other), (other, even), (even, even)):
        found = nearest(queries, keys - keys.mean(0), queries.mean(0))
        assert found.similarity.isfinite().all()
        assert found.places.max() < len(keys)


@pytest.mark.parametrize("layer", ["relu1_2", "relu2_2", "relu3_1", "pool1", "pool2"])
def test_convention_a_cell_is_the_mean_over_4_pixels(layer: str) -> None:
    assert CELL == 4
    side = 4 // stride(layer)
    features = random(1, 2, 3 * side, 2 * side)
    found = on_cells(features, layer, (3, 2))
    for y in range(3):
        for x in range(2):
            own = features[..., y * side : (y + 1) * side, x * side : (x + 1) * side]
            torch.testing.assert_close(found[..., y, x], own.mean((2, 3)))


def test_convention_coarse_layers_are_interpolated_between_their_middles() -> None:
    features = torch.tensor([[0.0, 4.0], [8.0, 12.0]]).view(1, 1, 2, 2)
    row = torch.tensor([0.0, 1.0, 3.0, 4.0])
    expected = row + torch.tensor([0.0, 2.0, 6.0, 8.0])[:, None]
    torch.testing.assert_close(on_cells(features, "relu4_1", (4, 4))[0, 0], expected)


@pytest.mark.parametrize("size", [(32, 40), (35, 47), (101, 75)], ids=str)
@pytest.mark.parametrize(
    ("layers", "least"),
    [(["relu1_2", "relu4_1"], 4), (["relu3_1"], 4), (["relu4_1", "pool5"], 8), (["relu5_1"], 16)],
)
def test_convention_the_grid_is_the_finest_layers(
    size: tuple[int, int], layers: list[str], least: int, weights: Weights
) -> None:
    """Of whole cells; where all layers are coarser than they are, of whole positions."""
    features = features_of(torch.zeros(1, 3, *size), weights, dict.fromkeys(layers, 1.0))
    height, width = (side // least * least // 4 for side in size)
    assert grid(features) == (height, width)
    columns = hypercolumns(
        features, dict.fromkeys(layers, 1.0), dict.fromkeys(layers, torch.tensor(1.0))
    )
    assert columns.shape == (height * width, sum(features[x].shape[1] for x in layers))


def test_convention_rows_go_from_left_to_right_and_down() -> None:
    features = torch.arange(6.0).view(1, 1, 2, 3).repeat(1, 2, 1, 1)
    assert rows_of(features)[:, 1].tolist() == [0, 1, 2, 3, 4, 5]


def test_hypercolumns_and_their_layers_are_each_others_inverse(
    photo: Tensor, weights: Weights
) -> None:
    features = features_of(photo, weights, LAYERS)
    variances = {layer: torch.tensor(0.3 + k) for k, layer in enumerate(LAYERS)}
    columns = hypercolumns(features, LAYERS, variances)
    found = split_columns(columns, LAYERS, variances)
    assert list(found) == list(LAYERS)
    for layer, own in found.items():
        expected = rows_of(on_cells(features[layer], layer, grid(features)))
        torch.testing.assert_close(own, expected)


def test_squared_distances_are_twice_the_weighted_neighbor_losses(
    photo: Tensor, weights: Weights
) -> None:
    one, other = (features_of(x, weights, FINE) for x in (photo, photo.flip(3)))
    variances = {layer: variance(rows_of(one[layer])) for layer in FINE}
    columns = [hypercolumns(features, FINE, variances) for features in (one, other)]
    size = grid(one)
    places = torch.arange(size[0] * size[1]).view(size)
    losses = [
        weight * neighbor_loss(one[layer], NeighborTarget(rows, places, cell, variances[layer]))
        for (layer, weight), cell in zip(FINE.items(), (4, 2, 1), strict=True)
        for rows in [rows_of(on_cells(other[layer], layer, size))]
    ]
    distances = (columns[0] - columns[1]).square().sum(1)
    torch.testing.assert_close(distances.mean(), 2 * torch.stack(losses).sum())


def test_convention_variance_is_over_places_averaged_over_channels() -> None:
    rows = torch.tensor([[1.0, 2.0], [3.0, 2.0], [1.0, 8.0], [3.0, 8.0]])
    assert variance(rows).item() == (1 + 9) / 2
    assert variance(torch.full((5, 3), 0.7)).item() == pytest.approx(0.01)


def test_short_floats_become_whole_hypercolumns() -> None:
    """Also where no layer has to be averaged."""
    features = {"relu3_1": random(1, 256, 4, 4).bfloat16()}
    columns = hypercolumns(features, {"relu3_1": 1.0}, {"relu3_1": torch.tensor(1.0)})
    assert columns.dtype == torch.float32


def test_main_directions_are_orthonormal_and_follow_the_seed() -> None:
    sides = random(50, 20), random(30, 20, seed=1)
    found, same, other = (main_directions(*sides, count=7, seed=seed) for seed in (3, 3, 4))
    assert found.shape == (20, 7)
    torch.testing.assert_close(found.mT @ found, torch.eye(7).double())
    assert found.equal(same)
    assert not found.equal(other)


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_main_directions_span_a_matrix_of_their_rank(rank: int) -> None:
    """Wherever its rows are: half of them on each side."""
    rows = random(60, rank) @ random(rank, 20, seed=1)
    basis = main_directions(rows[:30], rows[30:], count=5, seed=0)
    torch.testing.assert_close(rows @ basis @ basis.mT, rows)


def test_main_directions_are_the_largest() -> None:
    """Almost as much of the rows is left as of the exact ones."""
    rows = random(500, 40) * torch.logspace(0, -2, 40, dtype=torch.float64)
    basis = main_directions(rows, count=10, seed=0)
    exact = torch.linalg.svd(rows, full_matrices=False).Vh[:10]
    kept, best = ((rows @ x).square().sum() for x in (basis, exact.mT))
    assert 0.99 * best < kept <= best * (1 + 1e-12)


@pytest.mark.parametrize("rows", [1, 3])
def test_there_are_no_more_directions_than_rows_or_channels(rows: int) -> None:
    assert main_directions(random(rows, 20), count=9, seed=0).shape == (20, rows)
    assert main_directions(random(30, rows), count=9, seed=0).shape == (rows, rows)


def test_in_the_main_directions_nearly_the_same_is_found(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    """Measured with 64 directions: in 0.84 of the places the same, cosines 0.0011 lower."""
    one, other = (features_of(x, weights, LAYERS) for x in (photo, painting))
    variances = {layer: variance(rows_of(own)) for layer, own in other.items()}
    queries, keys = (hypercolumns(x, LAYERS, variances) for x in (one, other))
    keys = keys - keys.mean(0)
    mean = queries.mean(0)
    basis = main_directions(keys, queries - mean, count=64, seed=0)
    exact = nearest(queries, keys, mean)
    found = nearest(queries @ basis, keys @ basis, mean @ basis)
    assert (found.places == exact.places).float().mean() > 0.8
    similar = torch.cosine_similarity(queries - mean, keys[found.places])
    assert (exact.similarity - similar).mean() < 0.003


def test_each_style_gets_its_share_where_it_suits_best() -> None:
    similarity = torch.rand(2, 400, generator=torch.Generator().manual_seed(0))
    regions = torch.tensor([0.75, 0.25])[:, None].expand(-1, 400)
    found = owners(similarity, regions)
    assert (found == 1).float().mean().item() == pytest.approx(0.25, abs=0.02)
    better = similarity[1] - similarity[0]
    assert better[found == 1].min() >= better[found == 0].max()


def test_a_style_that_suits_everywhere_less_still_gets_its_share() -> None:
    similarity = torch.rand(3, 300, generator=torch.Generator().manual_seed(0))
    similarity[2] -= 0.9
    found = owners(similarity, torch.full((3, 300), 1 / 3))
    assert torch.bincount(found).tolist() == pytest.approx([100, 100, 100], abs=6)


def test_a_style_never_goes_where_its_region_is_0() -> None:
    similarity = torch.rand(2, 100, generator=torch.Generator().manual_seed(0))
    similarity[0] += 5
    regions = torch.zeros(2, 100)
    regions[0, :30] = 1
    regions[1, 20:70] = 0.2
    found = owners(similarity, regions)
    assert (found[:20] == 0).all()
    assert (found[30:70] == 1).all()
    assert found.shape == (100,)


def test_the_only_style_gets_everything() -> None:
    assert owners(torch.zeros(1, 9), torch.ones(1, 9)).tolist() == [0] * 9
    assert owners(torch.zeros(2, 3), torch.zeros(2, 3)).shape == (3,), "nowhere wanted"
