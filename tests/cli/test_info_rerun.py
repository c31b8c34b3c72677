from __future__ import annotations

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import yaml
from PIL import Image

from styleforge.images.load import load_image
from styleforge.images.opening import read_recipe
from styleforge.images.save import save_image
from styleforge.jobs import styles as styles_module
from styleforge.jobs.recipe import Input, SynthesisRecipe, TransferRecipe, Turn, load_recipe
from styleforge.vgg.weights import Weights
from tests.cli.conftest import Command
from tests.cli.test_models import TINY_TEXTURE, write_model
from tests.pictures import MAKE, camera_exif, noise


@pytest.fixture
def made(transfer: Command) -> Path:
    """A pastiche, out.png, from two styles and an option."""
    done = transfer("s.png:0.5", "--tv", "0.25", "-o", "out.png", "-q")
    assert done.code == 0
    return Path("out.png")


def test_info_is_a_few_lines(made: Path, command: Command) -> None:
    done = command("info", made)
    assert (done.code, done.err) == (0, "")
    *lines, versions = done.text.splitlines()
    assert lines == [
        "made by  transfer, preset p.yaml",
        "photo    c.png",
        "painting s.png, weight 1",
        "painting s.png, weight 0.5",
        "size     48 pixels",
        "settings tv 0.25",
        "weights  VGG-19, original",
    ]
    assert re.fullmatch(r"with     styleforge \S+, torch \S+, python \S+, on cpu", versions)
    assert done.next == "styleforge rerun out.png -o FILE repeats it; -v shows all of it"


def test_info_of_a_preset_that_is_gone(made: Path, command: Command) -> None:
    Path("p.yaml").unlink()
    done = command("info", made)
    assert done.code == 0
    assert "settings network.weights auto, network.normalized no, " in done.text


def test_info_of_what_a_network_made(command: Command) -> None:
    styles = ("--style", "church:2", "--style", "night-cafe:1")
    made = ("stylize", "c.png", *styles, "--dpi", "150", "--depth", "16", "-o", "a.png")
    assert command(*made).code == 0
    lines = command("info", "a.png").text.splitlines()
    assert lines[:2] == ["made by  stylize", "photo    c.png"]
    assert re.fullmatch(r"style    church:2, night-cafe:1 of .*\.safetensors", lines[2])
    assert lines[3:-1] == [
        "size     the photo's own",
        "settings strength 1, colors style, seed 0",
        "file     16 bits, 150 dots per inch",
    ]


@pytest.mark.slow
def test_info_of_a_texture(command: Command) -> None:
    assert command("texture", "s.png", "-s", "48x48", "-n", "1", "-o", "a.png").code == 0
    lines = command("info", "a.png").text.splitlines()
    assert lines[:2] == ["made by  texture", "from     s.png"]
    assert lines[2] == "settings steps 1, size 48x48, tile no, seed 0, depth 8"


