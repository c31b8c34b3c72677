from __future__ import annotations

import pytest
import torch
from torch import Tensor

from styleforge.core.resources import model_folders
from styleforge.images.geometry import fit_size, resize
from styleforge.images.load import load_image
from styleforge.networks.apply import stylize
from styleforge.networks.model_file import Model, load_model
from styleforge.networks.registry import known_models
from tests.conftest import SAMPLES

LUMINANCE = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
FRAME = 6


SHIPPED = sorted(model_folders()[-1].glob("*.safetensors"))


@pytest.fixture(scope="module", params=SHIPPED, ids=lambda path: path.stem)
def model(request: pytest.FixtureRequest) -> Model:
    return load_model(request.param)


@pytest.fixture(scope="module")
def photo() -> Tensor:
    picture = load_image(SAMPLES / "content" / "astronaut.jpg")
    return resize(picture.pixels, fit_size(picture.size, 192))


@pytest.fixture(scope="module")
def pastiches(model: Model, photo: Tensor) -> list[Tensor]:
    styles = [model.mixture({name: 1.0}) for name in model.style_names]
    return [stylize(model.network, photo, style, memory=2**30) for style in styles]


def correlation(a: Tensor, b: Tensor) -> float:
    """Of luminance, between two images."""
    pair = torch.stack([(image * LUMINANCE).sum(1).flatten() for image in (a, b)])
    return torch.corrcoef(pair)[0, 1].item()


def test_it_has_at_most_a_megabyte(model: Model) -> None:
    assert model.path.stat().st_size < 2**20


def test_it_says_how_it_was_made(model: Model) -> None:
    recipe = model.info.recipe
    while "based_on" in recipe:
        recipe = recipe["based_on"]
    assert recipe.get("preset") == "multi" or len(recipe["sha256"]) == 64
    assert model.info.licence


def test_no_two_models_carry_a_style_of_one_name() -> None:
    names = [style.name for _, info in known_models() for style in info.styles]
    assert len(names) == len(set(names)) == 32


def test_foreign_weights_come_with_their_licence() -> None:
    (licence,) = model_folders()[-1].glob("*.LICENSE")
    text = licence.read_text(encoding="utf-8")
    for word in ("Magenta", "Apache License", "Version 2.0", "Changes:"):
        assert word in text


@pytest.mark.slow
def test_the_photo_is_still_there_in_every_style(
    model: Model, photo: Tensor, pastiches: list[Tensor]
) -> None:
    for name, pastiche in zip(model.style_names, pastiches, strict=True):
        assert correlation(photo, pastiche) > 0.3, name
        assert (pastiche - photo).abs().mean() > 0.05, name


@pytest.mark.slow
def test_styles_differ(pastiches: list[Tensor]) -> None:
    for index, one in enumerate(pastiches):
        for other in pastiches[index + 1 :]:
            assert (one - other).abs().mean() > 0.02


@pytest.mark.slow
def test_there_is_no_frame(photo: Tensor, pastiches: list[Tensor]) -> None:
    for pastiche in pastiches:
        change = pastiche - photo
        outer, inner = ring(change, 0, FRAME).mean(), ring(change, FRAME, 2 * FRAME).mean()
        assert (outer - inner).abs() < 0.05


def ring(image: Tensor, start: int, stop: int) -> Tensor:
    """The pixels that lie between so many pixels from the border."""
    height, width = image.shape[2:]
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[start : height - start, start : width - start] = True
    inside[stop : height - stop, stop : width - stop] = False
    return image[..., inside]
