"""Tiny trainings: a few small photographs, tiny networks, and the cheapest layer of VGG-19."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from styleforge.losses.objective import Loss
from styleforge.networks.model_file import Model, ModelInfo, ModelStyle, build
from styleforge.presets.training import TrainingPreset
from styleforge.training.photographs import Photographs
from styleforge.training.training import Training
from styleforge.vgg.weights import Weights
from tests.conftest import SAMPLES

TRANSFORMER = {"kind": "transformer", "width": 2, "blocks": 1, "kernel": 3}
TEXTURE = {"kind": "texture", "scales": 2, "width": 2}
STYLIZING_TEXTURE = {**TEXTURE, "content": True, "normalization": "instance"}

SCHEDULE = {
    "steps": 5,
    "batch": 2,
    "crop": 32,
    "learning_rate": 0.01,
    "warm_up": 0,
    "validate_every": 2,
}


def preset(generator: dict[str, Any] = TRANSFORMER, **schedule: float) -> TrainingPreset:
    """Everything that is small, with changes to the schedule."""
    return TrainingPreset.model_validate(
        {
            "generator": generator,
            "network": {"normalized": False},
            "content": {"layers": {"conv1_1": 1.0}},
            "style": {"beta": 10.0, "size": 32, "layers": {"conv1_1": 1.0}},
            "training": SCHEDULE | schedule,
        }
    )


def matching(settings: TrainingPreset, statistic: str) -> TrainingPreset:
    """The same with another statistic."""
    style = settings.style.model_copy(update={"statistic": statistic})
    return settings.model_copy(update={"style": style})


def generator_for(settings: TrainingPreset, styles: int = 1) -> nn.Module:
    """The same random weights every time."""
    torch.manual_seed(settings.seed)
    return build(settings.generator, styles)


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: x.clone() for name, x in network.state_dict().items()}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Bit for bit."""
    assert list(found) == list(expected)
    assert [name for name, x in expected.items() if not found[name].equal(x)] == []


def brightness(pastiches: Tensor, photos: Tensor | None, styles: Tensor) -> Loss:
    """An objective that is quick to evaluate: style k wants a mean of k / 4."""
    wanted = (styles / 4).to(pastiches)
    style = (pastiches.mean((1, 2, 3)) - wanted).square().mean()
    zero = torch.zeros(())
    content = zero if photos is None else (pastiches - photos).square().mean()
    return Loss(style + content, content, style, zero)


def save_ramp(path: Path, width: int, height: int) -> Path:
    """A picture whose red is the place from left to right, and whose green that from the top."""
    across = torch.arange(width).add(0.5).div(width).expand(height, width)
    down = torch.arange(height).add(0.5).div(height)[:, None].expand(height, width)
    levels = torch.stack([across, down, torch.zeros(height, width)], 2).mul(255).round().byte()
    Image.fromarray(levels.numpy()).save(path, quality=95)
    return path


@pytest.fixture(scope="session")
def photo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five photographs of 60 x 40 pixels."""
    path = tmp_path_factory.mktemp("photographs")
    sources = sorted((SAMPLES / "content").glob("*.jpg")) + sorted((SAMPLES / "style").glob("*"))
    for number, source in enumerate(sources[:5]):
        Image.open(source).convert("RGB").resize((60, 40)).save(path / f"{number}.png")
    return path


@pytest.fixture(scope="session")
def photographs(photo_folder: Path) -> Photographs:
    return Photographs.find(photo_folder)


Train = Callable[..., Training]


@pytest.fixture
def train(weights: Weights, photographs: Photographs, painting: Tensor, photo: Tensor) -> Train:
    """``train(preset())``: a training that always starts from the same weights."""
    pictures = {"cafe": painting, "chelsea": photo}

    def make(
        settings: TrainingPreset,
        *,
        styles: Sequence[str] = ("cafe",),
        photographs: Photographs | None = photographs,
        **options: Any,
    ) -> Training:
        named = [ModelStyle(name=name, sha256=f"sha256 of {name}") for name in styles]
        info = ModelInfo(generator=settings.generator, styles=named)
        return Training(
            Model(info, generator_for(settings, len(styles))),
            [pictures[name] for name in styles],
            photographs,
            settings,
            weights=weights,
            device=torch.device("cpu"),
            **options,
        )

    return make