def test_info_shows_inputs_settings_and_versions(made: Path, command: Command) -> None:
    done = command("info", made, "-v")
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
        (("s.png@conv1_1", "--colors", "content", "--style-scale", "1.5"), "a.png"),
        (("--statistic", "sliced-wasserstein", "--colors", "luminance", "--seed", "2"), "a.png"),
        (("--mask", "m.png", "--statistic", "mean-std"), "a.png"),
        pytest.param(
            ("--neighbors", "50", "--strength", "0.7", "--style-mask", "n.png"),
            "a.png",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_rerun_repeats_every_setting(
    transfer: Command, command: Command, options: tuple[str, ...], name: str
) -> None:
    noise(96, 80, seed=4).save("m.png")
    noise(80, 96, seed=5).save("n.png")
    assert transfer(*options, "-o", name).code == 0
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


@pytest.mark.parametrize(("name", "option"), [("c.png", "--content"), ("s.png", "--style")])
def test_rerun_refuses_a_changed_input(
    made: Path, command: Command, name: str, option: str
) -> None:
    noise(48, 40, seed=9).save(name)
    done = command("rerun", made, "-o", "again.png")
    assert done.err == (
        f"Error: {name} is not the file the picture was made from (its SHA-256 differs); "
        f"name the right one with {option}\n"
    )
    assert done.code == 2
    assert not Path("again.png").exists()


def test_rerun_of_inputs_that_have_moved(made: Path, command: Command) -> None:
    Path("photos").mkdir()
    Path("c.png").rename("photos/cat.png")
    Path("s.png").rename("photos/cafe.png")
    done = command("rerun", made, "-o", "again.png")
    assert done.err == (
        "Error: out.png was made from c.png, which is not there; say where it is with --content\n"
    )
    assert done.code == 2
    done = command("rerun", made, "-o", "again.png", "--content", "photos/cat.png")
    assert done.err == (
        "Error: out.png was made from s.png, which is not there; say where it is with --style\n"
    )
    moved = ("--content", "photos/cat.png", *("--style", "photos/cafe.png") * 2)
    assert command("rerun", made, "-o", "again.png", *moved).code == 0
    assert torch.equal(load_image("again.png").pixels, load_image(made).pixels)
    assert load_recipe(Path("again.png")).content.path == "photos/cat.png"


def test_rerun_of_an_initial_image_that_has_moved(transfer: Command, command: Command) -> None:
    noise(60, 50, seed=5).save("i.png")
    assert transfer("--init", "i.png", "-o", "out.png").code == 0
    Path("i.png").rename("j.png")
    done = command("rerun", "out.png", "-o", "again.png")
    assert done.err == (
        "Error: out.png was made from i.png, which is not there; say where it is with --init\n"
    )
    assert done.code == 2
    assert command("rerun", "out.png", "-o", "again.png", "--init", "j.png").code == 0
    assert torch.equal(load_image("again.png").pixels, load_image("out.png").pixels)
    recipe = load_recipe(Path("again.png"))
    assert isinstance(recipe, TransferRecipe)
    assert recipe.init == Input("j.png", load_image("j.png").sha256)
    assert recipe.settings["init"] == "j.png"
    done = command("rerun", "out.png", "-o", "and_again.png", "--init", "s.png")
    assert done.err == (
        "Error: s.png is not the file the picture was made from (its SHA-256 differs); "
        "name the right one with --init\n"
    )
    assert done.code == 2


def test_rerun_of_a_mask_that_has_moved(transfer: Command, command: Command) -> None:
    noise(48, 40, seed=5).save("m.png")
    assert transfer("--mask", "m.png", "-o", "out.png").code == 0
    Path("m.png").rename("n.png")
    done = command("rerun", "out.png", "-o", "again.png")
    assert done.err == (
        "Error: out.png was made from m.png, which is not there; say where it is with --mask\n"
    )
    assert done.code == 2
    assert command("rerun", "out.png", "-o", "again.png", "--mask", "n.png").code == 0
    assert torch.equal(load_image("again.png").pixels, load_image("out.png").pixels)
    done = command("rerun", "out.png", "-o", "third.png", "--mask", "c.png")
    assert done.err == (
        "Error: c.png is not the file the picture was made from (its SHA-256 differs); "
        "name the right one with --mask\n"
    )
    assert done.code == 2
    done = command("rerun", "out.png", "-o", "third.png", *("--mask", "n.png") * 2)
    assert done.err == "Error: out.png was made with 1 --mask, not 2\n"
    assert done.code == 2


def test_rerun_wants_as_many_styles(made: Path, command: Command) -> None:
    done = command("rerun", made, "-o", "again.png", "--style", "s.png")
    assert done.err == "Error: out.png was made with 2 --style, not 1\n"
    assert done.code == 2


def test_rerun_refuses_other_weights(
    made: Path, command: Command, weights: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(weights, source="other.pth", sha256="0" * 64)
    monkeypatch.setattr(styles_module, "load_weights", lambda _: other)
    done = command("rerun", made, "-o", "again.png")
    assert done.err == (
        "Error: other.pth: not the weights that the picture was made with (their SHA-256 differs)\n"
    )
    assert done.code == 4


def test_rerun_overwrites_only_with_force(made: Path, command: Command) -> None:
    Path("there.png").write_bytes(b"mine")
    done = command("rerun", made, "-o", "there.png")
    assert done.err == "Error: there.png exists; use --force to overwrite it\n"
    assert done.code == 2
    assert command("rerun", made, "-o", "there.png", "-f").code == 0
    assert Path("there.png").read_bytes() == made.read_bytes()


def test_a_recipe_with_settings_that_are_none(made: Path, command: Command) -> None:
    recipe = json.loads(load_recipe(made).to_json())
    recipe["styleforge"]["settings"]["tvv"] = 1
    save_image("edited.png", load_image(made).pixels, recipe=json.dumps(recipe))
    done = command("rerun", "edited.png", "-o", "again.png")
    assert done.err == "Error: edited.png: tvv: unknown key (did you mean tv?)\n"
    assert done.code == 2


@pytest.fixture
def stylized(folder: Path, command: Command) -> Path:
    """A picture by a trained network, p.tif, with every setting away from its default."""
    write_model(folder / "m.safetensors")
    mixture = ("--style", "cafe:0.7", "--style", "harvest:0.3")
    settings = ("--strength", "0.8", "--colors", "keep", "-s", "40", "--depth", "16")
    done = command("stylize", "c.png", "-m", "m.safetensors", *mixture, *settings, "-o", "p.tif")
    assert done.code == 0
    return Path("p.tif")


def test_info_of_a_stylized_picture(stylized: Path, command: Command) -> None:
    shown = yaml.safe_load(command("info", stylized, "-v").text)
    assert shown == load_recipe(stylized).to_dict()
    assert list(shown)[:3] == ["model", "styles", "content"]
    assert shown["model"]["path"] == "m.safetensors"
    assert shown["styles"] == {"cafe": 0.7, "harvest": 0.3}
    assert (shown["strength"], shown["colors"], shown["size"]) == (0.8, "keep", 40)
    assert command("info", "--json", stylized).json == {"styleforge": shown}


def test_rerun_of_a_stylized_picture_writes_the_same_bytes(
    stylized: Path, command: Command
) -> None:
    done = command("rerun", stylized, "-o", "again.tif")
    assert done.code == 0
    assert done.err.startswith("Saved again.tif (40 x 33) in ")
    assert done.err.endswith("\nmodel m, style cafe:0.7, harvest:0.3\n")
    assert Path("again.tif").read_bytes() == stylized.read_bytes()
    report = command("rerun", stylized, "-o", "and_again.tif", "--json", "-q").json
    assert report["output"] == "and_again.tif"
    assert report["styles"] == {"cafe": 0.7, "harvest": 0.3}


def test_rerun_of_a_stylized_picture_refuses_other_inputs(stylized: Path, command: Command) -> None:
    write_model(Path("other.safetensors"), seed=1)
    done = command("rerun", stylized, "-o", "again.tif", "--model", "other.safetensors")
    assert done.err == (
        "Error: other.safetensors is not the model that the picture was made with\n"
    )
    assert done.code == 4
    done = command("rerun", stylized, "-o", "again.tif", "--content", "s.png")
    assert done.err == (
        "Error: s.png is not the file the picture was made from (its SHA-256 differs); "
        "name the right one with --content\n"
    )
    assert done.code == 2
    assert not Path("again.tif").exists()


def test_rerun_of_a_stylized_picture_whose_inputs_have_moved(
    stylized: Path, command: Command
) -> None:
    Path("moved").mkdir()
    for name, option in (("c.png", "--content"), ("m.safetensors", "--model")):
        Path(name).rename(f"moved/{name}")
        done = command("rerun", stylized, "-o", "again.tif")
        assert done.err == (
            f"Error: p.tif was made from {name}, which is not there; "
            f"say where it is with {option}\n"
        )
        assert done.code == 2
        Path(f"moved/{name}").rename(name)
    Path("c.png").rename("moved/c.png")
    Path("m.safetensors").rename("moved/m.safetensors")
    moved = ("--content", "moved/c.png", "--model", "moved/m.safetensors")
    assert command("rerun", stylized, "-o", "again.tif", *moved).code == 0
    assert np.array_equal(tifffile.imread("again.tif"), tifffile.imread(stylized))
    recipe = load_recipe(Path("again.tif"))
    assert (recipe.content.path, recipe.model.path) == ("moved/c.png", "moved/m.safetensors")


def test_rerun_of_a_stylized_picture_with_a_mask(stylized: Path, command: Command) -> None:
    assert stylized.exists()
    noise(48, 40, seed=5).save("m.png")
    masked = ("stylize", "c.png", "-m", "m.safetensors", "--mask", "m.png", "-o", "out.png")
    assert command(*masked).code == 0
    assert command("rerun", "out.png", "-o", "again.png").code == 0
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    Path("m.png").rename("n.png")
    done = command("rerun", "out.png", "-o", "third.png")
    assert done.err == (
        "Error: out.png was made from m.png, which is not there; say where it is with --mask\n"
    )
    assert command("rerun", "out.png", "-o", "third.png", "--mask", "n.png").code == 0
    done = command("rerun", "out.png", "-o", "fourth.png", "--mask", "c.png")
    assert done.err == (
        "Error: c.png is not the file the picture was made from (its SHA-256 differs); "
        "name the right one with --mask\n"
    )
    assert done.code == 2


def test_rerun_of_a_stylized_picture_never_replaces_its_photo(
    stylized: Path, command: Command
) -> None:
    done = command("rerun", stylized, "-o", "c.png", "-f")
    assert done.err == "Error: c.png is one of the inputs; choose another output\n"
    assert done.code == 2


def test_a_stylized_picture_can_be_stylized_again(stylized: Path, command: Command) -> None:
    done = command("stylize", stylized, "-m", "m.safetensors", "-o", "twice.png")
    assert done.code == 0
    assert load_recipe(Path("twice.png")).content.path == "p.tif", "the last recipe counts"
    assert command("rerun", "twice.png", "-o", "thrice.png").code == 0
    assert Path("thrice.png").read_bytes() == Path("twice.png").read_bytes()


QUICK = ("-n", "1", "--seed", "3")
SYNTHESES = {
    "texture of a painting": ("texture", "s.png", *QUICK, "-s", "48x40", "--depth", "16"),
    "texture of a network": ("texture", "oak", "-m", "m.safetensors", "-s", "9x7", "--seed", "3"),
    "dream of a picture": ("dream", "c.png", *QUICK, "-s", "40", "--layer", "relu1_2"),
    "dream of noise": (
        *("dream", *QUICK, "-s", "48x40", "--layer", "conv1_2"),
        *("--channel", "3", "--unit", "8,9"),
    ),
    "content": ("reconstruct", "content", "c.png", *QUICK, "-s", "40", "--layer", "conv1_2"),
    "sheet of contents": ("reconstruct", "content", "c.png", *QUICK, "-s", "40"),
    "style": (
        *("reconstruct", "style", "s.png", *QUICK, "-s", "40"),
        *("--layer", "conv1_1", "--layer", "relu2_1"),
    ),
    "sheet of styles": ("reconstruct", "style", "s.png", *QUICK, "-s", "40"),
}


@pytest.mark.slow
@pytest.mark.parametrize("made_by", SYNTHESES.values(), ids=SYNTHESES)
def test_rerun_of_a_synthesis_writes_the_same_bytes(
    made_by: tuple[str, ...], folder: Path, command: Command
) -> None:
    write_model(folder / "m.safetensors", TINY_TEXTURE, styles=("oak",))
    assert command(*made_by, "-o", "out.png").code == 0
    done = command("rerun", "out.png", "-o", "again.png", "--json")
    assert done.code == 0
    assert done.err.startswith("Saved again.png (")
    width, height = load_image("out.png", min_side=1).size
    report = done.json
    assert report.pop("seconds") >= 0
    assert report == {
        "output": "again.png",
        "width": width,
        "height": height,
        "device": "cpu",
        "interrupted": False,
    }
    assert Path("again.png").read_bytes() == Path("out.png").read_bytes()
    shown = yaml.safe_load(command("info", "out.png", "-v").text)
    assert made_by[0] == shown["command"].split()[0]
    assert shown["options"]["seed"] == 3


@pytest.fixture
def dreamt(command: Command, folder: Path) -> Path:
    """A dream of c.png, d.png."""
    assert folder.is_dir()
    assert command("dream", "c.png", *QUICK, "-s", "40", "-o", "d.png", "-q").code == 0
    return Path("d.png")


@pytest.mark.slow
def test_rerun_of_a_dream_whose_picture_has_moved(dreamt: Path, command: Command) -> None:
    Path("c.png").rename("moved.png")
    done = command("rerun", dreamt, "-o", "again.png")
    assert done.err == (
        "Error: d.png was made from c.png, which is not there; say where it is with --content\n"
    )
    assert done.code == 2
    assert command("rerun", dreamt, "-o", "again.png", "--content", "moved.png").code == 0
    assert np.array_equal(load_image("again.png").pixels, load_image(dreamt).pixels)


def test_rerun_of_a_dream_refuses_another_picture(dreamt: Path, command: Command) -> None:
    done = command("rerun", dreamt, "-o", "again.png", "--content", "s.png")
    assert done.err == (
        "Error: s.png is not the file the picture was made from (its SHA-256 differs); "
        "name the right one with --content\n"
    )
    assert done.code == 2


def test_a_recipe_of_a_command_that_is_not_known(dreamt: Path, command: Command) -> None:
    recipe = dataclasses.replace(load_recipe(dreamt), command="sing")
    save_image(dreamt, load_image(dreamt).pixels, recipe=recipe.to_json())
    done = command("rerun", dreamt, "-o", "again.png")
    assert done.err == "Error: d.png was made by a newer styleforge; upgrade to repeat it\n"
    assert done.code == 2


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"steps": "many"}, "steps"),
        ({"stages": 3}, "stages"),
        ({"steps": [], "stages": 3}, "steps, stages"),
        ({"s\udce5ed": 0}, "keys"),
    ],
    ids=["value", "key", "both", "no Unicode"],
)
def test_a_recipe_that_cannot_be_understood(
    options: dict[str, Any], wrong: str, dreamt: Path, command: Command
) -> None:
    recipe = load_recipe(dreamt)
    assert isinstance(recipe, SynthesisRecipe)
    recipe = dataclasses.replace(recipe, options={**recipe.options, **options})
    save_image(dreamt, load_image(dreamt).pixels, recipe=recipe.to_json())
    done = command("rerun", dreamt, "-o", "again.png")
    assert done.err == f"Error: d.png holds a recipe whose {wrong} cannot be understood\n"
    assert done.code == 2
    assert not Path("again.png").exists()


