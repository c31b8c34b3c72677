"""Generators on a GPU that is not there: tensors without values, which know their device.

A backward pass needs a real one.
"""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from styleforge.networks.model_file import build
from styleforge.networks.transformer import one_style
from styleforge.presets.networks import TextureSettings
from tests.networks.small_models import TRANSFORMER


def test_a_transformer_stays_on_the_device() -> None:
    with FakeTensorMode(), torch.device("cuda"):
        photo = torch.rand(1, 3, 64, 48)
        pastiche = build(TRANSFORMER, 2)(photo, one_style(0, 2))
    assert (pastiche.shape, pastiche.device.type) == ((1, 3, 64, 48), "cuda")


def test_a_texture_network_stays_on_the_device() -> None:
    with FakeTensorMode(), torch.device("cuda"):
        noise = [torch.rand(1, 3, side, side) for side in (32, 16)]
        texture = build(TextureSettings(scales=2, width=2), 1)(noise, None)
    assert (texture.shape, texture.device.type) == ((1, 3, 32, 32), "cuda")
