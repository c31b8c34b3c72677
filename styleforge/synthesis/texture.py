"""Texture synthesis by optimisation (Gatys, Ecker and Bethge 2015): no trained network needed.

An image of any size from white noise whose Gram matrices are the painting's. Layers are conv1_1
to conv5_1, as in the 2016 paper, instead of conv1_1 and the poolings of 2015. The image is
periodic, and read as such, so it has no frame, and repeats without a seam.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from styleforge.core.layers import rectified, stride
from styleforge.images.geometry import Size, fit_size, resize, size_of
from styleforge.images.load import MIN_SIDE
from styleforge.losses.objective import Objective, gram_matrix
from styleforge.optimize.coarse_to_fine import CoarseToFine
from styleforge.optimize.scales import Scale, plan_scales
from styleforge.synthesis.reconstruction import COARSEST, STYLE_LAYERS
from styleforge.synthesis.run import synthesis
from styleforge.vgg.calibration import normalized_weights
from styleforge.vgg.network import VGG19
from styleforge.vgg.weights import Weights

LAYERS = tuple(rectified(layer) for layer in STYLE_LAYERS)

PERIOD = max(map(stride, LAYERS))
"""A texture's period is a multiple of it, so that the poolings' grid fits together, too."""


class Wrapped(nn.Module):
    """A convolution of (B, C, H, W) whose border is the opposite side."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.convolution(F.pad(x, (1, 1, 1, 1), mode="circular"))
        return result[..., 1:-1, 1:-1].contiguous(memory_format=torch.channels_last)


def wrapped_network(weights: Weights) -> VGG19:
    """The network up to the layers that a texture matches, which reads images as periodic."""
    network = texture_network(weights)
    for name, convolution in network.convolutions.items():
        network.convolutions[name] = Wrapped(convolution)
    return network


def texture_network(weights: Weights) -> VGG19:
    """The network up to the layers that a texture matches."""
    weights = normalized_weights(weights, pooling="max", padding="replicate")
    return VGG19(weights, LAYERS, pooling="max")


def period_of(size: Size) -> Size:
    """The least period of a texture from which (width, height) pixels can be cut."""
    width, height = size
    return -(-width // PERIOD) * PERIOD, -(-height // PERIOD) * PERIOD


def texture_scales(period: Size, painting: Size, *, steps: int) -> list[Scale]:
    """Scales up to the period; at the first, the painting's longest side has 64 pixels."""
    start = round(COARSEST * max(period) / max(source_size(painting, period)))
    scales = plan_scales(period, steps=steps, start=start, factor=2.0, coarse_steps=steps)
    return [Scale(period_of(scale.size), scale.steps) for scale in scales]


def source_size(painting: Size, period: Size) -> Size:
    """The painting's (width, height) for a texture of this period: its own, but never longer.

    So a texture larger than the painting shows more of it, not larger strokes.
    """
    return fit_size(painting, min(max(painting), max(period)))


def texture_objective(network: VGG19, grams: Mapping[str, Tensor]) -> Objective:
    """mean_l |G - A|^2 / |A|^2 against Gram matrices A, for images of which ``network`` gives G.

    Departure from the paper, which weighs E_l equally: the deepest layers would outweigh colors.
    """
    weights = {name: 4 / len(grams) / gram.square().mean().item() for name, gram in grams.items()}
    return Objective(network, {}, {}, grams, weights)


def texture(
    weights: Weights,
    painting: Tensor,
    size: Size,
    *,
    steps: int,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> CoarseToFine:
    """A periodic texture of at least (width, height) pixels, of a painting (1, 3, H, W).

    At a coarser scale the painting is reduced as the texture is.
    """
    period = period_of(size)
    source = source_size(size_of(painting), period)
    reader = texture_network(weights).to(device)
    network = wrapped_network(weights).to(device)

    @torch.no_grad()
    def objective_at(scale: Size) -> Objective:
        reduced = fit_size(source, round(max(source) * max(scale) / max(period)))
        features = reader(resize(painting, _at_least(reduced)).to(device))
        return texture_objective(network, {name: gram_matrix(x) for name, x in features.items()})

    scales = texture_scales(period, source, steps=steps)
    return synthesis(objective_at, scales, seed=seed, periodic=True, device=device)


def _at_least(size: Size) -> Size:
    """A strip is kept wide enough for the deeper layers."""
    return fit_size(size, round(max(size) * max(1.0, MIN_SIDE / min(size))))
