from __future__ import annotations

import errno
import io
import os
import shutil
import struct
import tempfile
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import png
import pytest
import tifffile
import torch
from PIL import Image, ImageCms
from torch import Tensor

from styleforge.core.errors import UsageError, WorkError
from styleforge.images import save as output
from styleforge.images.exif import resolution_of
from styleforge.images.load import load_image
from styleforge.images.opening import read_recipe
from styleforge.images.save import Depth, check_output, encode_image, save_image, to_levels
from tests.pictures import (
    COLOR_SPACE,
    COPYRIGHT,
    DATE_TIME_ORIGINAL,
    EXIF_IFD,
    GPS_IFD,
    MAKE,
    MAKER_NOTE,
    ORIENTATION,
    PIXEL_HEIGHT,
    PIXEL_WIDTH,
    USER_COMMENT,
    camera_exif,
    noise,
    opened,
)

ALL = [("PNG", 8), ("JPEG", 8), ("WEBP", 8), ("TIFF", 8), ("PNG", 16), ("TIFF", 16)]
SUFFIX = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "TIFF": ".tif"}
RECIPE = '{"styleforge":{"seed":0}}'


@pytest.fixture
def pixels() -> Tensor:
    return torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def alpha() -> Tensor:
    return torch.linspace(0, 1, 48).expand(1, 1, 40, 48)


def decoded(content: bytes, depth: int) -> Any:
    """The levels of a PNG or TIFF, by readers that know 16 bits."""
    if content.startswith(b"II"):
        return tifffile.imread(io.BytesIO(content))
    if depth == 8:
        return np.asarray(opened(content))
    width, _, rows, info = png.Reader(bytes=content).read()
    assert info["bitdepth"] == 16
    return np.stack(list(rows)).astype(np.uint16).reshape(-1, width, info["planes"])


def test_convention_rounding() -> None:
    exact = torch.tensor([0.0, 0.4999, 0.5001, 100.4, 100.6, 254.4999, 254.5001, 255.0]) / 255
    levels = to_levels(exact.expand(1, 3, 2, 8))
    assert levels.dtype == np.uint8
    assert levels.shape == (2, 8, 3)
    assert levels[0, :, 0].tolist() == [0, 0, 1, 100, 101, 254, 255, 255]


def test_convention_rounding_in_16_bits() -> None:
    exact = torch.tensor([0.0, 0.4, 0.6, 30000.4, 30000.6, 65535.0], dtype=torch.float64) / 65535
    levels = to_levels(exact.expand(1, 3, 2, 6), 16)
    assert levels.dtype == np.uint16
    assert levels[0, :, 0].tolist() == [0, 0, 1, 30000, 30001, 65535]


def test_values_outside_the_range_are_clamped_and_not_wrapped() -> None:
    assert to_levels(torch.tensor([-0.1, 1.1]).expand(1, 3, 1, 2))[0, :, 0].tolist() == [0, 255]


@pytest.mark.parametrize("depth", [8, 16])
def test_every_level_comes_back_from_a_file(tmp_path: Path, depth: Any) -> None:
    top = 2**depth - 1
    levels = torch.linspace(0, top, 48 * 40, dtype=torch.float64).round()
    levels = levels.view(1, 1, 40, 48).expand(1, 3, -1, -1)
    expected = levels[0].permute(1, 2, 0).numpy()
    for file_format in ("PNG", "TIFF"):
        content = encode_image(levels / top, file_format, depth=depth)
        assert np.array_equal(decoded(content, depth), expected), file_format
        if depth == 8:
            (tmp_path / "a.png").write_bytes(content)
            again = load_image(tmp_path / "a.png").pixels
            assert np.array_equal(to_levels(again), expected), file_format


@pytest.mark.parametrize(("file_format", "depth"), ALL)
def test_pillow_opens_every_format(photo: Tensor, file_format: str, depth: Any) -> None:
    image = opened(encode_image(photo, file_format, depth=depth))
    assert image.format == file_format
    assert image.mode == "RGB"
    assert image.size == (64, photo.shape[2])
    difference = np.asarray(image) / 255 - photo[0].permute(1, 2, 0).numpy()
    assert np.abs(difference).mean() < 0.01


@pytest.mark.parametrize(("file_format", "depth"), ALL)
def test_every_format_is_tagged_as_srgb(pixels: Tensor, file_format: str, depth: Any) -> None:
    info = opened(encode_image(pixels, file_format, depth=depth)).info
    if file_format == "PNG" and depth == 16:
        assert info["srgb"] == 0
        return
    profile = ImageCms.ImageCmsProfile(io.BytesIO(info["icc_profile"]))
    assert ImageCms.getProfileDescription(profile).startswith("sRGB")


