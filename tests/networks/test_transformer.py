from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styleforge.networks.instance_norm import InstanceNorm
from styleforge.networks.transformer import (
    MIN_SIDE,
    TransformerNetwork,
    one_style,
    style_parameters,
)
from styleforge.presets.networks import TransformerSettings

STYLES = 3
SMALL = TransformerSettings(width=3, blocks=2)


class Reference(nn.Module):
    """Johnson's network layer by layer, with torch's own instance normalisation, for one style."""

    def __init__(self, network: TransformerNetwork, style: int) -> None:
        super().__init__()
        self.network = network
        self.style = style

    def forward(self, x: Tensor) -> Tensor:
        network = self.network
        for block in network.encoder:
            x = F.relu(self.normalized(block, x))
        for block in network.blocks:
            x = x + self.normalized(block.second, F.relu(self.normalized(block.first, x)))
        for block in network.decoder:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
            x = F.relu(self.normalized(block, x))
        x = self.convolved(network.output, x, stride=1)
        return x.sigmoid() if network.settings.output == "sigmoid" else x.clamp(0, 1)

    def normalized(self, block: nn.Module, x: Tensor) -> Tensor:
        x = self.convolved(block.convolution, x, stride=block.stride)
        norm = nn.InstanceNorm2d(x.shape[1], affine=True)
        norm.weight = nn.Parameter(block.normalization.scale[self.style])
        norm.bias = nn.Parameter(block.normalization.shift[self.style])
        result: Tensor = norm(x)
        return result

    def convolved(self, convolution: nn.Conv2d, x: Tensor, *, stride: int) -> Tensor:
        padded = nn.ReflectionPad2d(convolution.weight.shape[-1] // 2)(x)
        return F.conv2d(padded, convolution.weight, convolution.bias, stride=stride)


def network(settings: TransformerSettings = SMALL, *, styles: int = STYLES) -> TransformerNetwork:
    """Random weights, and styles that differ."""
    torch.manual_seed(0)
    result = TransformerNetwork(settings, styles)
    with torch.no_grad():
        for parameter in style_parameters(result):
            parameter.add_(0.3 * torch.randn_like(parameter))
    return result


def image(height: int, width: int, *, batch: int = 1) -> Tensor:
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("output", ["sigmoid", "clamp"])
@pytest.mark.parametrize("kernel", [3, 9])
@pytest.mark.parametrize("style", [0, 2])
def test_it_is_the_network_of_the_paper(style: int, kernel: int, output: str) -> None:
    settings = TransformerSettings(width=3, blocks=2, kernel=kernel, output=output)
    ours, x = network(settings), image(24, 32)
    with torch.no_grad():
        torch.testing.assert_close(ours(x, one_style(style, STYLES)), Reference(ours, style)(x))


def test_gradients_are_those_of_the_reference() -> None:
    ours, x = network(styles=1), image(16, 20)
    shared = [p for name, p in ours.named_parameters() if "normalization" not in name]
    weights = torch.randn(x.shape, generator=torch.Generator().manual_seed(2))
    found = torch.autograd.grad((ours(x, one_style(0, 1)) * weights).sum(), shared)
    expected = torch.autograd.grad((Reference(ours, 0)(x) * weights).sum(), shared)
    for mine, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-3, atol=1e-4)


def test_every_parameter_of_a_style_is_learned_from_its_images_alone() -> None:
    ours = network()
    ours(image(16, 16), one_style(1, STYLES)).sum().backward()
    for parameter in style_parameters(ours):
        assert parameter.grad is not None
        assert parameter.grad[1].any()
        assert not parameter.grad[[0, 2]].any()


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (33, 18), (19, 50), (35, 29)], ids=str)
def test_every_size_gives_exactly_that_size(size: tuple[int, int]) -> None:
    with torch.no_grad():
        assert network()(image(*size), one_style(0, STYLES)).shape == (1, 3, *size)


def test_an_odd_size_is_a_part_of_what_the_strides_round_up_to() -> None:
    ours, x = network(), image(21, 18)
    with torch.no_grad():
        whole = Reference(ours, 1)(x)
        assert whole.shape[2:] == (24, 20)
        torch.testing.assert_close(ours(x, one_style(1, STYLES)), whole[..., :21, :18])


