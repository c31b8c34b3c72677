from __future__ import annotations

import bisect
import copy
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from styleforge.core.errors import ModelError
from styleforge.networks import apply as stylize_module
from styleforge.networks.apply import in_tiles, sample_texture, stylize
from styleforge.networks.inference import PreparedNetwork
from styleforge.networks.texture_network import TextureNetwork
from styleforge.networks.transformer import TransformerNetwork, one_style, style_parameters
from styleforge.presets.networks import TextureSettings, TransformerSettings

Normalization = Literal["instance", "batch"]

PLENTY = 1 << 40
STYLES = 2
MIXTURE = torch.tensor([[0.7, 0.3]])


def transformer(
    *, kernel: int = 9, width: int = 2, underpainting: bool = False
) -> TransformerNetwork:
    """Random weights, and styles that differ."""
    torch.manual_seed(0)
    settings = TransformerSettings(
        width=width, blocks=1, kernel=kernel, underpainting=underpainting
    )
    network = TransformerNetwork(settings, STYLES)
    with torch.no_grad():
        for parameter in style_parameters(network):
            parameter.add_(0.3 * torch.randn_like(parameter))
    return network.requires_grad_(False).eval()


def texture(
    *, content: bool, scales: int = 3, normalization: Normalization = "batch"
) -> TextureNetwork:
    torch.manual_seed(0)
    settings = TextureSettings(scales=scales, width=2, content=content, normalization=normalization)
    network = TextureNetwork(settings)
    network.output.weight.data.mul_(20)
    return network.requires_grad_(False).eval()


def picture(height: int, width: int) -> Tensor:
    """Bright to the right and noisy, so that every tile has other moments."""
    noise = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))
    return 0.5 * noise + 0.5 * torch.linspace(0, 1, width)


def whole(network: TransformerNetwork, photo: Tensor) -> Tensor:
    return network(photo, MIXTURE)


def test_weights_whose_pastiche_is_not_finite() -> None:
    """Each is finite, and two of them together are not."""
    network = transformer()
    for parameter in network.parameters():
        parameter.fill_(1e30)
    with pytest.raises(ModelError) as caught:
        stylize(network, picture(20, 24), MIXTURE, memory=PLENTY)
    assert str(caught.value) == "what the network makes is not finite: its weights are damaged"


@pytest.mark.slow
@settings(max_examples=12)
@given(
    height=st.integers(16, 70),
    width=st.integers(16, 70),
    side=st.sampled_from([8, 16, 20, 32, 64]),
    kernel=st.sampled_from([3, 9]),
)
def test_tiles_equal_the_whole(height: int, width: int, side: int, kernel: int) -> None:
    network, photo = transformer(kernel=kernel), picture(height, width)
    found = in_tiles(PreparedNetwork(network, MIXTURE), photo, side=side)
    torch.testing.assert_close(found, whole(network, photo), rtol=0, atol=1e-5)


@pytest.mark.parametrize("size", [(16, 301), (257, 17)], ids=str)
def test_tiles_of_a_strip_equal_the_whole(size: tuple[int, int]) -> None:
    network, photo = transformer(), picture(*size)
    found = in_tiles(PreparedNetwork(network, MIXTURE), photo, side=32)
    torch.testing.assert_close(found, whole(network, photo), rtol=0, atol=1e-5)


def test_tiles_over_an_underpainting_equal_the_whole(photo: Tensor, painting: Tensor) -> None:
    network = transformer(underpainting=True)
    assert network.underpainting is not None
    network.underpainting.learn(1, painting)
    found = in_tiles(PreparedNetwork(network, MIXTURE), photo, side=24)
    torch.testing.assert_close(found, whole(network, photo), rtol=0, atol=1e-5)
    bare = in_tiles(PreparedNetwork(transformer(), MIXTURE), photo, side=24)
    assert not torch.allclose(found, bare, atol=0.05)


def test_tiles_of_a_real_photo_equal_the_whole(photo: Tensor) -> None:
    network = transformer(width=4)
    found = in_tiles(PreparedNetwork(network, MIXTURE), photo, side=24)
    torch.testing.assert_close(found, whole(network, photo), rtol=0, atol=1e-5)


def test_no_tile_is_larger_than_its_side_and_margins() -> None:
    prepared, sides = PreparedNetwork(transformer(), MIXTURE), []
    finish = prepared.finish

    def watched(features: Tensor) -> Tensor:
        result = finish(features)
        sides.append(max(result.shape[2:]))
        return result

    prepared.finish = watched
    in_tiles(prepared, picture(150, 110), side=32)
    assert len(sides) == 5 * 3
    assert max(sides) <= 16 + 32 + 16 + 16  # the last stretch may be joined by up to a margin


