from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import styleforge
from styleforge.errors import UsageError
from styleforge.images import load_image
from styleforge.output import save_image
from styleforge.presets import Preset
from styleforge.recipe import FORMAT, Input, Recipe, load_recipe, versions
from tests.pictures import noise

RECIPE = Recipe(
    preset="painterly",
    settings=Preset().model_dump(),
    content=Input("photos/Zoë.jpg", "c0"),
    styles=[Input("a.jpg", "a0", 0.7), Input("b.jpg", "b0", 0.3)],
    init=Input("init.png", "10"),
    weights={"source": "original", "sha256": "e0"},
    device="cpu",
    depth=8,
    versions={"styleforge": "0.1.0"},
)
HERE = Path("out.png")


@pytest.mark.parametrize("recipe", [RECIPE, replace(RECIPE, init=None, depth=16, device="cuda")])
def test_json_round_trip(recipe: Recipe) -> None:
    assert Recipe.from_json(recipe.to_json(), HERE) == recipe


def test_json_is_one_line_of_ascii_under_the_tools_name() -> None:
    text = RECIPE.to_json()
    assert text.isascii()
    assert "\n" not in text
    assert list(json.loads(text)) == ["styleforge"]
    assert json.loads(text)["styleforge"] == RECIPE.to_dict()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_a_file_holds_its_recipe(tmp_path: Path, name: str) -> None:
    save_image(tmp_path / name, torch.rand(1, 3, 40, 48), recipe=RECIPE.to_json())
    assert load_recipe(tmp_path / name) == RECIPE


def test_an_input_is_named_and_hashed(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.png")
    picture = load_image(tmp_path / "a.png")
    assert Input.of(picture, 0.5) == Input(str(tmp_path / "a.png"), picture.sha256, 0.5)


def without(key: str) -> dict[str, Any]:
    fields = RECIPE.to_dict()
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
    ],
)
def test_what_is_no_recipe(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Recipe.from_json(text, HERE)
    assert str(caught.value) == "out.png holds no styleforge recipe"


def test_a_recipe_of_a_newer_version() -> None:
    newer = {**RECIPE.to_dict(), "format": FORMAT + 1, "unheard of": 1}
    with pytest.raises(UsageError) as caught:
        Recipe.from_json(json.dumps({"styleforge": newer}), HERE)
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
