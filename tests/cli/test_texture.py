from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import numpy as np
import pytest
import tifffile

from styleforge.presets.networks import TextureSettings
from tests.cli.conftest import Command
from tests.cli.test_models import TINY_TEXTURE, model_folder, write_model
from tests.conftest import mostly_slow
from tests.pictures import opened

PERIOD = 4


@pytest.fixture
def texture(folder: Path, command: Command) -> Command:
    """``texture("-o", "out.png")``: from oak.safetensors, of the style oak."""
    write_model(folder / "wood.safetensors", TINY_TEXTURE, styles=("oak",))
    return lambda *options: command("texture", "-m", "wood.safetensors", *options)


@pytest.mark.parametrize("size", [(48, 32), (37, 51), (1, 1), (5, 64)], ids=str)
def test_a_texture_has_the_size_that_is_wanted(texture: Command, size: tuple[int, int]) -> None:
    done = texture("-s", f"{size[0]}x{size[1]}", "-o", "out.png")
    assert (done.code, done.out) == (0, b"")
    image = opened(Path("out.png").read_bytes())
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", size)
    line = rf"Saved out.png \({size[0]} x {size[1]}\) in \d+\.\d s\n"
    assert re.fullmatch(line, done.err)


def test_the_default_name_says_style_and_size(texture: Command) -> None:
    assert texture("-s", "40", "-q").err == ""
    assert opened(Path("oak_40x40.png").read_bytes()).size == (40, 40)


@pytest.mark.parametrize("name", ["../escaped", "/escaped", "\x1b[2J"])
def test_a_foreign_models_style_does_not_choose_where_to_write(
    name: str, folder: Path, command: Command
) -> None:
    write_model(folder / "foreign.safetensors", TINY_TEXTURE, styles=(name,))
    before = sorted(folder.parent.rglob("*"))
    done = command("texture", "-m", "foreign.safetensors", "-s", "40")
    line = f"foreign.safetensors has a style named {name!r}, which may not name a file"
    assert (done.code, done.out, done.err) == (4, b"", f"Error: {line}\n")
    assert sorted(folder.parent.rglob("*")) == before


def test_the_default_size_is_512(texture: Command) -> None:
    texture()
    assert opened(Path("oak_512x512.png").read_bytes()).size == (512, 512)


def test_another_seed_makes_another_piece(texture: Command) -> None:
    for name, seed in (("a.tif", 1), ("b.tif", 1), ("c2.tif", 2)):
        texture("-s", "32", "--seed", seed, "--depth", "16", "-o", name)
    first, again, other = (tifffile.imread(name) for name in ("a.tif", "b.tif", "c2.tif"))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ["a.jpg", "a.webp", "a.tif"])
def test_the_output_has_the_format_of_its_name(texture: Command, name: str) -> None:
    assert texture("-s", "32", "-o", name).code == 0
    assert opened(Path(name).read_bytes()).size == (32, 32)


def test_opposite_edges_of_a_tile_fit_together(folder: Path, texture: Command) -> None:
    """The step across the wrap is like those elsewhere; that between unrelated columns is not."""
    write_model(folder / "wood.safetensors", TINY_TEXTURE, styles=("oak",), seed=1)
    assert texture("-s", "128x128", "--tile", "--depth", "16", "-o", "out.tif").code == 0
    picture = tifffile.imread("out.tif").astype(float)
    for image in (picture, picture.transpose(1, 0, 2)):
        steps = np.abs(np.roll(image, -1, 1) - image).mean((0, 2))
        *inside, seam = steps[PERIOD - 1 :: PERIOD]  # where the coarsest noise changes, too
        unrelated = np.abs(np.roll(image, -64, 1) - image).mean()
        assert seam < 1.1 * np.mean(inside)
        assert seam < 0.7 * unrelated


def test_a_tile_needs_sides_that_are_multiples_of_the_period(texture: Command) -> None:
    done = texture("-s", "50x1", "--tile")
    assert done.err == ("Error: --tile needs sides that are multiples of 4 pixels, such as 48x4\n")
    assert done.code == 2
    assert texture("-s", "48x4", "--tile").code == 0


