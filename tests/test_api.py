"""The functions that Python programs call."""

from __future__ import annotations

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import styleforge
from styleforge import api
from styleforge.core.errors import UsageError
from styleforge.films.reading import open_film, read_frames
from styleforge.images.load import as_picture, load_image
from styleforge.jobs.recipe import load_recipe
from styleforge.transfers import run
from tests.conftest import CAFE, CHELSEA
from tests.films.made import pan, save
from tests.pictures import noise

PRESET = """
network: {normalized: false}
content: {layers: {conv2_1: 1.0}}
style: {layers: {conv1_1: 1.0}}
optimizer: {steps: 4}
scales: null
size: 48
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the examples name, small, and a quick preset."""
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for path, source in (("photo.jpg", CHELSEA), ("painting.jpg", CAFE)):
        image = Image.open(source)
        image.resize((96, round(96 * image.height / image.width))).save(path)
    for name in ("a.png", "b.png"):
        noise(48, 40, seed=ord(name[0])).save(Path("photos") / name)
    Path("p.yaml").write_text(PRESET)
    save(tmp_path / "clip.mp4", pan(3))
    return tmp_path


NAMES = {"styleforge": styleforge, "torch": torch, "load_preset": styleforge.load_preset}

EXAMPLES = [
    test
    for module in (api, run)
    for test in doctest.DocTestFinder().find(module, extraglobs=NAMES)
    if test.examples
]


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda test: test.name)
@pytest.mark.usefixtures("folder")
def test_the_examples_run(example: doctest.DocTest) -> None:
    assert doctest.DocTestRunner().run(example).failed == 0


def test_every_public_name_is_documented_and_listed() -> None:
    assert set(styleforge.__all__) == set(dir(styleforge))
    for name in styleforge.__all__:
        assert name == "__version__" or getattr(styleforge, name).__doc__
    with pytest.raises(AttributeError, match="has no attribute 'paint'"):
        _ = styleforge.paint  # type: ignore[attr-defined]


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_a_transfer_is_the_same_from_whatever_holds_the_images() -> None:
    photo, painting = load_image("photo.jpg").pixels, load_image("painting.jpg").pixels
    expected = styleforge.transfer("photo.jpg", "painting.jpg", preset="p.yaml")
    array = np.asarray(Image.open("photo.jpg"))
    for one, other in [
        (Path("photo.jpg"), Path("painting.jpg")),
        (Image.open("photo.jpg"), Image.open("painting.jpg")),
        (array, painting),
        (photo[0], [painting]),
        (load_image("photo.jpg"), [(painting, 3.0)]),
    ]:
        found = styleforge.transfer(one, other, preset="p.yaml")
        assert found.pixels.equal(expected.pixels)


@pytest.mark.usefixtures("folder")
def test_a_result_is_saved_with_its_recipe_and_shown() -> None:
    result = styleforge.transfer(
        "photo.jpg", "painting.jpg:0.5", preset="p.yaml", steps=2, settings={"tv": 3.0}
    )
    result.save("out.png")
    recipe = load_recipe(Path("out.png"))
    assert recipe == result.recipe
    assert isinstance(recipe, styleforge.jobs.recipe.TransferRecipe)
    assert (recipe.settings["tv"], recipe.settings["optimizer"]["steps"]) == (3.0, 2)
    assert recipe.styles[0].weight == 0.5
    assert Path("out.png").read_bytes() == result.png() == result._repr_png_()
    assert np.array_equal(np.asarray(result.image), np.asarray(Image.open("out.png")))
    with pytest.raises(UsageError, match="the name must end in one of"):
        result.save("out.txt")


@pytest.mark.usefixtures("folder")
def test_transparency_and_depth_are_kept() -> None:
    pixels = np.asarray(Image.open("photo.jpg"))
    alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
    alpha[:20] = 0
    result = styleforge.stylize(np.concatenate([pixels, alpha], 2), "mosaic")
    result.save("out.png")
    with Image.open("out.png") as image:
        assert image.mode == "RGBA"
        assert image.getchannel("A").getextrema() == (0, 255)


@pytest.mark.usefixtures("folder")
def test_a_run_can_be_stopped_early() -> None:
    stopped = styleforge.transfer_steps("photo.jpg", "painting.jpg", preset="p.yaml")
    for progress in stopped:
        if progress.step == 2:
            break
    two = styleforge.transfer("photo.jpg", "painting.jpg", preset="p.yaml", steps=2)
    torch.testing.assert_close(stopped.result().pixels, two.pixels)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (3, "an image is a path, a Pillow image, an array or a tensor (not of type int)"),
        (np.zeros((4, 4), int), "an array is of uint8, uint16 or floating point (not int64)"),
        (np.zeros((4, 4, 2)), "an array is (H, W), (H, W, 3) or (H, W, 4) (not (4, 4, 2))"),
        (np.full((4, 4), 2.0), "the numbers of an image are from 0 to 1"),
        (np.full((4, 4), np.nan), "the numbers of an image are from 0 to 1"),
        (torch.zeros(2, 3, 4, 4), "a tensor is (3, H, W) or (1, 3, H, W) (not (2, 3, 4, 4))"),
        (torch.zeros(4), "a tensor is (3, H, W) or (1, 3, H, W) (not (1, 4))"),
        ("no.png", "no such file: no.png"),
    ],
)
def test_what_is_no_image(image: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        as_picture(image)
    assert str(caught.value) == message


@pytest.mark.usefixtures("folder")
def test_mistakes_are_named() -> None:
    for call, message in [
        (lambda: styleforge.transfer("photo.jpg", []), "name a painting, or several"),
        (
            lambda: styleforge.transfer("photo.jpg", "painting.jpg", stepps=2),
            "no option 'stepps' (did you mean steps?)",
        ),
        (
            lambda: styleforge.transfer("photo.jpg", "painting.jpg", settings={"tvv": 1}),
            "painterly.yaml: tvv: unknown key (did you mean tv?)",
        ),
        (
            lambda: styleforge.transfer(np.zeros((8, 8)), "painting.jpg"),
            "picture is 8 x 8 pixels; both sides must have at least 32",
        ),
    ]:
        with pytest.raises(styleforge.UsageError) as caught:
            call()
        assert str(caught.value) == message


@pytest.mark.usefixtures("folder")
def test_grey_and_sixteen_bits() -> None:
    levels = np.linspace(0, 65535, 16, dtype=np.uint16).reshape(4, 4)
    found = as_picture(levels).pixels
    torch.testing.assert_close(found[0, 1], torch.from_numpy(levels / 65535).float())
    assert found.shape == (1, 3, 4, 4)
    assert as_picture(levels).sha256 != as_picture(levels[::-1].copy()).sha256


def test_a_film_is_painted_after_a_painting_and_only_once(folder: Path) -> None:
    painted = [
        styleforge.video("clip.mp4", "painting.jpg", output="out.mp4", preset="p.yaml", steps=1)
        for _ in range(2)
    ]
    assert [(one.frames, one.skipped) for one in painted] == [(3, False), (3, True)]
    assert (folder / "out.mp4").is_file()


def test_a_film_with_a_frame_painted_by_hand(folder: Path) -> None:
    Image.new("RGB", open_film(folder / "clip.mp4").size, "red").save(folder / "red.png")
    done = styleforge.video(
        *("clip.mp4", "painting.jpg"),
        output="out.mp4",
        preset="p.yaml",
        steps=1,
        keyframes={1: "red.png"},
        workers=2,
    )
    assert done.frames == 3
    frame = [*read_frames(open_film(done.output))][1].levels
    assert frame[..., 0].mean() > frame[..., 2].mean() + 200
