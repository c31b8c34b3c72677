from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import styleforge.networks.apply
from styleforge.core.files import MACHINE
from styleforge.images.load import load_image
from styleforge.images.save import to_levels
from styleforge.jobs.recipe import Input, StylizeRecipe, load_recipe, versions
from styleforge.networks.model_file import load_model
from styleforge.presets.networks import TextureSettings
from tests.cli.conftest import Command
from tests.cli.test_models import TINY_TEXTURE, model_folder, write_model
from tests.pictures import (
    DATE_TIME_ORIGINAL,
    EXIF_IFD,
    MAKE,
    ORIENTATION,
    camera_exif,
    flat,
    noise,
    opened,
)

MODEL = Path("m.safetensors")
STYLIZING_TEXTURE = TextureSettings(scales=3, width=2, content=True, normalization="instance")


@pytest.fixture
def model(folder: Path) -> Path:
    """m.safetensors, with the styles cafe and harvest."""
    write_model(folder / MODEL)
    return folder / MODEL


@pytest.fixture
def stylize(model: Path, command: Command) -> Command:
    """``stylize("-o", "out.png")``: c.png through m.safetensors."""
    assert model.exists()
    return lambda *options: command("stylize", "c.png", "-m", MODEL, *options)


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return model_folder(folder, monkeypatch)


def levels(name: str) -> np.ndarray[Any, Any]:
    """(H, W, C) of an 8-bit picture, as signed numbers."""
    return np.asarray(Image.open(name)).astype(int)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def expected(mixture: dict[str, float]) -> np.ndarray[Any, Any]:
    """What the model makes of c.png, by the function behind the command."""
    model = load_model(MODEL)
    photo = load_image("c.png").pixels
    made = styleforge.networks.apply.stylize(
        model.network, photo, model.mixture(mixture), memory=2**40
    )
    return to_levels(made).astype(int)


def test_it_writes_a_picture_with_its_recipe(stylize: Command) -> None:
    done = stylize("-o", "out.png")
    assert (done.code, done.out) == (0, b"")
    image = opened(Path("out.png").read_bytes())
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", (48, 40))
    assert np.array_equal(levels("out.png"), expected({"cafe": 1}))
    assert load_recipe(Path("out.png")) == StylizeRecipe(
        model=Input("m.safetensors", load_model(MODEL).sha256),
        styles={"cafe": 1.0},
        content=Input("c.png", load_image("c.png").sha256),
        size=0,
        strength=1.0,
        colors="style",
        seed=0,
        device="cpu",
        depth=8,
        versions=versions(),
    )


def test_a_mask_leaves_the_photo_where_it_is_black(folder: Path, stylize: Command) -> None:
    mask = np.zeros((40, 48), np.uint8)
    mask[:, :24] = 255
    Image.fromarray(mask).save(folder / "left.png")
    Image.fromarray(255 - mask).save(folder / "right.png")
    assert stylize("-o", "half.png", "--mask", "left.png").code == 0
    assert np.array_equal(levels("half.png")[:, 24:], levels("c.png")[:, 24:])
    assert np.array_equal(levels("half.png")[:, :24], expected({"cafe": 1})[:, :24])
    both = ("--style", "harvest", "--style", "cafe", "--mask", "left.png", "--mask", "right.png")
    assert stylize("-o", "halves.png", *both).code == 0
    assert np.array_equal(levels("halves.png")[:, 24:], expected({"cafe": 1})[:, 24:])
    assert np.array_equal(levels("halves.png")[:, :24], expected({"harvest": 1})[:, :24])
    done = stylize("-o", "third.png", *both[:-2])
    assert (done.code, done.err) == (
        2,
        "Error: masks and styles differ in number (1 and 2): "
        "give one mask for each style, in the same order\n",
    )
    assert stylize("-o", "left.png", "--mask", "left.png", "-f").code == 2
    assert names(folder) >= {"left.png", "half.png", "halves.png"}


def test_the_summary_names_the_file_the_model_and_the_styles(stylize: Command) -> None:
    one = stylize("-o", "a.png").err
    assert re.fullmatch(r"Saved a.png \(48 x 40\) in \d+\.\d s\nmodel m, style cafe\n", one)
    two = stylize("-o", "b.png", "--style", "cafe:0.7", "--style", "harvest:0.3").err
    assert two.endswith("\nmodel m, style cafe:0.7, harvest:0.3\n")