def test_what_does_not_fit_into_the_memory_goes_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    network, photo = transformer(), picture(70, 50)
    sides: list[int] = []

    def small_tiles(prepared: PreparedNetwork, photo: Tensor) -> Tensor:
        sides.append(photo.shape[2])
        return in_tiles(prepared, photo, side=32)

    monkeypatch.setattr(stylize_module, "in_tiles", small_tiles)
    expected = stylize(network, photo, MIXTURE, memory=PLENTY)
    assert sides == []
    found = stylize(network, photo, MIXTURE, memory=10_000)
    assert sides == [70]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_larger_picture_or_network_needs_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def least_memory(network: TransformerNetwork, photo: Tensor) -> int:
        """For the whole picture at once, in KiB."""
        return bisect.bisect(range(1024), False, key=lambda k: is_whole(network, photo, k << 10))

    def is_whole(network: TransformerNetwork, photo: Tensor, memory: int) -> bool:
        return bool(stylize(network, photo, MIXTURE, memory=memory).any())

    monkeypatch.setattr(stylize_module, "in_tiles", lambda _, x: torch.zeros_like(x))
    needs = least_memory(transformer(), picture(32, 32))
    assert least_memory(transformer(), picture(64, 32)) == pytest.approx(2 * needs, abs=1)
    assert least_memory(transformer(width=4), picture(32, 32)) > needs
    assert needs > 4 * 32 * 32 * 3 / 1024, "at least the picture itself"


@pytest.mark.parametrize("memory", [0, PLENTY], ids=["tiles", "whole"])
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (50, 3), (15, 16), (33, 47)], ids=str)
def test_every_size_is_kept(size: tuple[int, int], memory: int) -> None:
    found = stylize(transformer(), picture(*size), MIXTURE, memory=memory)
    assert found.shape == (1, 3, *size)
    assert found.is_contiguous()
    assert found.isfinite().all()


def test_a_picture_of_enough_pixels_is_not_padded() -> None:
    network, photo = transformer(), picture(16, 23)
    found = stylize(network, photo, MIXTURE, memory=PLENTY)
    torch.testing.assert_close(found, whole(network, photo), rtol=0, atol=1e-5)


@pytest.mark.parametrize("memory", [0, PLENTY], ids=["tiles", "whole"])
@pytest.mark.parametrize(("least", "contrast"), [(0.5, 0.1), (0.9, 0.005)])
def test_a_pale_photo_is_as_exact_as_any(least: float, contrast: float, memory: int) -> None:
    network, photo = transformer(width=4), least + contrast * picture(90, 64)
    found = stylize(network, photo, MIXTURE, memory=memory)
    expected = copy.deepcopy(network).double()(photo.double(), MIXTURE.double()).float()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_a_tiny_picture_is_continued_by_its_edges() -> None:
    network, photo = transformer(), picture(3, 50)
    continued = torch.cat([photo, photo[..., -1:, :].expand(-1, -1, 13, -1)], 2)
    found = stylize(network, photo, MIXTURE, memory=PLENTY)
    expected = whole(network, continued)[..., :3, :]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_the_mixture_chooses_the_style() -> None:
    network, photo = transformer(), picture(20, 20)
    first, second = (
        stylize(network, photo, one_style(i, STYLES), memory=PLENTY) for i in range(STYLES)
    )
    assert (first - second).abs().mean() > 1e-2


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (29, 34), (40, 40)], ids=str)
def test_a_texture_network_stylises_every_size(size: tuple[int, int]) -> None:
    network, photo = texture(content=True), picture(*size)
    found = stylize(network, photo, torch.ones(1, 1), memory=0)
    assert found.shape == photo.shape
    assert found.isfinite().all()


def test_the_seed_is_of_the_noise() -> None:
    network, photo = texture(content=True), picture(30, 30)
    first, again, other = (
        stylize(network, photo, torch.ones(1, 1), memory=PLENTY, seed=seed) for seed in (1, 1, 2)
    )
    assert first.equal(again)
    assert not first.allclose(other, atol=1e-4)


@pytest.mark.parametrize("normalization", ["instance", "batch"])
@pytest.mark.parametrize("size", [(1, 1), (4, 4), (50, 3), (33, 21)], ids=str)
def test_a_texture_of_any_size(size: tuple[int, int], normalization: Normalization) -> None:
    found = sample_texture(texture(content=False, normalization=normalization), size, seed=0)
    assert found.shape == (1, 3, size[1], size[0])
    assert found.isfinite().all()


def test_a_texture_is_the_same_for_the_same_seed() -> None:
    network = texture(content=False)
    first, again, other = (sample_texture(network, (16, 16), seed=seed) for seed in (1, 1, 2))
    assert first.equal(again)
    assert not first.allclose(other, atol=1e-4)


def test_opposite_edges_of_a_texture_fit_together() -> None:
    """The step across an edge is like that between any two neighbours."""
    network = texture(content=False, scales=4)
    found = sample_texture(network, (16 * network.period, 16 * network.period), seed=0)
    for dim in (2, 3):
        steps = (found - found.roll(1, dim)).abs().mean((0, 1, 5 - dim))
        assert steps[0] < 2 * steps.median()
