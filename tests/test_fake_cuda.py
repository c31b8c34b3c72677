"""What runs on CUDA, with tensors that have a device, a type and a shape, but no numbers.

So a CPU shows tensors on different devices, kernels that a type lacks, and steps that wait for a
number. Without CUDA torch's engine takes no gradients of such tensors: here they are zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from styleforge.core.devices import Precision
from styleforge.losses.neighbors import main_directions, nearest
from styleforge.networks.model_file import build
from styleforge.networks.texture_network import TextureNetwork
from styleforge.optimize.adam import Adam
from styleforge.optimize.evaluation import Evaluator
from styleforge.optimize.lbfgs import LBFGS
from styleforge.optimize.parameterization import Parameterization, dct_matrix, hartley_matrix
from styleforge.presets.networks import TextureSettings, TransformerSettings
from styleforge.presets.training import TrainingPreset, load_training_preset
from styleforge.presets.transfer import load_preset
from styleforge.training.objective import BatchObjective
from styleforge.training.trainer import Trainer
from styleforge.transfers import studio as studio_module
from styleforge.transfers.loss_network import loss_network
from styleforge.transfers.studio import Studio
from styleforge.vgg.weights import Weights

CUDA = torch.device("cuda")
SIDE = 64


@pytest.fixture
def fake() -> Iterator[FakeTensorMode]:
    """Entered by the tests once what lies in files is there."""
    yield FakeTensorMode(allow_non_fake_inputs=True)
    dct_matrix.cache_clear()
    hartley_matrix.cache_clear()


def no_gradient(_loss: Tensor, point: Tensor) -> tuple[Tensor]:
    return (torch.zeros_like(point),)


PRECISIONS: tuple[Precision, ...] = ("float32", "tf32", "bf16")


@pytest.mark.parametrize("optimizer", [LBFGS, Adam])
@pytest.mark.parametrize("preset_name", ["gram", "painterly"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_step_of_a_transfer_waits_for_nothing(
    precision: Precision,
    preset_name: str,
    optimizer: type[LBFGS | Adam],
    weights: Weights,
    fake: FakeTensorMode,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preset = load_preset(preset_name)
    network = loss_network(weights, preset, precision=precision)
    monkeypatch.setattr(studio_module, "loss_network", lambda *_, **__: network)
    monkeypatch.setattr(torch.autograd, "grad", no_gradient)
    with fake:
        photo, painting = torch.rand(2, 1, 3, SIDE, SIDE)
        studio = Studio([(painting, 1.0)], preset, device=CUDA, weights=weights)
        space = Parameterization(SIDE, SIDE, exponent=1.0, device=CUDA)
        objective = studio.objective(photo)
        method = optimizer(Evaluator(objective, space), space.coordinates(photo.to(CUDA)))
        method.step()
        assert objective(photo.to(CUDA)).total.dtype == torch.float32
        assert {x.device.type for x in method.best} == {"cuda"}
        assert space.image(method.best.point).shape == photo.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_neighbors_are_found_where_the_features_are(
    dtype: torch.dtype, fake: FakeTensorMode
) -> None:
    with fake:
        queries, keys = torch.rand(2, 300, 40, device=CUDA, dtype=dtype)
        found = nearest(queries, keys - keys.mean(0), queries.mean(0))
        assert {x.device.type for x in found} == {"cuda"}
        basis = main_directions(queries.float(), keys.float(), count=8, seed=0)
        assert (basis.device.type, basis.shape) == ("cuda", (40, 8))


SETTINGS = {
    "transformer": TransformerSettings(width=4, blocks=1),
    "texture": TextureSettings(scales=3, width=4),
    "stylizing": TextureSettings(scales=3, width=4, content=True, normalization="instance"),
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_generator_runs_where_its_weights_are(
    settings: TransformerSettings | TextureSettings, dtype: torch.dtype, fake: FakeTensorMode
) -> None:
    with fake, CUDA:
        torch.set_default_dtype(dtype)
        network = build(settings, 2)
        torch.set_default_dtype(torch.float32)
        photo = torch.rand(2, 3, SIDE, SIDE, dtype=dtype)
    with fake:
        if isinstance(network, TextureNetwork):
            noise = network.noise((SIDE, SIDE), torch.Generator())
            both = [torch.cat([z, z]).to(CUDA, dtype) for z in noise]
            image = network(both, photo if network.settings.content else None)
        else:
            image = network(photo, torch.eye(2, device=CUDA, dtype=dtype))
        assert (image.device.type, image.shape) == ("cuda", photo.shape)


@pytest.mark.filterwarnings("ignore:CUDA is not available", "ignore:Accessing the data pointer")
@pytest.mark.parametrize("statistic", ["gram", "neighbors"])
def test_the_loss_of_a_step_of_training(
    statistic: str, weights: Weights, fake: FakeTensorMode, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = training_preset(statistic)
    network = loss_network(weights, preset, precision="bf16")
    losses: list[Any] = []
    monkeypatch.setattr(Tensor, "backward", lambda loss: losses.append(loss))
    with fake:
        photos, painting = torch.rand(2, 3, SIDE, SIDE), torch.rand(1, 3, SIDE, SIDE)
        with CUDA:
            generator = build(preset.generator, 1)
        objective = BatchObjective(network.to(CUDA), [painting], preset)
        trainer = Trainer(generator, objective, preset, styles=1)
        with pytest.raises(DataDependentOutputException):
            trainer.step(photos, [0, 1])  # whether the loss is finite is asked for once it is there
    (loss,) = losses
    assert (loss.device.type, loss.dtype) == ("cuda", torch.float32)


def training_preset(statistic: str) -> TrainingPreset:
    return load_training_preset(
        "johnson", {"style.statistic": statistic, "training.crop": SIDE, "style.size": SIDE}
    )
