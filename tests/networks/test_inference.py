from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.networks.inference import PairedConvolution, PreparedNetwork, fast_moments
from styleforge.networks.instance_norm import Moments
from styleforge.networks.transformer import TransformerNetwork
from styleforge.presets.networks import TransformerSettings


def a_network(width: int, *, kernel: int = 9, styles: int = 2) -> TransformerNetwork:
    """Random weights, and scales and shifts that differ between styles."""
    torch.manual_seed(0)
    network = TransformerNetwork(TransformerSettings(width=width, blocks=1, kernel=kernel), styles)
    for name, parameter in network.named_parameters():
        if name.endswith(("scale", "shift")):
            parameter.data += 0.3 * torch.randn_like(parameter)
    return network.requires_grad_(False).eval()


def image(height: int, width: int) -> Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("kernel", [3, 9])
@pytest.mark.parametrize(("height", "width"), [(64, 48), (37, 51), (16, 16), (18, 90)])
def test_prepared_network_gives_the_same_picture(kernel: int, height: int, width: int) -> None:
    network, mixture = a_network(3, kernel=kernel), torch.tensor([[0.25, 0.75]])
    found = PreparedNetwork(network, mixture)(image(height, width))
    expected = network(image(height, width), mixture)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_it_does_so_where_convolutions_go_by_winograd() -> None:
    network, mixture = a_network(16, kernel=3), torch.tensor([[1.0, 0.0]])
    photo = image(130, 150)
    found = PreparedNetwork(network, mixture)(photo)
    torch.testing.assert_close(found, network(photo, mixture), rtol=0, atol=3e-5)


def test_the_photo_is_left_as_it_was() -> None:
    photo = image(32, 40)
    PreparedNetwork(a_network(2), torch.tensor([[1.0, 0.0]]))(photo)
    torch.testing.assert_close(photo, image(32, 40), rtol=0, atol=0)


@pytest.mark.parametrize("side", [3, 5, 9])
@pytest.mark.parametrize("biased", [True, False])
def test_a_convolution_of_pairs_is_one_of_pixels(side: int, biased: bool) -> None:
    torch.manual_seed(0)
    x, kernel, bias = torch.randn(2, 4, 20, 26), torch.randn(3, 4, side, side), torch.randn(3)
    last = x.contiguous(memory_format=torch.channels_last)
    own_bias = bias if biased else None
    found = PairedConvolution(kernel, own_bias)(last)
    torch.testing.assert_close(found, F.conv2d(x, kernel, own_bias), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("offset", [0.0, 10.0])
def test_fast_moments_equal_the_plain_ones(offset: float) -> None:
    x = torch.randn(1, 8, 40, 30, generator=torch.Generator().manual_seed(0)) + offset
    fast = fast_moments(x.contiguous(memory_format=torch.channels_last))
    for found, expected in zip(fast, Moments.of(x), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
