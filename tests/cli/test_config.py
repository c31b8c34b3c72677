from __future__ import annotations

from pathlib import Path

import pytest

from styleforge.jobs.doctor import config
from styleforge.jobs.recipe import TransferRecipe, load_recipe
from tests.cli.conftest import Command


@pytest.fixture
def file(folder: Path) -> Path:
    """Where one's own defaults are looked for."""
    (folder / "styleforge").mkdir()
    return folder / "styleforge" / "config.yaml"


def settings(name: str) -> dict[str, object]:
    recipe = load_recipe(Path(name))
    assert isinstance(recipe, TransferRecipe)
    return {"preset": recipe.preset, **recipe.settings}


@pytest.mark.slow
def test_ones_own_defaults(command: Command, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("device: cpu\ntransfer: {preset: p.yaml, size: 40, style-layer: conv2_1}\n")
    assert command("transfer", "c.png", "s.png", "-o", "a.png").code == 0
    found = settings("a.png")
    assert (found["preset"], found["size"]) == ("p.yaml", 40)
    assert found["style"]["layers"] == {"conv2_1": 1.0}  # type: ignore[index]
    monkeypatch.setenv("STYLEFORGE_SIZE", "44")
    assert command("transfer", "c.png", "s.png", "-o", "b.png").code == 0
    assert settings("b.png")["size"] == 44
    assert command("transfer", "c.png", "s.png", "-o", "c2.png", "-s", "42").code == 0
    assert settings("c2.png")["size"] == 42


def test_what_is_said_for_all_commands(command: Command, file: Path) -> None:
    file.write_text("device: gpu\n")
    for arguments in (("c.png", "s.png"), ("stylize", "c.png", "--style", "mosaic")):
        done = command(*arguments)
        assert done.err == "Error: unknown device 'gpu'; use auto, cpu, cuda, cuda:N or mps\n"
    assert command("stylize", "c.png", "--style", "mosaic", "-d", "cpu", "-o", "a.png").code == 0
    assert command("rerun", "a.png", "-o", "b.png").code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("transfr: {}", "no command or option 'transfr' (did you mean transfer?)"),
        ("transfer: {siez: 3}", "no command or option 'siez' (did you mean size?)"),
        ("reconstruct: {contents: {}}", "no command or option 'contents' (did you mean content?)"),
        ("transfer: 3", "transfer should map options to values (not 3)"),
    ],
)
def test_what_is_unknown(command: Command, file: Path, text: str, message: str) -> None:
    file.write_text(text)
    done = command("c.png", "s.png")
    assert (done.code, done.err) == (2, f"Error: {file}: {message}\n")


def test_the_doctor_says_where_it_is(file: Path) -> None:
    assert config() == {"path": str(file), "there": False}