@pytest.mark.parametrize(("file_format", "depth"), [case for case in ALL if case[0] != "JPEG"])
def test_alpha_is_kept(pixels: Tensor, alpha: Tensor, file_format: str, depth: Any) -> None:
    content = encode_image(pixels, file_format, alpha=alpha, depth=depth)
    assert opened(content).mode == "RGBA"
    assert np.array_equal(np.asarray(opened(content))[..., 3], alpha_levels(content, alpha, depth))


@pytest.mark.parametrize(("file_format", "depth"), ALL)
def test_the_same_picture_has_the_same_bytes_tomorrow(
    pixels: Tensor, monkeypatch: pytest.MonkeyPatch, file_format: str, depth: Any
) -> None:
    today = encode_image(pixels, file_format, depth=depth)
    real = ImageCms.ImageCmsProfile.tobytes

    def dated(profile: ImageCms.ImageCmsProfile) -> bytes:
        content = real(profile)  # bytes 24 to 35 are the date of creation
        return content[:24] + struct.pack(">6H", 2031, 2, 3, 4, 5, 6) + content[36:]

    monkeypatch.setattr(ImageCms.ImageCmsProfile, "tobytes", dated)
    assert encode_image(pixels, file_format, depth=depth) == today


def alpha_levels(content: bytes, alpha: Tensor, depth: Any) -> Any:
    """What Pillow should show of alpha: the levels, of 16 bits the upper eight."""
    levels = to_levels(alpha, depth)[..., 0]
    if depth == 16:
        assert np.array_equal(decoded(content, depth)[..., 3], levels)
    return levels >> (depth - 8)


def test_jpeg_is_laid_on_white() -> None:
    black = torch.zeros(1, 3, 40, 48)
    half = torch.full((1, 1, 40, 48), 0.25)
    image = opened(encode_image(black, "JPEG", alpha=half))
    assert image.mode == "RGB"
    assert np.abs(np.asarray(image).astype(int) - 191).max() <= 1


