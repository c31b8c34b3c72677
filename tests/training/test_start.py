from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.losses.objective import Loss
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


ONE = torch.ones(2, 1)


def mixtures(styles: int) -> list[Tensor]:
    """Each style for two photos."""
    return [one_style(k, styles).expand(2, -1) for k in range(styles)]


def known_by_one(network: TransformerNetwork) -> dict[str, Tensor]:
    """Its weights for a network of one style."""
    own = {id(parameter) for parameter in style_parameters(network)}
    return {name: x[:1] if id(x) in own else x for name, x in network.named_parameters()}


@pytest.mark.parametrize("wanted", [(2,), (0, 2)])
def test_each_new_style_begins_as_the_known_one_of_least_loss(wanted: tuple[int, ...]) -> None:
    known, network = network_of(3), network_of(1 + len(wanted))
    photos = torch.rand(2, 3, 16, 20)
    mine = [known(photos, one_style(k, 3).expand(2, -1)).detach() for k in wanted]

    def loss(pastiches: Tensor, _photos: Tensor, styles: Tensor) -> Loss:
        """New style 1 + k wants what the known style wanted[k] makes."""
        (style,) = styles.unique().tolist()
        total = (pastiches - mine[style - 1]).square().mean() + 0.1
        return Loss(total, total, total, total)

    before = [parameter[0].clone() for parameter in style_parameters(network)]
    start_as_nearest(network, 1, known, loss, photos)
    for old, new, first in zip(
        style_parameters(known), style_parameters(network), before, strict=True
    ):
        assert new[1:].equal(old[list(wanted)])
        assert new[0].equal(first), "what is not trained stays"


def test_the_nearest_is_found_over_the_underpainting(painting: Tensor) -> None:
    known, photos = network_of(3), torch.rand(2, 3, 32, 40)
    network = TransformerNetwork(SETTINGS.model_copy(update={"underpainting": True}), 1)
    network.load_state_dict(known_by_one(known), strict=False)
    assert network.underpainting is not None
    network.underpainting.learn(0, painting)
    own = [network.underpainting(known(photos, k), photos, ONE) for k in mixtures(3)]
    wanted = own[1].detach()

    def loss(pastiches: Tensor, _photos: Tensor, _styles: Tensor) -> Loss:
        total = (pastiches - wanted).square().mean()
        return Loss(total, total, total, total)

    start_as_nearest(network, 0, known, loss, photos)
    for old, new in zip(style_parameters(known), style_parameters(network), strict=True):
        assert new[0].equal(old[1])
