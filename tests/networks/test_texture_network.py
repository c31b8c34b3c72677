from __future__ import annotations

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styleforge.networks.texture_network import TextureNetwork
from styleforge.presets.networks import TextureSettings

NORMALIZATIONS = pytest.mark.parametrize("normalization", ["batch", "instance"])


def network(
    *,
    scales: int = 3,
    content: bool = False,
    normalization: Literal["instance", "batch"] = "batch",
    training: bool = False,
) -> TextureNetwork:
    """Random weights, large ones in the end, and running moments that a training could leave."""
    torch.manual_seed(0)
    settings = TextureSettings(scales=scales, width=3, content=content, normalization=normalization)
    result = TextureNetwork(settings)
    for module in result.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 1)
    with torch.no_grad():
        result.output.weight.mul_(20)
    return result.train(training)


def noise(
    ours: TextureNetwork, size: tuple[int, int], *, seed: int = 0, batch: int = 1
) -> list[Tensor]:
    return ours.noise(size, torch.Generator().manual_seed(seed), batch=batch)


def rolled(levels: list[Tensor], right: int, down: int) -> list[Tensor]:
    """Noise moved around the edges by so many pixels of the finest level."""
    return [z.roll((down >> k, right >> k), (2, 3)) for k, z in enumerate(levels)]


@pytest.mark.parametrize("size", [(16, 24), (17, 9), (13, 30), (5, 5)], ids=str)
def test_a_texture_has_exactly_the_size_of_its_noise(size: tuple[int, int]) -> None:
    ours = network()
    with torch.no_grad():
        found = ours(noise(ours, size, batch=2))
    assert found.shape == (2, 3, size[1], size[0])
    assert ((found > 0) & (found < 1)).all()


def test_noise_halves_from_scale_to_scale() -> None:
    levels = noise(network(scales=4), (13, 32), batch=2)
    assert [tuple(z.shape) for z in levels] == [
        (2, 3, 32, 13),
        (2, 3, 16, 7),
        (2, 3, 8, 4),
        (2, 3, 4, 2),
    ]
    assert all(((z >= 0) & (z < 1)).all() for z in levels)


def test_the_same_seed_makes_the_same_texture_and_another_seed_another() -> None:
    ours = network()
    with torch.no_grad():
        first, again, other = (ours(noise(ours, (16, 16), seed=seed)) for seed in (1, 1, 2))
    assert first.equal(again)
    assert (first - other).abs().mean() > 1e-3


@pytest.mark.parametrize("scales", [1, 2, 3])
def test_the_period_is_the_coarsest_pixel(scales: int) -> None:
    assert network(scales=scales).period == 2 ** (scales - 1)


@NORMALIZATIONS
@pytest.mark.parametrize("scales", [1, 3])
def test_moved_noise_moves_the_texture_around_its_edges(
    scales: int, normalization: Literal["instance", "batch"]
) -> None:
    """So no edge is different from any other place, and the texture tiles."""
    ours = network(scales=scales, normalization=normalization)
    levels = noise(ours, (6 * ours.period, 4 * ours.period))
    right, down = 2 * ours.period, 3 * ours.period
    with torch.no_grad():
        found, expected = (
            ours(rolled(levels, right, down)),
            ours(levels).roll((down, right), (2, 3)),
        )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_tiled_texture_is_the_texture_of_tiled_noise() -> None:
    ours = network()
    levels = noise(ours, (16, 12))
    with torch.no_grad():
        tile, tiled = ours(levels), ours([z.repeat(1, 1, 2, 3) for z in levels])
    torch.testing.assert_close(tiled, tile.repeat(1, 1, 2, 3), rtol=0, atol=1e-5)


def test_in_use_images_of_a_batch_do_not_see_each_other() -> None:
    ours = network()
    levels = noise(ours, (16, 16), batch=2)
    with torch.no_grad():
        together = ours(levels)
        apart = torch.cat([ours([z[[i]] for z in levels]) for i in range(2)])
    torch.testing.assert_close(together, apart)


def test_in_training_batch_normalisation_takes_the_moments_of_the_batch() -> None:
    ours = network(training=True)
    levels = noise(ours, (16, 16), batch=2)
    with torch.no_grad():
        assert not ours(levels)[:1].allclose(ours([z[:1] for z in levels]), atol=1e-3)


def test_every_parameter_is_learned() -> None:
    ours = network(content=True, normalization="instance", training=True)
    picture = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    weights = torch.linspace(-1, 1, 16)
    (ours(noise(ours, (16, 16)), picture) * weights).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in ours.parameters())
    assert all(p.grad.any() for name, p in ours.named_parameters() if name.endswith("weight"))


@NORMALIZATIONS
@pytest.mark.parametrize("size", [(16, 16), (17, 23), (31, 18)], ids=str)
def test_a_stylised_image_keeps_its_size(
    size: tuple[int, int], normalization: Literal["instance", "batch"]
) -> None:
    ours = network(content=True, normalization=normalization)
    picture = torch.rand(1, 3, size[1], size[0], generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        found = ours(noise(ours, size), picture)
        other = ours(noise(ours, size), 1 - picture)
    assert found.shape == picture.shape
    assert (found - other).abs().mean() > 1e-3


def test_each_noise_is_joined_by_the_image_at_its_size(photo: Tensor) -> None:
    ours = network(content=True)
    seen: list[Tensor] = []
    for block in ours.inputs:
        block.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    height, width = photo.shape[2:]
    levels = noise(ours, (width, height))
    with torch.no_grad():
        ours(levels, photo)
    for source, level in zip(seen, reversed(levels), strict=True):
        assert source[:, :3].equal(level)
        shrunk = F.interpolate(photo, level.shape[2:], mode="bilinear", antialias=True)
        torch.testing.assert_close(source[:, 3:], shrunk)


def test_filters_grow_with_every_scale_that_is_joined() -> None:
    ours = network(scales=3)
    assert [join.coarse.num_features for join in ours.joins] == [3, 6]
    assert [block[0].out_channels for block in ours.blocks] == [6, 9]
    assert ours.output.weight.shape == (3, 9, 1, 1)