def test_a_texture_by_the_name_of_its_style_or_model(
    folder: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = model_folder(folder, monkeypatch)
    write_model(home / "wood.safetensors", TINY_TEXTURE, styles=("oak",))
    for arguments in (("oak",), ("-m", "wood"), ("oak", "-m", "wood")):
        assert command("texture", *arguments, "-s", "32", "-o", "out.png", "-f").code == 0
    done = command("texture", "oka", "-m", "wood")
    assert done.err == "Error: wood has no style 'oka' (did you mean oak?); it has oak\n"
    assert done.code == 2
    done = command("texture", "oka")
    assert done.err == (
        "Error: no model or style 'oka' (did you mean oak?); "
        "there are wood, oak, or give the path of a .safetensors file\n"
    )
    assert done.code == 4


@pytest.mark.parametrize(
    "settings",
    [None, TextureSettings(scales=2, width=2, content=True)],
    ids=["transformer", "content"],
)
def test_a_model_that_stylizes_is_refused(
    folder: Path, command: Command, settings: TextureSettings | None
) -> None:
    if settings is None:
        write_model(folder / "m.safetensors")
    else:
        write_model(folder / "m.safetensors", settings, styles=("oak",))
    done = command("texture", "-m", "m.safetensors")
    assert done.err == ("Error: m stylizes photos: use stylize with --model m.safetensors\n")
    assert done.code == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-s", "big"), "--size is WIDTHxHEIGHT in pixels, such as 1024x768 (not 'big')"),
        (("--depth", "12"), "--depth is 8 or 16 (not 12)"),
        (("-d", "gpu"), "unknown device 'gpu'; use auto, cpu, cuda, cuda:N or mps"),
        (("-o", "out.jpg", "--depth", "16"), "out.jpg: 16 bits need a .png or .tif file"),
        (("-o", "no/out.png"), "no such folder: no"),
        (("-o", "c.png"), "c.png exists; use --force to overwrite it"),
        (("-s", "40x48", "-o", "dir.png"), "dir.png is a directory; name a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake(folder: Path, texture: Command, options: tuple[str, ...], message: str) -> None:
    (folder / "dir.png").mkdir()
    before = {path.name for path in folder.iterdir()}
    done = texture(*options)
    assert done.err == f"Error: {message}\n"
    assert (done.code, done.out) == (2, b"")
    assert {path.name for path in folder.iterdir()} == before


def test_it_overwrites_with_force(texture: Command) -> None:
    assert texture("-s", "32", "-o", "c.png", "-f").code == 0
    assert opened(Path("c.png").read_bytes()).size == (32, 32)


def test_a_texture_must_be_named(command: Command) -> None:
    done = command("texture")
    assert (done.code, done.err) == (
        2,
        "Error: name a painting, a texture, or a model with --model\n",
    )


def test_a_model_that_is_missing(command: Command) -> None:
    done = command("texture", "-m", "no.safetensors")
    assert (done.code, done.err) == (4, "Error: no such model file: no.safetensors\n")


SYNTHESIS = ("texture", "s.png", "-n", "2")


@pytest.mark.parametrize("size", mostly_slow([(48, 32), (37, 51)]), ids=str)
def test_a_texture_from_a_painting_has_the_size_that_is_wanted(
    command: Command, size: tuple[int, int]
) -> None:
    done = command(*SYNTHESIS, "-s", f"{size[0]}x{size[1]}")
    assert (done.code, done.out) == (0, b"")
    name = f"s_{size[0]}x{size[1]}.png"
    assert opened(Path(name).read_bytes()).size == size
    line = rf"Saved {name} \({size[0]} x {size[1]}\) in \d+\.\d s\n"
    assert re.fullmatch(line, done.err)


@pytest.mark.slow
def test_another_seed_makes_another_piece_of_a_painting(command: Command) -> None:
    for name, seed in (("a.tif", 1), ("b.tif", 1), ("d.tif", 2)):
        options = ("-s", "32", "--seed", seed, "--depth", "16", "-o", name)
        assert command(*SYNTHESIS, *options).code == 0
    first, again, other = (tifffile.imread(name) for name in ("a.tif", "b.tif", "d.tif"))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.slow
def test_a_tile_from_a_painting_has_sides_that_are_multiples_of_16(command: Command) -> None:
    done = command(*SYNTHESIS, "-s", "50x40", "--tile")
    assert done.err == (
        "Error: --tile needs sides that are multiples of 16 pixels, such as 48x32\n"
    )
    assert done.code == 2
    assert command(*SYNTHESIS, "-s", "48x32", "--tile").code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("no.jpg",), "no such file: no.jpg"),
        (
            ("s.png", "-s", "64x20"),
            "a texture from a painting needs at least 32 pixels a side (not 64x20)",
        ),
        (
            ("-m", "wood.safetensors", "-n", "5"),
            "--steps is for a texture from a painting; a trained network takes none",
        ),
        (("s.png", "-o", "s.png", "-f"), "s.png is one of the inputs; choose another output"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_mistake_with_a_painting(
    command: Command, arguments: tuple[str, ...], message: str
) -> None:
    before = {path.name for path in Path().iterdir()}
    done = command("texture", *arguments)
    assert (done.code, done.out, done.err) == (2, b"", f"Error: {message}\n")
    assert {path.name for path in Path().iterdir()} == before


@pytest.mark.slow
def test_an_interruption_saves_the_texture_so_far(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("styleforge.cli.progress.tqdm.set_postfix_str", interrupted)
    done = command(*SYNTHESIS, "-s", "48x32", "-o", "out.png")
    assert done.code == 130
    assert done.err.startswith("Interrupted: saved what there is as out.png (48 x 32) in ")
    assert opened(Path("out.png").read_bytes()).size == (48, 32)