def test_the_default_output_is_named_after_photo_and_styles(
    folder: Path, command: Command, model: Path
) -> None:
    (folder / "photos").mkdir()
    (folder / "c.png").rename("photos/cat.png")
    for styles in ((), ("--style", "harvest:2", "--style", "cafe")):
        assert command("stylize", "photos/cat.png", "-m", model, *styles).code == 0
    assert {"cat_cafe.png", "cat_harvest_cafe.png"} < names(folder)
    assert names(folder / "photos") == {"cat.png"}


def test_a_dash_writes_a_png_to_standard_output(folder: Path, stylize: Command) -> None:
    before = names(folder)
    done = stylize("-o", "-")
    assert done.code == 0
    assert opened(done.out).format == "PNG"
    assert done.err.startswith("Saved - (48 x 40) in ")
    assert names(folder) == before
    stylize("-o", "out.png")
    assert Path("out.png").read_bytes() == done.out


def test_json_is_one_object_on_one_line(stylize: Command) -> None:
    report = stylize("-o", "out.png", "--json", "-s", "24", "--style", "harvest").json
    assert report.pop("seconds") >= 0
    assert report.pop("device").startswith("cpu (")
    assert report == {
        "output": "out.png",
        "width": 24,
        "height": 20,
        "model": "m.safetensors",
        "styles": {"harvest": 1.0},
    }


def test_what_was_killed_while_it_wrote_the_picture_leaves_nothing(stylize: Command) -> None:
    half = Path(f".out.png.{2**22 + 1}.{MACHINE}-abcdefgh")
    half.touch()
    assert stylize("-o", "out.png").code == 0
    assert not half.exists()


def test_quiet_prints_nothing(stylize: Command) -> None:
    done = stylize("-o", "out.png", "-q")
    assert (done.code, done.out, done.err) == (0, b"", "")
    assert Path("out.png").is_file()


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("o.jpg", "JPEG"),
        ("o.jpeg", "JPEG"),
        ("o.webp", "WEBP"),
        ("o.tif", "TIFF"),
        ("o.tiff", "TIFF"),
        ("O.PNG", "PNG"),
    ],
)
def test_the_output_has_the_format_of_its_name(
    stylize: Command, name: str, file_format: str
) -> None:
    assert stylize("-o", name).code == 0
    image = opened(Path(name).read_bytes())
    assert (image.format, image.size) == (file_format, (48, 40))
    assert np.abs(levels(name) - expected({"cafe": 1})).mean() < 2
    assert load_recipe(Path(name)).depth == 8


def test_16_bits(stylize: Command) -> None:
    assert stylize("-o", "out.tif", "--depth", "16").code == 0
    assert stylize("-o", "out.png", "--depth", "16").code == 0
    array = tifffile.imread("out.tif")
    assert array.dtype == np.uint16
    assert np.abs(array / 257 - expected({"cafe": 1})).max() <= 0.5
    assert Path("out.png").read_bytes()[24] == 16
    assert load_recipe(Path("out.png")).depth == 16


@pytest.mark.parametrize("name", ["out.png", "out.webp", "out.tif"])
def test_alpha_and_exif_are_kept(folder: Path, stylize: Command, name: str) -> None:
    array = flat(200, 30, 60, 255)
    array[:, :24, 3] = 0  # the left half of the stored picture is invisible
    Image.fromarray(array).save(folder / "c.png", exif=camera_exif(orientation=6))
    assert stylize("-o", name).code == 0
    image = opened(Path(name).read_bytes())
    assert (image.mode, image.size) == ("RGBA", (40, 48)), "upright"
    assert np.array_equal(np.unique(levels(name)[:24, :, 3]), [0])
    assert np.array_equal(np.unique(levels(name)[24:, :, 3]), [255])
    exif = image.getexif()
    assert ORIENTATION not in exif
    assert exif[MAKE] == "Canon"
    if image.format != "TIFF":
        assert exif.get_ifd(EXIF_IFD)[DATE_TIME_ORIGINAL] == "2020:01:02 03:04:05"
    assert stylize("-o", "small.png", "-s", "24").code == 0
    assert opened(Path("small.png").read_bytes()).size == (20, 24)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (37, 2), (17, 23), (51, 33), (64, 16)], ids=str)
def test_a_picture_of_any_size_keeps_it(
    folder: Path, stylize: Command, size: tuple[int, int]
) -> None:
    noise(*size).save(folder / "c.png")
    assert stylize("-o", "out.png").code == 0
    assert levels("out.png").shape == (size[1], size[0], 3)
    assert load_recipe(Path("out.png")).content.path == "c.png"


