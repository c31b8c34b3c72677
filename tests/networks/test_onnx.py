"""ONNX Runtime gives the same pictures, at any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from styleforge.core.errors import UsageError
from styleforge.networks.model_file import Model, ModelInfo, ModelStyle
from styleforge.networks.onnx import to_onnx
from styleforge.networks.texture_network import TextureNetwork
from styleforge.networks.transformer import TransformerNetwork
from styleforge.presets.networks import TextureSettings, TransformerSettings

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    settings = TransformerSettings(width=4, blocks=1, underpainting=True)
    styles = [ModelStyle(name="a"), ModelStyle(name="b")]
    network = TransformerNetwork(settings, 2).requires_grad_(False).eval()
    assert network.underpainting is not None
    network.underpainting.learn(1, torch.rand(1, 3, 20, 30))
    return Model(ModelInfo(generator=settings, styles=styles), network, Path("m.safetensors"))


@pytest.mark.slow
def test_onnx_runtime_gives_the_same_picture_at_any_size(model: Model) -> None:
    mixture = model.mixture({"a": 0.3, "b": 0.7})
    session = onnxruntime.InferenceSession(to_onnx(model, mixture))
    for height, width in ((64, 80), (33, 47), (120, 31), (256, 16)):
        photo = torch.rand(1, 3, height, width)
        (found,) = session.run(None, {"image": photo.numpy()})
        assert found.shape == (1, 3, height, width)
        expected = model.network(photo, mixture).numpy()
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3)


def test_a_texture_network_is_refused(model: Model) -> None:
    settings = TextureSettings(scales=2)
    info = model.info.model_copy(update={"generator": settings})
    texture = Model(info, TextureNetwork(settings), Path("wood.safetensors"))
    with pytest.raises(UsageError) as caught:
        to_onnx(texture, torch.ones(1, 1))
    message = "wood is a texture network; only transformer networks export"
    assert str(caught.value) == message


def test_missing_packages_are_named(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError) as caught:
        to_onnx(model, model.mixture({"a": 1.0}))
    assert str(caught.value) == "export needs more packages: pip install 'styleforge[onnx]'"