def test_a_picture_is_not_made_again_in_its_own_place(made: Path, command: Command) -> None:
    before = made.read_bytes()
    done = command("rerun", made, "-o", made, "-f")
    assert done.err == f"Error: {made} is what is made again; choose another output\n"
    assert done.code == 2
    assert made.read_bytes() == before


def test_rerun_lists_what_it_would_open(made: Path, command: Command) -> None:
    recipe = load_recipe(made)
    assert isinstance(recipe, TransferRecipe)
    hostile = dataclasses.replace(recipe, content=Input("/etc/\x1b[31mpasswd", "0" * 64))
    save_image("hostile.png", load_image(made).pixels, recipe=hostile.to_json())
    done = command("rerun", "hostile.png", "--list")
    assert done.text.splitlines() == [
        "content    /etc/\\x1b[31mpasswd",
        "style      s.png",
        "style      s.png",
    ]
    listed = command("rerun", made, "--list", "--json").json["inputs"]
    assert listed[0] == {"option": "content", "path": "c.png", "sha256": recipe.content.sha256}
    assert {path.name for path in Path().iterdir()} >= {"out.png", "hostile.png"}
    assert not Path("again.png").exists()


def test_rerun_lists_the_weights_that_a_recipe_names(made: Path, command: Command) -> None:
    recipe = load_recipe(made)
    assert isinstance(recipe, TransferRecipe)
    settings = {**recipe.settings, "network": {"weights": "elsewhere/secret.pth"}}
    other = dataclasses.replace(recipe, settings=settings)
    save_image("other.png", load_image(made).pixels, recipe=other.to_json())
    last = command("rerun", "other.png", "--list").text.splitlines()[-1]
    assert last == "weights    elsewhere/secret.pth"