@pytest.mark.parametrize(
    ("longest", "size"), [(24, (24, 20)), (49, (49, 41)), (96, (96, 80)), (1, (1, 1))]
)
def test_the_longest_side_is_the_size(
    stylize: Command, longest: int, size: tuple[int, int]
) -> None:
    assert stylize("-o", "out.png", "-s", longest).code == 0
    assert opened(Path("out.png").read_bytes()).size == size


def test_strength_goes_from_the_photo_to_the_style(stylize: Command) -> None:
    for strength in ("0", "0.5", "1"):
        stylize("-o", f"{strength}.png", "--strength", strength)
    photo, whole = levels("c.png"), levels("1.png")
    assert np.abs(levels("0.png") - photo).max() <= 1
    assert np.abs(2 * levels("0.5.png") - photo - whole).max() <= 2
    assert np.abs(whole - photo).mean() > 20


def test_a_mixture_is_in_the_proportion_of_its_weights(stylize: Command) -> None:
    mixtures = {"a.png": ("cafe:0.7", "harvest:0.3"), "b.png": ("harvest:3", "cafe:7")}
    for name, (first, second) in mixtures.items():
        assert stylize("-o", name, "--style", first, "--style", second).code == 0
        assert np.array_equal(levels(name), expected({"cafe": 0.7, "harvest": 0.3}))
    for alone in ("cafe", "harvest"):
        assert not np.array_equal(levels("a.png"), expected({alone: 1}))


@pytest.mark.parametrize("weight", ["1e-50", "1e50"])
def test_a_weight_may_be_tiny_or_huge(stylize: Command, weight: str) -> None:
    assert stylize("-o", "out.png", "--style", f"harvest:{weight}").code == 0
    assert np.array_equal(levels("out.png"), expected({"harvest": 1}))


def test_kept_colors_are_the_photos_at_the_pastiches_luminance(stylize: Command) -> None:
    stylize("-o", "style.png")
    stylize("-o", "keep.png", "--colors", "keep")
    photo, style, kept = (levels(name) for name in ("c.png", "style.png", "keep.png"))
    inside = ((kept > 0) & (kept < 255)).all(2)
    assert inside.mean() > 0.5
    for first, second in ((0, 1), (1, 2)):
        chroma = [image[..., first] - image[..., second] for image in (photo, kept)]
        assert np.abs(chroma[0] - chroma[1])[inside].max() <= 1
    luminance = np.array([0.299, 0.587, 0.114])
    assert np.abs((kept - style) @ luminance)[inside].max() <= 1