def test_a_batch_of_different_styles_equals_one_image_at_a_time() -> None:
    ours, x, styles = network(), image(20, 24, batch=3), [2, 0, 1]
    with torch.no_grad():
        together = ours(x, torch.eye(STYLES)[styles])
        apart = [ours(x[[i]], one_style(style, STYLES)) for i, style in enumerate(styles)]
    torch.testing.assert_close(together, torch.cat(apart))


def test_a_mixture_is_the_network_with_the_mean_scales_and_shifts() -> None:
    ours, mean, x = network(), network(), image(20, 24)
    with torch.no_grad():
        for parameter in style_parameters(mean):
            parameter.copy_(parameter[:2].mean(0).expand_as(parameter))
        mixed = ours(x, torch.tensor([[0.5, 0.5, 0.0]]))
        torch.testing.assert_close(mixed, mean(x, one_style(0, STYLES)))
        assert not mixed.allclose(ours(x, one_style(0, STYLES)), atol=1e-3)


def test_the_image_is_left_as_it_was() -> None:
    x = image(16, 16)
    before = x.clone()
    with torch.no_grad():
        network()(x, one_style(0, STYLES))
    assert x.equal(before)


def test_no_transposed_convolution_leaves_checkerboards() -> None:
    assert not any(isinstance(module, nn.ConvTranspose2d) for module in network().modules())


def test_a_flat_photo_stays_flat() -> None:
    """Neither padding nor upsampling leaves a frame or a grid."""
    with torch.no_grad():
        found = network()(torch.full((1, 3, 33, 40), 0.6), one_style(0, STYLES))
    torch.testing.assert_close(found, found[..., :1, :1].expand_as(found), rtol=0, atol=1e-3)


def test_it_has_as_many_layers_and_filters_as_its_settings_say() -> None:
    shapes = {
        name: tuple(x.shape)
        for name, x in TransformerNetwork(TransformerSettings(width=2, blocks=1, kernel=5), 4)
        .state_dict()
        .items()
        if name.endswith(("convolution.weight", "output.weight", "scale"))
    }
    assert shapes == {
        "encoder.0.convolution.weight": (2, 3, 5, 5),
        "encoder.0.normalization.scale": (4, 2),
        "encoder.1.convolution.weight": (4, 2, 3, 3),
        "encoder.1.normalization.scale": (4, 4),
        "encoder.2.convolution.weight": (8, 4, 3, 3),
        "encoder.2.normalization.scale": (4, 8),
        "blocks.0.first.convolution.weight": (8, 8, 3, 3),
        "blocks.0.first.normalization.scale": (4, 8),
        "blocks.0.second.convolution.weight": (8, 8, 3, 3),
        "blocks.0.second.normalization.scale": (4, 8),
        "decoder.0.convolution.weight": (4, 8, 3, 3),
        "decoder.0.normalization.scale": (4, 4),
        "decoder.1.convolution.weight": (2, 4, 3, 3),
        "decoder.1.normalization.scale": (4, 2),
        "output.weight": (3, 2, 5, 5),
    }


def test_without_blocks_it_still_works() -> None:
    with torch.no_grad():
        found = network(TransformerSettings(width=2, blocks=0))(image(16, 16), one_style(0, STYLES))
    assert found.shape == (1, 3, 16, 16)


def test_the_least_side_is_enough_for_reflection() -> None:
    with torch.no_grad():
        found = network()(image(MIN_SIDE, MIN_SIDE), one_style(0, STYLES))
    assert found.isfinite().all()


def test_a_styles_parameters_are_all_scales_and_shifts() -> None:
    ours = network()
    norms = [module for module in ours.modules() if isinstance(module, InstanceNorm)]
    parameters = style_parameters(ours)
    assert len(norms) == 3 + 2 * SMALL.blocks + 2
    assert len(parameters) == 2 * len(norms)
    assert {len(parameter) for parameter in parameters} == {STYLES}


def test_one_style_is_one_hot() -> None:
    assert one_style(1, 3).tolist() == [[0.0, 1.0, 0.0]]
