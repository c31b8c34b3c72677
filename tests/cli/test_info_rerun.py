from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
import yaml

from styleforge.cli import job as job_module
from styleforge.images import load_image
from styleforge.output import save_image
from styleforge.recipe import load_recipe
from styleforge.weights import Weights
from tests.cli.conftest import Command
from tests.pictures import noise


@pytest.fixture
def made(transfer: Command) -> Path:
    """A pastiche, out.png, from two styles and an option."""
    done = transfer("s.png:0.5", "--tv", "0.25", "-o", "out.png", "-q")
    assert done.code == 0
    return Path("out.png")


def test_info_shows_inputs_settings_and_versions(made: Path, command: Command) -> None:
    done = command("info", made)
    shown = yaml.safe_load(done.text)
    assert (done.code, done.err) == (0, "")
    assert shown == load_recipe(made).to_dict()
    assert list(shown)[:3] == ["preset", "settings", "content"]
    assert shown["settings"]["tv"] == 0.25
    assert shown["content"]["path"] == "c.png"
    assert shown["content"]["sha256"] == load_image("c.png").sha256
    assert [style["weight"] for style in shown["styles"]] == [1.0, 0.5]
    assert shown["weights"]["source"] == "original"
    assert len(shown["weights"]["sha256"]) == 64
    assert "torch" in shown["versions"]


def test_info_json(made: Path, command: Command) -> None:
    done = command("info", "--json", made)
    assert list(done.json) == ["styleforge"]
    assert done.json["styleforge"] == load_recipe(made).to_dict()


def test_rerun_writes_the_same_bytes(made: Path, command: Command) -> None:
    done = command("rerun", made, "-o", "again.png")
    assert done.code == 0
    assert "Saved again.png (48 x 40)" in done.err
    assert Path("again.png").read_bytes() == made.read_bytes()


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (("--init", "noise", "--seed", "3"), "a.png"),
        (("--depth", "16"), "a.tif"),
        (("--init", "s.png", "--optimizer", "adam"), "a.webp"),
        (("--style-layer", "conv1_1=0.3", "--style-layer", "conv2_1=0.7"), "a.jpg"),
    ],
)
def test_rerun_repeats_every_setting(
    transfer: Command, command: Command, options: tuple[str, ...], name: str
) -> None:
    transfer(*options, "-o", name)
    Path("p.yaml").unlink()
    assert command("rerun", name, "-o", f"again_{name}").code == 0
    assert Path(f"again_{name}").read_bytes() == Path(name).read_bytes()


def test_rerun_of_a_rerun(made: Path, command: Command) -> None:
    command("rerun", made, "-o", "again.png")
    command("rerun", "again.png", "-o", "and_again.png")
    assert Path("and_again.png").read_bytes() == made.read_bytes()


def test_rerun_prints_json(made: Path, command: Command) -> None:
    report = command("rerun", made, "-o", "again.png", "--json", "-q").json
    assert report["output"] == "again.png"
    assert report["steps"] == 4


def test_rerun_ignores_the_environment(
    made: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STYLEFORGE_SIZE", "64")
    monkeypatch.setenv("STYLEFORGE_BETA", "1")
    command("rerun", made, "-o", "again.png")
    assert Path("again.png").read_bytes() == made.read_bytes()


@pytest.mark.parametrize("name", ["c.png", "s.png"])
def test_rerun_refuses_a_changed_input(made: Path, command: Command, name: str) -> None:
    noise(48, 40, seed=9).save(name)
    done = command("rerun", made, "-o", "again.png")
    assert done.err == (
        f"Error: {name} is not the file the picture was made from (its SHA-256 differs); "
        "name the right one with --content or --style\n"
    )
    assert done.code == 2
    assert not Path("again.png").exists()


def test_rerun_of_inputs_that_have_moved(made: Path, command: Command) -> None:
    Path("photos").mkdir()
    Path("c.png").rename("photos/cat.png")
    Path("s.png").rename("photos/cafe.png")
    done = command("rerun", made, "-o", "again.png")
    assert done.err == (
        "Error: out.png was made from c.png, which is not there; "
        "say where it is with --content or --style\n"
    )
    assert done.code == 2
    moved = ("--content", "photos/cat.png", *("--style", "photos/cafe.png") * 2)
    assert command("rerun", made, "-o", "again.png", *moved).code == 0
    assert torch.equal(load_image("again.png").pixels, load_image(made).pixels)
    assert load_recipe(Path("again.png")).content.path == "photos/cat.png"


def test_rerun_wants_as_many_styles(made: Path, command: Command) -> None:
    done = command("rerun", made, "-o", "again.png", "--style", "s.png")
    assert done.err == "Error: out.png was made from 2 styles, not 1\n"
    assert done.code == 2


def test_rerun_refuses_other_weights(
    made: Path, command: Command, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(weights, source="other.pth", sha256="0" * 64)
    monkeypatch.setattr(job_module, "load_weights", lambda _: other)
    done = command("rerun", made, "-o", "again.png")
    assert done.err == (
        "Error: other.pth: not the weights that the picture was made with (their SHA-256 differs)\n"
    )
    assert done.code == 4


def test_rerun_overwrites_only_with_force(made: Path, command: Command) -> None:
    done = command("rerun", made, "-o", made)
    assert done.err == "Error: out.png exists; use --force to overwrite it\n"
    assert done.code == 2
    before = made.read_bytes()
    assert command("rerun", made, "-o", made, "-f").code == 0
    assert made.read_bytes() == before


def test_a_recipe_with_settings_that_are_none(made: Path, command: Command) -> None:
    recipe = json.loads(load_recipe(made).to_json())
    recipe["styleforge"]["settings"]["tvv"] = 1
    save_image("edited.png", load_image(made).pixels, recipe=json.dumps(recipe))
    done = command("rerun", "edited.png", "-o", "again.png")
    assert done.err == "Error: edited.png: tvv: unknown key (did you mean tv?)\n"
    assert done.code == 2