@pytest.mark.parametrize(
    ("options", "style"),
    [
        (("-m", "mine"), "cafe"),
        (("-m", "harvest"), "harvest"),
        (("-m", "mine", "--style", "harvest"), "harvest"),
        (("--style", "harvest"), "harvest"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else value,
)
def test_a_model_by_name_or_style(
    home: Path, command: Command, options: tuple[str, ...], style: str
) -> None:
    write_model(home / "mine.safetensors", seed=1)
    write_model(Path("shipped/models/ours.safetensors"), styles=("sea", "harvest"))
    report = command("stylize", "c.png", *options, "-o", "out.png", "--json").json
    assert Path(report["model"]).resolve() == (home / "mine.safetensors").resolve()
    assert report["styles"] == {style: 1.0}


def test_a_style_is_found_although_another_model_has_its_name(home: Path, command: Command) -> None:
    write_model(home / "cafe.safetensors", styles=("sea",))
    write_model(home / "mine.safetensors")
    report = command("stylize", "c.png", "--style", "cafe", "-o", "out.png", "--json").json
    assert report["model"] == str(home / "mine.safetensors")


def test_names_that_are_unknown(home: Path, command: Command) -> None:
    for arguments, message in (
        ((), "no model ships with this installation; name one with --model"),
        (
            ("--style", "cafe"),
            "no model or style 'cafe'; none are installed; give the path of a .safetensors file",
        ),
    ):
        done = command("stylize", "c.png", *arguments)
        assert (done.code, done.err) == (4, f"Error: {message}\n")
    write_model(home / "mine.safetensors")
    there = "there are mine, cafe, harvest, or give the path of a .safetensors file"
    for arguments, message in (
        (("--style", "caffe"), f"no model or style 'caffe' (did you mean cafe?); {there}"),
        (("-m", "min"), f"no model or style 'min' (did you mean mine?); {there}"),
        (("-m", "zzz"), f"no model or style 'zzz'; {there}"),
    ):
        done = command("stylize", "c.png", *arguments)
        assert (done.code, done.err) == (4, f"Error: {message}\n")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--style", "havest"),
            "m has no style 'havest' (did you mean harvest?); it has cafe, harvest",
        ),
        (
            ("--style", "cafe", "--style", "zzz:2"),
            "m has no style 'zzz'; it has cafe, harvest",
        ),
        (
            ("--style", "cafe:0"),
            "cafe:0: the weight of a style must be positive (not 0)",
        ),
        (("--strength", "1.5"), "--strength is from 0 to 1 (not 1.5)"),
        (("--strength", "-0.1"), "--strength is from 0 to 1 (not -0.1)"),
        (("--strength", "nan"), "--strength is from 0 to 1 (not nan)"),
        (("--colors", "photo"), "--colors is style, content, luminance, keep (not 'photo')"),
        (
            ("-s", "-1"),
            "Invalid value for '-s' / '--size': Input should be greater than or equal to 0",
        ),
        (("-s", "32769"), "--size is from 0 to 32768 (not 32769)"),
        (("--depth", "12"), "--depth is 8 or 16 (not 12)"),
        (("--memory", "8"), "--memory is a size such as 8GiB or 500MiB (not '8')"),
        (("-d", "gpu"), "unknown device 'gpu'; use auto, cpu, cuda, cuda:N or mps"),
        (("-o", "out.jpg", "--depth", "16"), "out.jpg: 16 bits need a .png or .tif file"),
        (("-o", "no/out.png"), "no such folder: no"),
        (("-o", "there.png"), "there.png exists; use --force to overwrite it"),
        (("-o", "c.png", "-f"), "c.png is one of the inputs; choose another output"),
        (("-o", "./c.png", "-f"), "c.png is one of the inputs; choose another output"),
        (
            ("-o", "-", "--json"),
            "--json and -o - both want standard output; name an output file",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake(folder: Path, stylize: Command, options: tuple[str, ...], message: str) -> None:
    (folder / "there.png").write_bytes(b"mine")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    done = stylize(*options)
    assert done.err == f"Error: {message}\n"
    assert done.code == 2
    assert done.out == b"" if "--json" not in options else done.json["error"] == message
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_photo_that_is_none(model: Path, command: Command) -> None:
    Path("text.jpg").write_bytes(b"this is not a photo")
    for name, message in (
        ("no.jpg", "no such file: no.jpg"),
        ("text.jpg", "text.jpg is not an image that can be read"),
    ):
        done = command("stylize", name, "-m", model)
        assert (done.code, done.err) == (2, f"Error: {message}\n")


def test_it_overwrites_with_force(stylize: Command) -> None:
    Path("out.png").write_bytes(b"mine")
    assert stylize("-o", "out.png", "-f").code == 0
    assert opened(Path("out.png").read_bytes()).size == (48, 40)


def test_several_photos_go_into_a_folder_and_each_is_as_by_itself(
    folder: Path, command: Command, model: Path
) -> None:
    shutil.copy("s.png", "t.png")
    done = command("stylize", "c.png", "t.png", "-m", model, "-o", "painted", "--style", "cafe")
    assert done.code == 0
    assert names(folder / "painted") == {"c_cafe.png", "t_cafe.png"}
    assert done.err.count("Saved painted/") == 2
    assert command("stylize", "t.png", "-m", model, "-o", "alone.png").code == 0
    assert Path("painted/t_cafe.png").read_bytes() == Path("alone.png").read_bytes()


def test_where_one_of_several_photos_fails_the_others_are_painted(
    folder: Path, command: Command, model: Path
) -> None:
    done = command("stylize", "no.jpg", "c.png", "s.png", "-m", model, "--json")
    assert done.code == 1
    assert "Error: no such file: no.jpg\n" in done.err
    assert {"c_cafe.png", "s_cafe.png"} < names(folder)
    reports = [json.loads(line) for line in done.out.splitlines()]
    assert [report["output"] for report in reports] == ["c_cafe.png", "s_cafe.png"]
    assert command("stylize", "no.jpg", "nor.jpg", "-m", model).code == 2


def test_two_photos_of_one_name_are_numbered(folder: Path, command: Command, model: Path) -> None:
    (folder / "other").mkdir()
    shutil.copy("s.png", "other/c.png")
    both = ("stylize", "c.png", "other/c.png", "-m", model)
    assert command(*both).code == 0
    assert {"c_cafe.png", "c_cafe_2.png"} < names(folder)
    done = command(*both, "-f")
    message = "two photos are named c; without --force they are numbered"
    assert (done.code, done.err) == (2, f"Error: {message}\n")


@pytest.mark.parametrize("output", ["-", "out.png"])
def test_several_photos_are_not_one_file(command: Command, model: Path, output: str) -> None:
    done = command("stylize", "c.png", "s.png", "-m", model, "-o", output)
    assert (done.code, done.err) == (2, f"Error: {output}: several photos go into a folder\n")


def test_a_texture_model_is_refused(folder: Path, stylize: Command) -> None:
    write_model(folder / MODEL, TINY_TEXTURE, styles=("oak",))
    done = stylize()
    assert done.err == ("Error: m makes textures: use texture with --model m.safetensors\n")
    assert done.code == 2


def test_a_texture_network_that_stylizes_depends_on_the_seed(
    folder: Path, stylize: Command
) -> None:
    write_model(folder / MODEL, STYLIZING_TEXTURE, styles=("oak",))
    noise(45, 39).save(folder / "c.png")
    for name, seed in (("a.png", 3), ("b.png", 3), ("d.png", 4)):
        assert stylize("-o", name, "--seed", seed).code == 0
    first, again, other = (Path(name).read_bytes() for name in ("a.png", "b.png", "d.png"))
    assert first == again
    assert not np.array_equal(levels("a.png"), levels("d.png"))
    assert levels("a.png").shape == (39, 45, 3)
    assert load_recipe(Path("d.png")).seed == 4
    assert other != first


def spoiled(kind: str) -> None:
    """Damage m.safetensors."""
    with safe_open(MODEL, "pt") as file:
        metadata = dict(file.metadata())
    info, tensors = json.loads(metadata["styleforge"]), load_file(MODEL)
    if kind == "newer":
        info["format"] = 2
    elif kind == "format":
        info["format"] = "one"
    elif kind == "generator":
        info["generator"]["kind"] = "diffusion"
    elif kind == "styles":
        info["styles"] = []
    elif kind == "fewer":
        info["styles"].pop()
    elif kind == "missing":
        del tensors["output.bias"]
    elif kind == "shape":
        tensors["output.bias"] = torch.zeros(4)
    metadata["styleforge"] = json.dumps(info)
    save_file(tensors, MODEL, {"format": "pt"} if kind == "foreign" else metadata)


NO_DESCRIPTION = "does not describe a network that can be read"
OTHER_WEIGHTS = "does not hold the weights of the network it describes"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("foreign", "is a .safetensors file, but not a styleforge model"),
        ("newer", "was made by a newer styleforge; upgrade to use it"),
        ("format", NO_DESCRIPTION),
        ("generator", NO_DESCRIPTION),
        ("styles", NO_DESCRIPTION),
        ("fewer", OTHER_WEIGHTS),
        ("missing", OTHER_WEIGHTS),
        ("shape", OTHER_WEIGHTS),
    ],
)
def test_a_model_that_cannot_be_used(stylize: Command, kind: str, message: str) -> None:
    spoiled(kind)
    done = stylize("-o", "out.png")
    assert done.err == f"Error: m.safetensors {message}\n"
    assert done.code == 4
    assert not Path("out.png").exists()


