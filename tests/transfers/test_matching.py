from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from styleforge.core.layers import stride
from styleforge.core.settings import validate
from styleforge.images.geometry import resize
from styleforge.losses.neighbors import nearest, rows_of, variance
from styleforge.losses.objective import NeighborTarget
from styleforge.losses.tiles import Tiling
from styleforge.presets.transfer import Preset
from styleforge.transfers.loss_network import loss_network
from styleforge.transfers.matching import SAMPLES, StyleNeighbors, Targets, _drawn
from styleforge.transfers.styles import StyleImage
from styleforge.vgg.weights import Weights
from tests.conftest import mostly_slow

LAYERS = ("relu1_2", "relu2_1", "pool2")
RED, BLUE = (0.9, 0.1, 0.1), (0.1, 0.1, 0.9)


def preset(**settings: Any) -> Preset:
    layers = {layer.replace("relu", "conv"): 0.25 for layer in LAYERS}
    neighbors = {"weight": 1.0, "layers": layers, **settings.pop("neighbors", {})}
    return validate(Preset, {"neighbors": neighbors, **settings}, "test")


def neighbors_in(
    styles: Sequence[StyleImage], weights: Weights, tiling: Tiling | None = None, **settings: Any
) -> StyleNeighbors:
    wanted = preset(**settings)
    return StyleNeighbors(loss_network(weights, wanted), wanted, styles, lambda _: tiling)


def unturned(styles: Sequence[StyleImage], weights: Weights, **settings: Any) -> StyleNeighbors:
    return neighbors_in(styles, weights, neighbors={"rotations": False}, **settings)


@torch.no_grad()
def features_of(image: Tensor, weights: Weights) -> dict[str, Tensor]:
    found: dict[str, Tensor] = loss_network(weights, preset())(image)
    return found