@pytest.mark.parametrize(("file_format", "depth"), ALL)
@pytest.mark.parametrize("source", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_exif_is_kept_from_any_format_to_any(
    tmp_path: Path, source: str, file_format: str, depth: Any
) -> None:
    path = tmp_path / source
    if source == "a.tif":
        block = camera_exif().tobytes()
        path.write_bytes(encode_image(torch.rand(1, 3, 48, 40), "TIFF", exif=block))
    else:
        noise().save(path, exif=camera_exif(orientation=6))
    photo = load_image(path)
    content = encode_image(photo.pixels, file_format, exif=photo.exif, recipe=RECIPE, depth=depth)
    image = opened(content)
    exif = image.getexif()
    details = exif.get_ifd(EXIF_IFD)
    assert image.size == photo.size == (40, 48)
    assert ORIENTATION not in exif, "the pixels are upright: nobody may turn them again"
    assert exif[MAKE] == "Canon"
    assert exif[COPYRIGHT] == "© José"
    assert details[DATE_TIME_ORIGINAL] == "2020:01:02 03:04:05"
    assert details[MAKER_NOTE] == b"note" * 5
    assert (details[PIXEL_WIDTH], details[PIXEL_HEIGHT]) == (40, 48)
    assert details[COLOR_SPACE] == 1
    assert exif.get_ifd(GPS_IFD)[2] == (52.0, 30.0, 0.5)


def test_a_tiff_has_its_exif_where_other_readers_look(pixels: Tensor) -> None:
    content = encode_image(pixels, "TIFF", exif=camera_exif().tobytes(), recipe=RECIPE, depth=16)
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        tags = file.pages[0].tags
        assert tags["Make"].value == "Canon"
        assert tags["ExifTag"].value["DateTimeOriginal"] == "2020:01:02 03:04:05"
        assert tags["GPSTag"].value["GPSLatitudeRef"] == "N"
        assert tags["ImageHistory"].value == RECIPE


def test_an_orientation_handed_in_is_not_passed_on(pixels: Tensor) -> None:
    content = encode_image(pixels, "PNG", exif=camera_exif(orientation=6).tobytes())
    assert ORIENTATION not in opened(content).getexif()


def test_a_block_that_is_no_exif_is_left_out(pixels: Tensor) -> None:
    for file_format in SUFFIX:
        assert len(opened(encode_image(pixels, file_format)).info) > 0
        content = encode_image(pixels, file_format, exif=b"nonsense", recipe=RECIPE)
        assert opened(content).getexif()[0x9213] == RECIPE


@pytest.mark.parametrize(("file_format", "depth"), ALL)
def test_the_recipe_comes_back(
    tmp_path: Path, pixels: Tensor, file_format: str, depth: Any
) -> None:
    path = tmp_path / f"a{SUFFIX[file_format]}"
    recipe = '{"styleforge":"' + "x" * 5000 + '"}'
    save_image(path, pixels, recipe=recipe, depth=depth)
    assert read_recipe(path) == recipe
    save_image(path, pixels, depth=depth)
    assert read_recipe(path) == ""


def test_the_recipe_of_the_content_image_is_not_the_results(tmp_path: Path, pixels: Tensor) -> None:
    save_image(tmp_path / "first.png", pixels, recipe="old")
    first = load_image(tmp_path / "first.png")
    save_image(tmp_path / "second.png", pixels, exif=first.exif)
    assert read_recipe(tmp_path / "second.png") == ""
    save_image(tmp_path / "third.png", pixels, exif=first.exif, recipe="new")
    assert read_recipe(tmp_path / "third.png") == "new"


def test_a_jpeg_drops_a_makers_note_that_does_not_fit(pixels: Tensor) -> None:
    block = camera_exif(maker_note=b"n" * 64_000).tobytes()
    exif = opened(encode_image(pixels, "JPEG", exif=block, recipe=RECIPE * 100)).getexif()
    assert exif[0x9213] == RECIPE * 100
    assert MAKER_NOTE not in exif.get_ifd(EXIF_IFD)
    assert exif.get_ifd(EXIF_IFD)[DATE_TIME_ORIGINAL] == "2020:01:02 03:04:05"
    assert exif[MAKE] == "Canon"


def test_a_jpeg_keeps_the_recipe_whatever_else_does_not_fit(pixels: Tensor) -> None:
    block = camera_exif()
    block.get_ifd(EXIF_IFD)[USER_COMMENT] = b"c" * 70_000
    exif = opened(encode_image(pixels, "JPEG", exif=block.tobytes(), recipe=RECIPE)).getexif()
    assert dict(exif) == {0x9213: RECIPE}
    kept = opened(encode_image(pixels, "PNG", exif=block.tobytes(), recipe=RECIPE)).getexif()
    assert len(kept.get_ifd(EXIF_IFD)[USER_COMMENT]) == 70_000


def test_save_image_takes_a_name(tmp_path: Path, pixels: Tensor) -> None:
    save_image(str(tmp_path / "a.PNG"), pixels)
    assert opened((tmp_path / "a.PNG").read_bytes()).size == (48, 40)


def no_space(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_when_the_disk_is_full_the_picture_is_rescued(
    tmp_path: Path, pixels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, path = output.write_atomically, tmp_path / "out.png"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(
        output, "write_atomically", lambda to, c: no_space() if to == path else write(to, c)
    )
    with pytest.raises(WorkError) as caught:
        save_image(path, pixels, recipe=RECIPE)
    (rescued,) = tmp_path.glob("styleforge-*/out.png")
    assert str(caught.value) == (
        f"{path} could not be written (no space left); the picture was saved as {rescued}"
    )
    assert caught.value.exit_code == 1
    assert rescued.read_bytes() == encode_image(pixels, "PNG", recipe=RECIPE)
    assert not path.exists()


def test_when_no_disk_has_space_the_message_says_so(
    tmp_path: Path, pixels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(output, "write_atomically", no_space)
    with pytest.raises(WorkError) as caught:
        save_image(tmp_path / "out.png", pixels)
    assert str(caught.value) == f"{tmp_path / 'out.png'} could not be written (no space left)"


def test_a_folder_that_vanished_is_named(
    tmp_path: Path, pixels: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(WorkError) as caught:
        save_image(tmp_path / "gone" / "out.png", pixels)
    (rescued,) = tmp_path.glob("styleforge-*/out.png")
    assert str(caught.value) == (
        f"{tmp_path / 'gone' / 'out.png'} could not be written (No such file or directory); "
        f"the picture was saved as {rescued}"
    )


def check(path: Path, *, force: bool = False, depth: Any = 8, pixels: int = 1000) -> None:
    check_output(path, inputs=[Path("in.png")], force=force, depth=depth, size=(pixels, 1))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("in.png", "there.png"):
        Path(name).write_bytes(b"")
    Path("folder.png").mkdir()
    Path("link.png").symlink_to("in.png")
    return tmp_path


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("a.bmp", {}, "a.bmp: the name must end in one of .png, .jpg, .jpeg, .webp, .tif, .tiff"),
        ("a", {}, "a: the name must end in one of .png, .jpg, .jpeg, .webp, .tif, .tiff"),
        ("a.jpg", {"depth": 16}, "a.jpg: 16 bits need a .png or .tif file"),
        (
            "a.webp",
            {"pixels": 16384},
            "a.webp: sides in a .webp file have at most 16383 pixels (not 16384 x 1); "
            "name a .png or .tif file",
        ),
        (
            "a.jpeg",
            {"pixels": 65501},
            "a.jpeg: sides in a .jpeg file have at most 65500 pixels (not 65501 x 1); "
            "name a .png or .tif file",
        ),
        ("a.webp", {"depth": 16}, "a.webp: 16 bits need a .png or .tif file"),
        ("folder.png", {}, "folder.png is a directory; name a file"),
        ("there.png", {}, "there.png exists; use `force` to overwrite it"),
        ("in.png", {"force": True}, "in.png is one of the inputs; choose another output"),
        ("link.png", {"force": True}, "link.png is one of the inputs; choose another output"),
        ("no/a.png", {}, "no such folder: no"),
        ("in.png/a.png", {}, "no such folder: in.png"),
        (
            "x" * 252 + ".png",
            {},
            "x" * 252 + ".png: the name is too long; 255 bytes are the limit",
        ),
    ],
)
def test_an_output_that_could_not_be_written(
    name: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        check(Path(name), **options)
    assert str(caught.value) == message


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.png", {}),
        ("a.JPG", {}),
        ("a.png", {"depth": 16}),
        ("a.tiff", {"depth": 16}),
        ("there.png", {"force": True}),
    ],
)
def test_an_output_that_can_be_written(name: str, options: dict[str, Any]) -> None:
    check(Path(name), **options)


def test_an_unwritable_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError) as caught:
        check(folder / "a.png")
    assert str(caught.value) == f"the folder {folder} may not be written to"


@pytest.mark.parametrize(("depth", "needed"), [(8, "38"), (16, "76")])
def test_a_full_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch, depth: Any, needed: str
) -> None:
    usage = namedtuple("usage", "total used free")(10**9, 10**9, 20 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UsageError) as caught:
        check(folder / "a.png", depth=depth, pixels=10**7)
    assert str(caught.value) == f"no space in {folder}: 20 MiB free, {needed} MiB needed"
    check(folder / "a.png", pixels=10**6)


