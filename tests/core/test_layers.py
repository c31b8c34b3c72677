from __future__ import annotations

import pytest
import torch
from torch import nn

from styleforge.core.layers import CONVOLUTIONS, LAYERS, rectified
from styleforge.vgg.weights import _TORCHVISION_INDEX

KINDS = {"conv": nn.Conv2d, "relu": nn.ReLU, "pool": nn.MaxPool2d}


@pytest.fixture
def torchvision_features() -> list[nn.Module]:
    from torchvision.models.vgg import cfgs, make_layers  # takes a second

    with torch.device("meta"):
        return list(make_layers(cfgs["E"]))


@pytest.mark.slow
def test_layers_follow_torchvision_module_order(torchvision_features: list[nn.Module]) -> None:
    kinds = [KINDS[name[:4]] for name in LAYERS]
    assert kinds == [type(module) for module in torchvision_features]


@pytest.mark.slow
def test_convolutions_have_torchvision_filter_counts_and_indices(
    torchvision_features: list[nn.Module],
) -> None:
    modules = torchvision_features
    found = [modules[index] for index in _TORCHVISION_INDEX]
    assert [module.out_channels for module in found] == list(CONVOLUTIONS.values())
    assert [LAYERS[index] for index in _TORCHVISION_INDEX] == list(CONVOLUTIONS)


def test_layer_names_of_a_block() -> None:
    assert LAYERS[:5] == ("conv1_1", "relu1_1", "conv1_2", "relu1_2", "pool1")
    assert LAYERS[-3:] == ("conv5_4", "relu5_4", "pool5")
    assert len(LAYERS) == len(set(LAYERS)) == 37


def test_convention_conv_in_a_preset_means_after_the_relu() -> None:
    assert rectified("conv4_2") == "relu4_2"
    assert rectified("relu4_2") == "relu4_2"
    assert rectified("pool4") == "pool4"
    assert all(rectified(name) in LAYERS for name in LAYERS)