def everywhere(image: Tensor, style: int = 0) -> Tensor:
    return torch.full((image.shape[2] // 4, image.shape[3] // 4), style)


def textured(color: Sequence[float], *, seed: int = 0, size: tuple[int, int] = (64, 64)) -> Tensor:
    """Coarse grain of one color, (1, 3, H, W)."""
    generator = torch.Generator().manual_seed(seed)
    grain = torch.rand(1, 1, size[0] // 4, size[1] // 4, generator=generator)
    enlarged = torch.nn.functional.interpolate(grain, size)
    return torch.tensor(color).view(1, 3, 1, 1) * (0.4 + 0.6 * enlarged)


def halves(width: int = 64, height: int = 64) -> Tensor:
    """White on the left, black on the right, (1, 1, H, W)."""
    return (torch.arange(width) < width // 2).float().expand(1, 1, height, -1)


def two_halves() -> Tensor:
    """Red on the left, blue on the right, (1, 3, 64, 64)."""
    return torch.lerp(textured(BLUE), textured(RED), halves())


def test_a_painting_that_is_the_photo_is_found_where_it_is(photo: Tensor, weights: Weights) -> None:
    targets, sources = unturned([StyleImage(photo)], weights).of_hypercolumns(photo, photo)
    y = (torch.arange(10) + 0.5) / 10
    x = (torch.arange(16) + 0.5) / 16
    assert sources.style.equal(torch.zeros(10, 16).long())
    assert sources.turns.equal(torch.zeros(10, 16))
    torch.testing.assert_close(sources.y, y[:, None].expand(10, 16))
    torch.testing.assert_close(sources.x, x.expand(10, 16))
    assert list(targets) == list(LAYERS)


def test_cells_are_kept_for_pictures_of_one_size(photo: Tensor, weights: Weights) -> None:
    pictures = (photo, photo.flip(3))
    style = unturned([StyleImage(photo)], weights)
    expected = [style.of_hypercolumns(picture, picture)[0] for picture in pictures]
    assert not style._known_cells
    keeping = replace(style, keeps_cells=True)
    for picture, targets in zip(pictures, expected, strict=True):
        for layer, target in keeping.of_hypercolumns(picture, picture)[0].items():
            torch.testing.assert_close(target.features, targets[layer].features, rtol=0, atol=0)
    assert list(keeping._known_cells) == [64]


@pytest.mark.slow
def test_the_photos_own_features_are_the_target_of_each_layer(
    photo: Tensor, weights: Weights
) -> None:
    """Of up to 4096 places nothing is left out, so that it is exact."""
    targets = unturned([StyleImage(photo)], weights).of_layers(photo, photo, everywhere(photo))
    features = features_of(photo, weights)
    for layer, target in targets.items():
        torch.testing.assert_close(target.features, features[layer])
        assert target.cell == 1
        torch.testing.assert_close(target.variance, variance(rows_of(features[layer])))


@pytest.mark.parametrize("turns", mostly_slow([1, 2, 3]))
def test_a_turned_painting_is_turned_back(turns: int, photo: Tensor, weights: Weights) -> None:
    painting = torch.rot90(photo[..., :40, :], -turns, (2, 3))
    photo = photo[..., :40, :]
    style = neighbors_in([StyleImage(painting)], weights)
    targets, sources = style.of_hypercolumns(photo, photo)
    assert sources.turns.equal(torch.full((10, 16), float(turns)))
    places = torch.meshgrid(
        (torch.arange(10) + 0.5) / 10, (torch.arange(16) + 0.5) / 16, indexing="ij"
    )
    height, width = painting.shape[2] // 4, painting.shape[3] // 4
    row, column = (sources.y * height).long(), (sources.x * width).long()
    for k, place in enumerate(places):
        turned = torch.rot90(place, -turns, (0, 1))
        torch.testing.assert_close(turned[row, column], place, msg=f"axis {k}")
    same, _ = unturned([StyleImage(photo)], weights).of_hypercolumns(photo, photo)
    for layer, target in targets.items():
        torch.testing.assert_close(target.features, same[layer].features, rtol=1e-3, atol=1e-3)


def test_without_rotations_a_turned_painting_is_not(photo: Tensor, weights: Weights) -> None:
    painting = torch.rot90(photo, 1, (2, 3))
    _, sources = unturned([StyleImage(painting)], weights).of_hypercolumns(photo, photo)
    assert sources.turns.eq(0).all()


def test_cells_of_hypercolumns_fit_the_layers(photo: Tensor, weights: Weights) -> None:
    targets, _ = neighbors_in([StyleImage(photo)], weights).of_hypercolumns(photo, photo)
    for layer, target in targets.items():
        assert target.cell == max(1, 4 // stride(layer))
        step = target.cell * stride(layer)
        assert target.places.shape == (photo.shape[2] // step, photo.shape[3] // step)


@pytest.mark.slow
@torch.no_grad()
def test_each_layer_finds_its_most_similar_place(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    """By brute force, over all places of the painting."""
    targets = unturned([StyleImage(painting)], weights).of_layers(photo, photo, everywhere(photo))
    one, other = features_of(photo, weights), features_of(painting, weights)
    for layer, target in targets.items():
        queries, rows = rows_of(one[layer]), rows_of(other[layer])
        places = nearest(queries, rows - rows.mean(0), queries.mean(0)).places
        same = (rows_of(target.features) - rows[places]).abs().amax(1) < 1e-4
        assert same.float().mean() > 0.99, "but for ties"


@pytest.mark.slow
def test_only_what_is_white_in_a_style_mask_is_taken_together(
    photo: Tensor, weights: Weights
) -> None:
    style = neighbors_in([StyleImage(two_halves(), mask=halves())], weights)
    _, sources = style.of_hypercolumns(photo, photo)
    assert sources.x.max() < 0.5
    opposite = neighbors_in([StyleImage(two_halves(), mask=1 - halves())], weights)
    assert opposite.of_hypercolumns(photo, photo)[1].x.min() > 0.5


@pytest.mark.slow
def test_only_what_is_white_in_a_style_mask_is_taken_layer_by_layer(
    photo: Tensor, weights: Weights
) -> None:
    image = two_halves()
    style = unturned([StyleImage(image, mask=halves())], weights)
    found = style.of_layers(photo, photo, everywhere(photo))
    features = features_of(image, weights)
    for layer in LAYERS:
        white = features[layer][..., : features[layer].shape[3] // 2]
        assert len(found[layer].rows) == min(SAMPLES, white.shape[2:].numel())
        assert_taken_from(white, found[layer].rows.mT[None, ..., None])


@torch.no_grad()
@pytest.mark.parametrize("rotations", mostly_slow([False, True]))
def test_what_is_nearly_black_in_a_style_mask_is_not_taken_from(
    rotations: bool, photo: Tensor, weights: Weights
) -> None:
    """As the edges of soft masks are, and what resizing a sharp one leaves around it."""
    mask = halves().clamp(min=0.01)
    image, neighbors = two_halves(), {"rotations": rotations}
    soft, hard = (
        neighbors_in([StyleImage(image, mask=x)], weights, neighbors=neighbors)
        for x in (mask, halves())
    )
    for layer, target in soft.of_layers(photo, photo, everywhere(photo)).items():
        expected = hard.of_layers(photo, photo, everywhere(photo))[layer]
        assert len(target.rows) == len(expected.rows)
        assert target.rows[:, 0].sort().values.equal(expected.rows[:, 0].sort().values)
    assert soft.of_hypercolumns(photo, photo)[1].x.max() < 0.5


def test_a_soft_style_mask_is_taken_from_more_where_it_is_light() -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, -1)
    columns = _drawn(
        torch.zeros(1, 3, 64, 64), "relu1_2", ramp, 1000, torch.Generator().manual_seed(0)
    )[:, 1]
    counts = columns.div(16, rounding_mode="floor").bincount(minlength=4)
    assert counts[0] < counts[1] < counts[2] < counts[3]
    assert counts[0].item() == pytest.approx(1000 / 16, abs=25)


def test_samples_are_places_each_once() -> None:
    generator = torch.Generator().manual_seed(0)
    for mask in (None, torch.ones(1, 1, 48, 40)):
        places = _drawn(torch.zeros(1, 3, 48, 40), "relu2_2", mask, 300, generator)
        assert len({(y, x) for y, x in places.tolist()}) == len(places) == 300
        assert (places.amin(0) >= 0).all()
        assert (places < torch.tensor([24, 20])).all()


@pytest.mark.slow
def test_samples_of_a_masked_painting_of_more_than_2_to_the_24_pixels() -> None:
    """More than torch.multinomial can draw from."""
    image, mask = torch.zeros(1, 3, 1, 1).expand(1, 3, 4100, 4100), torch.ones(1, 1, 4, 4)
    places = _drawn(image, "relu1_2", mask, 10, torch.Generator().manual_seed(0))
    assert places.shape == (10, 2)


@pytest.mark.slow
def test_a_style_mask_of_a_few_pixels(photo: Tensor, weights: Weights) -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 63, 63] = 1
    style = neighbors_in([StyleImage(textured(RED), mask=mask)], weights)
    targets, sources = style.of_hypercolumns(photo, photo)
    assert sources.x.min() == sources.y.min() == 15.5 / 16
    for found in (targets, style.of_layers(photo, photo, sources.style)):
        for target in found.values():
            assert target.features.isfinite().all()


@pytest.mark.slow
def test_each_style_is_found_where_its_mask_is_white(photo: Tensor, weights: Weights) -> None:
    styles = [StyleImage(textured(RED)), StyleImage(textured(BLUE, seed=1))]
    style = unturned(styles, weights)
    left = halves(64, 43)
    _, sources = style.of_hypercolumns(photo, photo, [left, 1 - left])
    assert sources.style.equal(1 - (torch.arange(16) < 8).long().expand(10, 16))
    found = style.of_layers(photo, photo, sources.style)
    for layer in ("relu2_1", "pool2"):
        middle = found[layer].places.shape[1] // 2
        parts = found[layer].features.tensor_split([middle], dim=3)
        for part, own in zip(parts, styles, strict=True):
            assert_taken_from(features_of(own.image, weights)[layer], part)


def assert_taken_from(source: Tensor, features: Tensor) -> None:
    """Every position's features are somewhere in the source."""
    distances = torch.cdist(rows_of(features).double(), rows_of(source).double())
    assert distances.amin(1).max() < 1e-4


@pytest.mark.slow
def test_without_masks_styles_share_the_picture_by_weight(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    styles = [StyleImage(painting, 3.0), StyleImage(painting.flip(1), 1.0)]
    _, sources = neighbors_in(styles, weights).of_hypercolumns(photo, photo)
    assert sources.style.eq(0).float().mean().item() == pytest.approx(0.75, abs=0.05)


@pytest.mark.slow
def test_a_part_of_the_photo_that_is_nobodys_is_no_obstacle(
    photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    left = halves(64, 43) * (torch.arange(64) < 16)
    styles = [StyleImage(painting), StyleImage(painting.flip(1))]
    style = neighbors_in(styles, weights)
    targets, sources = style.of_hypercolumns(photo, photo, [left, left.flip(3)])
    assert sources.style[:, :4].eq(0).all()
    assert sources.style[:, 12:].eq(1).all()
    assert all(target.features.isfinite().all() for target in targets.values())


def same(one: Targets, other: Targets) -> bool:
    return all(
        a.places.equal(b.places) and a.rows.equal(b.rows)
        for a, b in zip(one.values(), other.values(), strict=True)
    )


@pytest.mark.slow
def test_samples_follow_the_seed(photo: Tensor, painting: Tensor, weights: Weights) -> None:
    torch.manual_seed(0)
    found, again, other = (
        neighbors_in([StyleImage(painting)], weights, seed=seed).of_layers(
            photo, photo, everywhere(photo)
        )
        for seed in (3, 3, 4)
    )
    assert same(found, again)
    assert not same(found, other)


@pytest.mark.slow
@pytest.mark.parametrize(("colors", "kept"), [("style", True), ("content", False)])
def test_samples_are_kept_unless_they_are_in_the_photos_colors(
    colors: str, kept: bool, photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    style = neighbors_in([StyleImage(painting)], weights, colors=colors)
    first, second = (style.of_layers(photo, x, everywhere(photo)) for x in (photo, photo.flip(1)))
    assert first["relu1_2"].rows.equal(second["relu1_2"].rows) == kept


@pytest.mark.parametrize("masked", mostly_slow([True, False]))
def test_layers_in_tiles_find_the_same(
    masked: bool, photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    """The same features, but the samples are in another order."""
    left = halves(*painting.shape[:1:-1]) if masked else None
    styles = [StyleImage(painting, mask=left), StyleImage(painting.flip(1))]
    owner = halves(16, 10)[0, 0].long()
    whole, cut = (neighbors_in(styles, weights, tiling) for tiling in (None, Tiling.of(32, LAYERS)))
    expected = whole.of_layers(photo, photo, owner)
    for layer, target in cut.of_layers(photo, photo, owner).items():
        torch.testing.assert_close(target.variance, expected[layer].variance)
        difference = (target.features - expected[layer].features).abs().amax(1)
        assert (difference > 1e-4).float().mean() < 0.01, "but for ties"


@pytest.mark.parametrize("layers", [{"conv4_1": 1}, {"conv5_1": 1, "pool5": 1}, {"conv3_1": 1}])
@pytest.mark.parametrize("size", mostly_slow([(47, 61), (36, 44)]), ids=str)
def test_any_layers_do(
    layers: dict[str, float], size: tuple[int, int], photo: Tensor, weights: Weights
) -> None:
    """Also where all of them are coarser than the cells, and the image no multiple of theirs."""
    picture = resize(photo, size[::-1])
    neighbors = {"layers": layers, "rotations": False}
    style = neighbors_in([StyleImage(picture)], weights, neighbors=neighbors)
    together, sources = style.of_hypercolumns(picture, picture)
    alone = style.of_layers(picture, picture, sources.style)
    assert sources.x[0].diff().min() >= 0
    with torch.no_grad():
        features = style.network(picture)
    for targets in (together, alone):
        for layer, target in targets.items():
            assert target.features.shape == features[layer].shape


@pytest.mark.slow
@settings(max_examples=3)
@given(
    sides=st.tuples(*[st.integers(32, 64)] * 4),
    mask=st.sampled_from(["none", "style", "photo"]),
)
def test_odd_sizes_are_finite(sides: tuple[int, ...], mask: str, weights: Weights) -> None:
    photo = textured(BLUE, size=(64, 64))[..., : sides[0], : sides[1]]
    painting = textured(RED, seed=1)[..., : sides[2], : sides[3]]
    own = halves(sides[3], sides[2]) if mask == "style" else None
    style = neighbors_in([StyleImage(painting, mask=own)], weights)
    masks = [halves(sides[1], sides[0])] if mask == "photo" else []
    targets, sources = style.of_hypercolumns(photo, photo, masks)
    assert_fits(targets, photo)
    assert_fits(style.of_layers(photo, photo, sources.style), photo)
    for share in (sources.y, sources.x):
        assert share.min() > 0
        assert share.max() < 1


def assert_fits(targets: Targets, photo: Tensor) -> None:
    for layer, target in targets.items():
        step = stride(layer) * target.cell
        assert target.features.shape[2:] == (photo.shape[2] // step, photo.shape[3] // step)
        assert target.features.isfinite().all()
        assert target.variance > 0


@pytest.mark.parametrize("even", mostly_slow(["both", "photo", "painting"]))
def test_even_colors_are_finite(
    even: str, photo: Tensor, painting: Tensor, weights: Weights
) -> None:
    flat = torch.full((1, 3, 40, 40), 0.3)
    content = photo if even == "painting" else flat
    style = neighbors_in([StyleImage(painting if even == "photo" else flat)], weights)
    targets, sources = style.of_hypercolumns(content, content)
    assert_fits(targets, content)
    assert_fits(style.of_layers(content, content, sources.style), content)


def test_a_target_is_the_rows_at_its_places() -> None:
    rows = torch.arange(6.0).view(3, 2)
    target = NeighborTarget(rows, torch.tensor([[2, 0]]), 1, torch.tensor(1.0))
    assert target.features.equal(torch.tensor([[[[4.0, 0.0]], [[5.0, 1.0]]]]))
