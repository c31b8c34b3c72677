from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from styleforge.networks.transformer import TransformerNetwork, one_style, style_parameters
from styleforge.presets.networks import TransformerSettings
from styleforge.training.palette import set_palette

SETTINGS: dict[str, Any] = {"width": 4, "blocks": 1, "kernel": 3}


def network_of(**settings: Any) -> TransformerNetwork:
    torch.manual_seed(0)
    return TransformerNetwork(TransformerSettings(**SETTINGS, **settings), styles=2)


def photos(count: int) -> Tensor:
    return torch.rand(count, 3, 40, 48, generator=torch.Generator().manual_seed(1))


def moments(images: Tensor) -> Tensor:
    return torch.stack([images.mean((0, 2, 3)), images.std((0, 2, 3))])


@pytest.mark.parametrize("output", ["sigmoid", "clamp"])
def test_pictures_have_the_paintings_mean_and_deviation(output: str, painting: Tensor) -> None:
    network = network_of(normalized_output=True, output=output)
    pale = 0.4 + 0.2 * painting
    set_palette(network, 1, pale, photos(4), share=1)
    with torch.no_grad():
        made = network(photos(4), one_style(1, 2).expand(4, -1))
    torch.testing.assert_close(moments(made), moments(pale), atol=0.01, rtol=0)


def test_half_of_the_way_is_between(painting: Tensor) -> None:
    before, half, whole = (network_of(normalized_output=True) for _ in range(3))
    pale = 0.4 + 0.2 * painting
    set_palette(half, 0, pale, photos(2))
    set_palette(whole, 0, pale, photos(2), share=1)
    (scale, shift), (own, moved), (most, last) = (
        [x[0] for x in style_parameters(network)[-2:]] for network in (before, half, whole)
    )
    torch.testing.assert_close(own, (scale * most).sqrt())
    torch.testing.assert_close(moved, (shift + last) / 2)


def test_other_styles_stay_as_they_are(painting: Tensor) -> None:
    network, other = network_of(normalized_output=True), network_of(normalized_output=True)
    set_palette(network, 1, painting, photos(1))
    for own, before in zip(style_parameters(network), style_parameters(other), strict=True):
        assert own[0].equal(before[0])
    assert not style_parameters(network)[-1][1].equal(style_parameters(other)[-1][1])


def test_without_a_normalisation_at_the_end_nothing_changes(painting: Tensor) -> None:
    network, other = network_of(), network_of()
    set_palette(network, 0, painting, photos(1))
    for own, before in zip(network.parameters(), other.parameters(), strict=True):
        assert own.equal(before)


def test_even_photos_and_paintings_leave_finite_numbers(painting: Tensor) -> None:
    even = torch.full((1, 3, 32, 32), 0.5)
    for wanted, seen in ((painting, even), (even, photos(1)), (even, even)):
        network = network_of(normalized_output=True)
        set_palette(network, 0, wanted, seen)
        assert all(x.isfinite().all() for x in network.parameters())