@pytest.mark.parametrize("length", [0, 4, 100, -100])
def test_a_model_that_is_cut_short(stylize: Command, length: int) -> None:
    MODEL.write_bytes(MODEL.read_bytes()[:length])
    done = stylize()
    assert done.err.startswith("Error: m.safetensors is not a whole .safetensors file (")
    assert done.err.count("\n") == 1
    assert done.code == 4


def test_a_model_that_is_missing(command: Command) -> None:
    done = command("stylize", "c.png", "-m", "no.safetensors")
    assert (done.code, done.err) == (4, "Error: no such model file: no.safetensors\n")


@pytest.mark.parametrize("way", ["option", "environment"])
def test_in_little_memory_the_picture_is_made_in_tiles(
    folder: Path, stylize: Command, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    noise(1101, 37).save(folder / "c.png")
    stylize("-o", "whole.png")
    tiled, in_tiles = [], styleforge.networks.apply.in_tiles

    def watched(*arguments: Any) -> torch.Tensor:
        tiled.append(arguments)
        return in_tiles(*arguments)

    monkeypatch.setattr(styleforge.networks.apply, "in_tiles", watched)
    if way == "environment":
        monkeypatch.setenv("STYLEFORGE_MEMORY", "100MiB")
        assert stylize("-o", "tiles.png").code == 0
    else:
        assert stylize("-o", "tiles.png", "--memory", "100MiB").code == 0
    assert len(tiled) == 1
    assert np.abs(levels("tiles.png") - levels("whole.png")).max() <= 1


def test_out_of_memory(stylize: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("styleforge.jobs.painters.Stylizer", failing)
    done = stylize("-o", "out.png")
    assert done.err == "Error: out of memory at 48 x 40 pixels; try --size 24\n"
    assert done.code == 3
    assert not Path("out.png").exists()
