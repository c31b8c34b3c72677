"""The VGG-19 through which a preset's losses look at images."""

from __future__ import annotations

from collections.abc import Iterable

from styleforge.core.devices import Precision
from styleforge.presets.transfer import Losses
from styleforge.vgg.calibration import normalized_weights
from styleforge.vgg.network import VGG19
from styleforge.vgg.weights import Weights


def loss_network(weights: Weights, preset: Losses, *, precision: Precision = "float32") -> VGG19:
    """The network with all layers that the preset's losses read."""
    network = preset.network
    if network.normalized:
        weights = normalized_weights(weights, pooling=network.pooling, padding=network.padding)
    layers = preset.read_layers
    return VGG19(
        weights,
        layers,
        pooling=network.pooling,
        padding=network.padding,
        precision=precision,
    )


def paper_network(weights: Weights, layers: Iterable[str]) -> VGG19:
    """The normalised network with average pooling (Gatys et al. 2016), up to these layers."""
    return VGG19(normalized_weights(weights, pooling="avg", padding="replicate"), layers)