@pytest.mark.parametrize(
    ("suffix", "depth"),
    [(".png", 8), (".png", 16), (".jpg", 8), (".webp", 8), (".tif", 8), (".tif", 16)],
)
@pytest.mark.parametrize("source", ["a.png", "a.jpg", "a.tif"])
def test_a_photos_dots_per_inch_are_kept(
    source: str, suffix: str, depth: Depth, tmp_path: Path
) -> None:
    noise().save(tmp_path / source, dpi=(240, 240))
    photo = load_image(tmp_path / source)
    saved = tmp_path / f"out{suffix}"
    save_image(saved, photo.pixels, exif=photo.exif, depth=depth)
    image = Image.open(saved)
    found = image.getexif()[0x011A] if suffix == ".webp" else image.info["dpi"][0]
    assert float(found) == pytest.approx(240, abs=0.01)


def test_a_photo_without_dots_per_inch_has_none_afterwards(tmp_path: Path) -> None:
    noise().save(tmp_path / "a.png")
    photo = load_image(tmp_path / "a.png")
    save_image(tmp_path / "out.jpg", photo.pixels, exif=photo.exif, recipe="x")
    again = load_image(tmp_path / "out.jpg")
    save_image(tmp_path / "out.png", again.pixels, exif=again.exif)
    assert "dpi" not in Image.open(tmp_path / "out.png").info


@pytest.mark.parametrize("dots", [0.0, 1e9, "none"])
def test_dots_per_inch_that_cannot_be_are_none(dots: object) -> None:
    exif = Image.Exif()
    exif[0x0128], exif[0x011A], exif[0x011B] = 2, dots, dots
    assert resolution_of(exif) is None


def test_dots_per_centimeter() -> None:
    exif = Image.Exif()
    exif[0x0128], exif[0x011A], exif[0x011B] = 3, 100.0, 50.0
    assert resolution_of(exif) == pytest.approx((254, 127))