def test_a_recipe_that_names_a_file_without_its_hash_is_refused(
    made: Path, command: Command
) -> None:
    recipe = load_recipe(made)
    assert isinstance(recipe, TransferRecipe)
    other = dataclasses.replace(recipe, settings={**recipe.settings, "init": "c.png"})
    save_image("other.png", load_image(made).pixels, recipe=other.to_json())
    done = command("rerun", "other.png", "-o", "again.png")
    assert done.err == "Error: other.png holds a recipe whose init has no hash\n"
    assert done.code == 2


def test_rerun_needs_an_output_or_a_wish_to_list(made: Path, command: Command) -> None:
    done = command("rerun", made)
    assert done.err == "Error: say where the new picture goes with --output\n"
    assert done.code == 2


def test_a_recipe_that_names_a_pipe_does_not_hang(made: Path, command: Command) -> None:
    os.mkfifo("pipe.png")
    recipe = load_recipe(made)
    assert isinstance(recipe, TransferRecipe)
    other = dataclasses.replace(recipe, content=Input("pipe.png", "0" * 64))
    save_image("other.png", load_image(made).pixels, recipe=other.to_json())
    done = command("rerun", "other.png", "-o", "again.png")
    assert done.err == "Error: pipe.png is a pipe or a device, not a file\n"
    assert done.code == 2


