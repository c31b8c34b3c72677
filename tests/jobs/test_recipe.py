from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import styleforge
from styleforge.core.errors import UsageError
from styleforge.images.load import load_image
from styleforge.images.save import save_image
from styleforge.jobs.recipe import (
    FORMAT,
    AnyRecipe,
    Input,
    StylizeRecipe,
    SynthesisRecipe,
    TransferRecipe,
    load_recipe,
    parse_recipe,
    versions,
)
from styleforge.presets.transfer import Preset
from tests.pictures import noise

RECIPE = TransferRecipe(
    preset="painterly",
    settings=Preset().model_dump(),
    content=Input("photos/Zoë.jpg", "c0"),
    styles=[Input("a.jpg", "a0", 0.7), Input("b.jpg", "b0", 0.3, ["conv1_1", "conv2_1"])],
    init=Input("init.png", "10"),
    weights={"source": "original", "sha256": "e0"},
    device="cpu",
    depth=8,
    versions={"styleforge": "0.1.0"},
    masks=[Input("left.png", "d0"), Input("right.png", "d1")],
)
STYLIZED = StylizeRecipe(
    model=Input("models/夜.safetensors", "50"),
    styles={"cafe": 0.7, "harvest": 0.3},
    content=Input("photos/Zoë.jpg", "c0"),
    size=0,
    strength=0.5,
    colors="keep",
    seed=3,
    device="cpu",
    depth=16,
    versions={"styleforge": "0.1.0"},
)
SYNTHESIZED = SynthesisRecipe(
    command="dream",
    inputs={"image": Input("photos/Zoë.jpg", "c0")},
    options={"layer": "conv4_1", "channel": None, "size": "512x512"},
    weights={"source": "original", "sha256": "w0"},
    device="cpu",
    versions={"styleforge": "0.1.0"},
)
HERE = Path("out.png")
EACH = pytest.mark.parametrize(
    "recipe", [RECIPE, STYLIZED, SYNTHESIZED], ids=["transfer", "stylize", "synthesis"]
)


@pytest.mark.parametrize(
    "recipe",
    [RECIPE, replace(RECIPE, init=None, masks=[], depth=16, device="cuda"), STYLIZED, SYNTHESIZED],
)
def test_json_round_trip(recipe: AnyRecipe) -> None:
    assert parse_recipe(recipe.to_json(), HERE) == recipe


@EACH
def test_json_is_one_line_of_ascii_under_the_tools_name(recipe: AnyRecipe) -> None:
    text = recipe.to_json()
    assert text.isascii()
    assert "\n" not in text
    assert list(json.loads(text)) == ["styleforge"]
    assert json.loads(text)["styleforge"] == recipe.to_dict()


@EACH
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_a_file_holds_its_recipe(tmp_path: Path, name: str, recipe: AnyRecipe) -> None:
    save_image(tmp_path / name, torch.rand(1, 3, 40, 48), recipe=recipe.to_json())
    assert load_recipe(tmp_path / name) == recipe


def test_a_picture_of_one_pixel_holds_its_recipe(tmp_path: Path) -> None:
    save_image(tmp_path / "a.png", torch.rand(1, 3, 1, 1), recipe=STYLIZED.to_json())
    assert load_recipe(tmp_path / "a.png") == STYLIZED


def test_an_input_is_named_and_hashed(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.png")
    picture = load_image(tmp_path / "a.png")
    path, sha256 = str(tmp_path / "a.png"), picture.sha256
    assert Input.of(picture, 0.5) == Input(path, sha256, 0.5)
    assert Input.of(picture, 0.5, ("conv1_1",)) == Input(path, sha256, 0.5, ["conv1_1"])


def test_a_recipe_from_before_there_were_masks_and_layers() -> None:
    fields = without("masks")
    for style in fields["styles"]:
        del style["layers"]
    found = parse_recipe(json.dumps({"styleforge": fields}), HERE)
    assert isinstance(found, TransferRecipe)
    assert found.masks == []
    assert [style.layers for style in found.styles] == [[], []]


def without(key: str, recipe: AnyRecipe = RECIPE) -> dict[str, Any]:
    fields = recipe.to_dict()
    del fields[key]
    return fields


@pytest.mark.parametrize(
    "text",
    [
        "",
        "made with love",
        "[]",
        "null",
        '"styleforge"',
        "{}",
        '{"styleforge": 1}',
        json.dumps({"styleforge": without("content")}),
        json.dumps({"styleforge": without("format")}),
        json.dumps({"styleforge": {**RECIPE.to_dict(), "more": 1}}),
        json.dumps({"styleforge": {**RECIPE.to_dict(), "styles": [{"path": "a"}]}}),
        json.dumps({"styleforge": {**RECIPE.to_dict(), "kind": "stylize"}}),
        json.dumps({"styleforge": {**RECIPE.to_dict(), "kind": "video"}}),
        json.dumps({"styleforge": without("model", STYLIZED)}),
        json.dumps({"styleforge": without("kind", STYLIZED)}),
        json.dumps({"styleforge": {**STYLIZED.to_dict(), "model": "m"}}),
        json.dumps({"styleforge": {**STYLIZED.to_dict(), "more": 1}}),
        json.dumps({"styleforge": without("command", SYNTHESIZED)}),
        json.dumps({"styleforge": {**SYNTHESIZED.to_dict(), "inputs": ["a"]}}),
    ],
)
def test_what_is_no_recipe(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_recipe(text, HERE)
    assert str(caught.value) == "out.png holds no styleforge recipe"


@EACH
def test_a_recipe_of_a_newer_version(recipe: AnyRecipe) -> None:
    newer = {**recipe.to_dict(), "format": FORMAT + 1, "unheard of": 1}
    with pytest.raises(UsageError) as caught:
        parse_recipe(json.dumps({"styleforge": newer}), HERE)
    assert str(caught.value) == "out.png was made by a newer styleforge; upgrade to read it"


def test_a_photo_holds_no_recipe(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    noise().save(path)
    with pytest.raises(UsageError) as caught:
        load_recipe(path)
    assert str(caught.value) == f"{path} holds no styleforge recipe"


def test_the_versions_that_matter() -> None:
    assert list(versions()) == ["styleforge", "torch", "python"]
    assert versions()["styleforge"] == styleforge.__version__
    assert versions()["torch"] == torch.__version__
