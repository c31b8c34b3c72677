from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from styleforge.networks.transformer import TransformerNetwork, one_style, style_parameters
from styleforge.presets.networks import TransformerSettings
from styleforge.training.start import start_as_nearest

SETTINGS = TransformerSettings(width=2, blocks=1, kernel=3)


def network_of(styles: int) -> TransformerNetwork:
    torch.manual_seed(0)
    network = TransformerNetwork(SETTINGS, styles)
    with torch.no_grad():
        for parameter in style_parameters(network):
            parameter.normal_()
    return network


@pytest.mark.parametrize("wanted", [(2,), (0, 2)])
def test_each_new_style_begins_as_the_known_one_of_least_loss(wanted: tuple[int, ...]) -> None:
    known, network = network_of(3), network_of(1 + len(wanted))
    photos = torch.rand(2, 3, 16, 20)
    mine = [known(photos, one_style(k, 3).expand(2, -1)).detach() for k in wanted]

    def losses(pastiches: Tensor, _photos: Tensor, styles: Sequence[int]) -> Tensor:
        """New style 1 + k wants what the known style wanted[k] makes."""
        return torch.stack([(pastiches - mine[k - 1]).square().mean() + 0.1 for k in styles])

    before = [parameter[0].clone() for parameter in style_parameters(network)]
    start_as_nearest(network, 1, known, losses, photos)
    for old, new, first in zip(
        style_parameters(known), style_parameters(network), before, strict=True
    ):
        assert new[1:].equal(old[list(wanted)])
        assert new[0].equal(first), "what is not trained stays"