@pytest.mark.parametrize("name", ["out.jpg", "out.png", "out.tif", "out.webp"])
def test_who_publishes_can_leave_out_recipe_and_metadata(transfer: Command, name: str) -> None:
    exif = camera_exif()
    Image.open("c.png").save("photo.jpg", exif=exif)
    Path("c.png").unlink()
    Path("photo.jpg").rename("c.png")
    transfer("-o", name, "--strip-metadata", "--save-every", "2", "--no-recipe")
    for path in (Path(name), Path(name).with_stem("out_0002")):
        content = path.read_bytes()
        assert len(Image.open(path).getexif()) == 0 or path.suffix == ".tif"
        assert b"styleforge" not in content
        assert b"c.png" not in content
    transfer("-o", name, "--no-recipe", "-f")
    assert load_image(name).exif != b""
    assert read_recipe(Path(name)) == ""
    transfer("-o", name, "--strip-metadata", "-f")
    assert isinstance(load_recipe(Path(name)), TransferRecipe)
    assert MAKE not in Image.open(name).getexif()


@pytest.mark.slow
def test_other_commands_can_leave_out_the_recipe(command: Command) -> None:
    write_model(Path("m.safetensors"))
    small = ("-s", "48", "-n", "1")
    for arguments in (
        ("stylize", "c.png", "-m", "m.safetensors"),
        ("dream", "c.png", "--layer", "conv1_1", *small),
        ("texture", "s.png", *small),
        ("reconstruct", "content", "c.png", "--layer", "conv1_1", *small),
        ("reconstruct", "style", "c.png", "--layer", "conv1_1", *small),
    ):
        done = command(*arguments, "-o", "out.png", "--no-recipe", "-f")
        assert done.code == 0, done
        assert read_recipe(Path("out.png")) == ""


def test_what_was_changed_on_the_way_is_shown_and_rerun(
    transfer: Command, command: Command
) -> None:
    assert transfer("-o", "plain.png", "-q").code == 0
    recipe = load_recipe(Path("plain.png"))
    assert isinstance(recipe, TransferRecipe)
    turn = Turn(2, {"strength": 0.8}, [1.5])
    told = dataclasses.replace(recipe, turns=[turn], evaluations=5)
    save_image(Path("made.png"), torch.zeros(1, 3, 40, 48), recipe=told.to_json())
    shown = command("info", "made.png").text.splitlines()
    assert "turned   strength 0.8, weights 1.5, after 2 evaluations" in shown
    assert "stopped  after 5 evaluations" in shown
    done = command("rerun", "made.png", "-o", "again.png", "--json")
    assert (done.code, done.json["evaluations"]) == (0, 5)
    assert load_recipe(Path("again.png")) == told
