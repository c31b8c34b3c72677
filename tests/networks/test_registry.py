from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from styleforge.core import resources
from styleforge.core.errors import ModelError
from styleforge.networks.registry import default_model, find_model, known_models
from tests.networks.small_models import saved


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models, empty; those that ship are in the folder ``shipped``."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(resources, "resource", lambda _: tmp_path / "shipped")
    folder = tmp_path / "data" / "styleforge" / "models"
    folder.mkdir(parents=True)
    (tmp_path / "shipped").mkdir()
    return folder


@pytest.fixture
def shipped(user: Path, tmp_path: Path) -> Path:
    """The folder of models that ship, with one of the styles night and day."""
    assert user.is_dir()
    saved(tmp_path / "shipped" / "many.safetensors")
    return tmp_path / "shipped"


@pytest.mark.parametrize("name", ["a.safetensors", "folder/a", "./many", "/many"])
@pytest.mark.usefixtures("shipped")
def test_a_path_stands_for_itself(name: str) -> None:
    assert find_model(name) == (Path(name), "")


def test_a_model_is_found_by_its_name_or_a_style(shipped: Path, user: Path) -> None:
    saved(user / "mine.safetensors", "dusk")
    assert find_model("many") == (shipped / "many.safetensors", "")
    assert find_model("mine") == (user / "mine.safetensors", "")
    assert find_model("day") == (shipped / "many.safetensors", "day")
    assert find_model("dusk") == (user / "mine.safetensors", "dusk")


def test_the_users_models_come_first(shipped: Path, user: Path) -> None:
    saved(user / "many.safetensors", "day")
    assert find_model("many") == (user / "many.safetensors", "")
    assert find_model("day") == (user / "many.safetensors", "day")
    assert find_model("night") == (shipped / "many.safetensors", "night")


def test_a_models_name_comes_before_a_styles(shipped: Path, user: Path) -> None:
    saved(user / "a.safetensors", "many")
    assert find_model("many") == (shipped / "many.safetensors", "")


def test_files_that_are_no_models_are_passed_over(shipped: Path, user: Path) -> None:
    (user / "junk.safetensors").write_text("junk")
    (user / "notes.txt").write_text("notes")
    save_file({"weight": torch.zeros(2)}, user / "other.safetensors")
    assert [path for path, _ in known_models()] == [shipped / "many.safetensors"]


def test_folders_need_not_exist(user: Path) -> None:
    user.rmdir()
    assert list(known_models()) == []


@pytest.mark.usefixtures("shipped")
def test_an_unknown_name() -> None:
    with pytest.raises(ModelError) as caught:
        find_model("nigth")
    assert str(caught.value) == (
        "no model or style 'nigth' (did you mean night?); there are many, night, day, "
        "or give the path of a .safetensors file"
    )


@pytest.mark.usefixtures("user")
def test_an_unknown_name_where_there_are_no_models() -> None:
    with pytest.raises(ModelError) as caught:
        find_model("night")
    assert str(caught.value) == (
        "no model or style 'night'; none are installed; give the path of a .safetensors file"
    )


def test_the_default_model_is_the_one_that_ships(shipped: Path, user: Path) -> None:
    saved(user / "a.safetensors")
    assert default_model() == shipped / "many.safetensors"


@pytest.mark.usefixtures("user")
def test_no_default_model() -> None:
    with pytest.raises(ModelError) as caught:
        default_model()
    assert str(caught.value) == ("no model ships with this installation; name one with `model`")
