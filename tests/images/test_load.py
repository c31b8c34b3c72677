from __future__ import annotations

import hashlib
import struct
import warnings
from pathlib import Path

import numpy as np
import png
import pytest
import tifffile
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from styleforge.core.errors import UsageError
from styleforge.images.geometry import fit_size, resize
from styleforge.images.load import load_image
from tests.pictures import (
    COPYRIGHT,
    DATE_TIME_ORIGINAL,
    EXIF_IFD,
    GPS_IFD,
    MAKE,
    ORIENTATION,
    Array,
    camera_exif,
    flat,
    noise,
    swapped_profile,
)

ONE_LEVEL = 1.01 / 255


def levels(path: Path) -> Array:
    """What ``load_image`` reads, as 8-bit levels (H, W, 3)."""
    pixels = load_image(path).pixels
    return (pixels[0].permute(1, 2, 0) * 255).round().numpy().astype(np.uint8)


def color(path: Path) -> list[float]:
    """The color of the middle pixel."""
    pixels = load_image(path).pixels
    return [round(value, 6) for value in pixels[0, :, 20, 20].tolist()]


def test_convention_pixels_are_rgb_in_0_to_1(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(flat(255, 51, 0)).save(path)
    picture = load_image(path)
    assert picture.pixels.dtype == torch.float32
    assert picture.pixels.shape == (1, 3, 40, 48)
    assert picture.size == (48, 40)
    assert color(path) == pytest.approx([1.0, 0.2, 0.0])
    assert picture.alpha is None
    assert picture.exif == b""


def test_a_picture_knows_its_file(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    noise().save(path)
    picture = load_image(str(path))
    assert picture.path == path
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def upright(stored: Array, orientation: int) -> Array:
    """The EXIF standard's table: where the stored rows and columns belong."""
    return {
        1: stored,
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: stored.transpose(1, 0, 2),
        6: stored.transpose(1, 0, 2)[:, ::-1],
        7: stored[::-1, ::-1].transpose(1, 0, 2),
        8: stored.transpose(1, 0, 2)[::-1],
    }[orientation]


@pytest.mark.parametrize(
    ("orientation", "name"),
    [*[(k, "a.png") for k in range(1, 9)], (6, "a.tif"), (6, "a.webp"), (5, "a.tif")],
)
def test_exif_orientation_is_applied_once(tmp_path: Path, orientation: int, name: str) -> None:
    path = tmp_path / name
    image = noise()
    options = {"lossless": True} if name.endswith("webp") else {}
    image.save(path, exif=camera_exif(orientation=orientation), **options)
    assert np.array_equal(levels(path), upright(np.asarray(image), orientation))
    kept = Image.Exif()
    kept.load(load_image(path).exif)
    assert ORIENTATION not in kept
    assert kept[MAKE] == "Canon"


def test_exif_orientation_of_a_jpeg_is_applied(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    half = flat(250, 250, 250)
    half[:20] = 5  # the upper half is dark
    Image.fromarray(half).save(path, exif=camera_exif(orientation=6), quality=95)
    turned = levels(path)
    assert turned.shape == (48, 40, 3)
    assert turned[:, :15].mean() > 240, "after a quarter turn the upper half is the right half"
    assert turned[:, 25:].mean() < 15


def test_exif_is_kept_with_its_directories_and_its_accents(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    noise().save(path, exif=camera_exif())
    kept = Image.Exif()
    kept.load(load_image(path).exif)
    assert kept[MAKE] == "Canon"
    assert kept[COPYRIGHT] == "© José"
    assert kept.get_ifd(EXIF_IFD)[DATE_TIME_ORIGINAL] == "2020:01:02 03:04:05"
    assert kept.get_ifd(GPS_IFD)[2] == (52.0, 30.0, 0.5)


def exif_block(*entries: tuple[int, int, int, bytes]) -> bytes:
    """A block of (tag, type, count, value) that no library would write."""
    body = b"".join(struct.pack("<HHI4s", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body + b"\0\0\0\0"


MAKE_ABC = (MAKE, 2, 4, b"abc\0")


@pytest.mark.parametrize(
    ("block", "make"),
    [
        (b"Exif\0\0not a block", None),
        (b"Exif\0\0MM\0*\0\0\0\x08\0\x05cut short", None),
        (b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\xff" * 300, None),
        (exif_block(MAKE_ABC, (ORIENTATION, 2, 4, b"six\0")), "abc"),
        (exif_block(MAKE_ABC, (EXIF_IFD, 2, 4, b"abc\0")), "abc"),
        (exif_block(MAKE_ABC, (EXIF_IFD, 4, 1, b"\xff\xff\xff\x7f")), "abc"),
        (exif_block(MAKE_ABC, (0x0128, 2, 4, b"abc\0")), "abc"),
        (exif_block(MAKE_ABC, (0x011A, 3, 1, b"\1\0\0\0"), (GPS_IFD, 3, 1, b"\1\0\0\0")), "abc"),
    ],
)
def test_a_damaged_exif_block_costs_only_what_is_damaged(
    tmp_path: Path, block: bytes, make: str | None
) -> None:
    path = tmp_path / "a.jpg"
    noise().save(path, exif=block)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = load_image(path)
    kept = Image.Exif()
    kept.load(picture.exif)
    assert picture.size == (48, 40)
    assert kept.get(MAKE) == make


def test_a_color_profile_is_converted_to_srgb(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    image = noise()
    image.save(path, icc_profile=swapped_profile())
    swapped = np.asarray(image)[..., [1, 0, 2]].astype(int)
    assert np.abs(levels(path) - swapped).max() <= 2, "its red is sRGB's green"


def test_a_color_profile_of_a_palette_and_of_transparency_is_converted(tmp_path: Path) -> None:
    palette = Image.fromarray(flat(200, 30, 60)).quantize(4)
    palette.save(tmp_path / "palette.png", icc_profile=swapped_profile())
    Image.fromarray(flat(200, 30, 60, 90)).save(
        tmp_path / "rgba.png", icc_profile=swapped_profile()
    )
    for name in ("palette.png", "rgba.png"):
        assert color(tmp_path / name) == pytest.approx([30 / 255, 200 / 255, 60 / 255], abs=0.01)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_broken_profile_is_ignored(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(flat(200, 200, 200)).convert(mode)
    image.save(tmp_path / "a.jpg", icc_profile=b"not a profile at all", quality=100)
    assert color(tmp_path / "a.jpg") == pytest.approx([200 / 255] * 3, abs=ONE_LEVEL)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_profile_of_the_wrong_kind_is_ignored(tmp_path: Path, mode: str) -> None:
    image = Image.fromarray(flat(200, 200, 200)).convert(mode)
    image.save(tmp_path / "a.jpg", icc_profile=swapped_profile(), quality=100)
    assert color(tmp_path / "a.jpg") == pytest.approx([200 / 255] * 3, abs=ONE_LEVEL)


def test_lab_is_converted(tmp_path: Path) -> None:
    image = Image.fromarray(flat(200, 30, 60))
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    converted = ImageCms.profileToProfile(image, srgb, lab, outputMode="LAB")
    assert converted is not None
    converted.save(tmp_path / "a.tif")
    assert color(tmp_path / "a.tif") == pytest.approx([200 / 255, 30 / 255, 60 / 255], abs=0.01)


RED = [200 / 255, 30 / 255, 60 / 255]


@pytest.mark.parametrize(
    ("image", "name", "expected"),
    [
        (Image.fromarray(flat(77)), "grey.png", [77 / 255] * 3),
        (Image.fromarray(flat(77)), "grey.jpg", [77 / 255] * 3),
        (Image.fromarray(flat(1) > 0), "bit.png", [1.0] * 3),
        (Image.fromarray(flat(200, 30, 60)).quantize(8), "palette.png", RED),
        (Image.fromarray(flat(200, 30, 60)).quantize(8), "palette.gif", RED),
        (Image.fromarray(flat(200, 30, 60)), "color.bmp", RED),
        (Image.fromarray(flat(200, 30, 60)), "color.tif", RED),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_any_kind_of_pixel_becomes_rgb(
    tmp_path: Path, image: Image.Image, name: str, expected: list[float]
) -> None:
    image.save(tmp_path / name)
    assert color(tmp_path / name) == pytest.approx(expected, abs=1e-6)
    assert load_image(tmp_path / name).alpha is None


def test_a_cmyk_jpeg_has_its_colors(tmp_path: Path) -> None:
    Image.fromarray(flat(200, 30, 60)).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    assert color(tmp_path / "a.jpg") == pytest.approx(RED, abs=2 * ONE_LEVEL)


def test_webp_is_read(tmp_path: Path) -> None:
    image = noise()
    image.save(tmp_path / "a.webp", lossless=True)
    assert np.array_equal(levels(tmp_path / "a.webp"), np.asarray(image))


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_16_bit_grey_keeps_all_its_levels(tmp_path: Path, byte_order: str) -> None:
    ramp = flat(0, dtype=np.uint16)
    ramp[:] = np.linspace(0, 65535, 48)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", ramp, byteorder=byte_order)
    for name in ("a.png", "a.tif"):
        pixels = load_image(tmp_path / name).pixels
        assert pixels.shape == (1, 3, 40, 48)
        assert np.allclose(pixels[0, 1].numpy(), ramp / 65535, atol=1e-6)


def test_16_bit_color_has_its_values_to_an_8_bit_level(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 65536, (40, 48, 3), np.uint16)
    with (tmp_path / "a.png").open("wb") as file:
        png.Writer(48, 40, bitdepth=16, greyscale=False).write(file, rgb.reshape(40, -1))
    tifffile.imwrite(tmp_path / "plain.tif", rgb, photometric="rgb")
    tifffile.imwrite(tmp_path / "deflated.tif", rgb, photometric="rgb", compression="zlib")
    tifffile.imwrite(tmp_path / "big_endian.tif", rgb, photometric="rgb", byteorder=">")
    for path in tmp_path.iterdir():
        pixels = load_image(path).pixels[0].permute(1, 2, 0).numpy()
        assert np.abs(pixels - rgb / 65535).max() < ONE_LEVEL, path.name


@pytest.mark.parametrize(
    ("array", "expected", "alpha"),
    [
        (flat(77, 128), [77 / 255] * 3, 128 / 255),
        (flat(200, 30, 60, 128), RED, 128 / 255),
        (flat(200, 30, 60, 1), RED, 1 / 255),
    ],
    ids=["grey", "color", "almost invisible"],
)
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.webp"])
def test_alpha_is_kept_apart_from_the_color(
    tmp_path: Path, name: str, array: Array, expected: list[float], alpha: float
) -> None:
    options = {"lossless": True, "exact": True} if name.endswith("webp") else {}
    Image.fromarray(array).save(tmp_path / name, **options)
    picture = load_image(tmp_path / name)
    assert picture.alpha is not None
    assert picture.alpha.shape == (1, 1, 40, 48)
    assert picture.alpha.unique().tolist() == pytest.approx([alpha])
    assert color(tmp_path / name) == pytest.approx(expected, abs=1e-6)


def test_16_bit_alpha_is_read(tmp_path: Path) -> None:
    rgba = flat(60000, 30000, 900, 40000, dtype=np.uint16)
    with (tmp_path / "a.png").open("wb") as file:
        png.Writer(48, 40, bitdepth=16, greyscale=False, alpha=True).write(
            file, rgba.reshape(40, -1)
        )
    picture = load_image(tmp_path / "a.png")
    assert picture.alpha is not None
    assert picture.alpha[0, 0, 0, 0].item() == pytest.approx(40000 / 65535, abs=ONE_LEVEL)
    expected = [60000 / 65535, 30000 / 65535, 900 / 65535]
    assert color(tmp_path / "a.png") == pytest.approx(expected, abs=ONE_LEVEL)


def test_an_opaque_alpha_channel_is_dropped(tmp_path: Path) -> None:
    Image.fromarray(flat(200, 30, 60, 255)).save(tmp_path / "a.png")
    assert load_image(tmp_path / "a.png").alpha is None
    assert color(tmp_path / "a.png") == pytest.approx(RED)


def test_a_transparent_palette_color_is_alpha(tmp_path: Path) -> None:
    array = flat(200, 30, 60)
    array[:10] = (10, 220, 30)
    palette = Image.fromarray(array).quantize(2)
    hidden = palette.getpixel((0, 0))
    palette.save(tmp_path / "a.png", transparency=hidden)
    picture = load_image(tmp_path / "a.png")
    assert picture.alpha is not None
    assert picture.alpha[0, 0, :, 5].tolist() == [0.0] * 10 + [1.0] * 30
    assert color(tmp_path / "a.png") == pytest.approx(RED, abs=ONE_LEVEL)


def test_invisible_pixels_get_the_mean_color_of_the_visible(tmp_path: Path) -> None:
    array = flat(0, 255, 0, 0)  # invisible green
    array[:10] = (100, 0, 40, 255)
    array[10:20] = (200, 0, 80, 1)
    Image.fromarray(array).save(tmp_path / "a.png")
    pixels = load_image(tmp_path / "a.png").pixels
    invisible = pixels[0, :, 20:].flatten(1)
    assert invisible.mean(1).tolist() == pytest.approx([150 / 255, 0, 60 / 255])
    assert invisible.std(1).max() < 1e-6
    assert pixels[0, :, 15, 5].tolist() == pytest.approx([200 / 255, 0, 80 / 255])


def test_a_wholly_invisible_picture_can_be_read(tmp_path: Path) -> None:
    Image.fromarray(flat(9, 9, 9, 0)).save(tmp_path / "a.png")
    picture = load_image(tmp_path / "a.png")
    assert torch.isfinite(picture.pixels).all()
    assert picture.alpha is not None


def test_convention_resize_is_bicubic_and_antialiased() -> None:
    channel = torch.rand(1, 1, 50, 70, generator=torch.Generator().manual_seed(0))
    reference = Image.fromarray(channel[0, 0].numpy()).resize((31, 20), Image.Resampling.BICUBIC)
    resized = resize(channel, (31, 20))
    assert resized.shape == (1, 1, 20, 31)
    assert np.allclose(resized[0, 0].numpy(), np.asarray(reference).clip(0, 1), atol=1e-4)


def test_a_fine_checkerboard_shrinks_to_grey() -> None:
    board = (torch.arange(64).view(-1, 1) + torch.arange(64)) % 2
    shrunk = resize(board.float()[None, None], (16, 16))
    assert (shrunk - 0.5).abs().max() < 0.05


@given(st.integers(8, 60), st.integers(8, 60), st.integers(1, 90), st.integers(1, 90))
def test_resize_never_crops_and_stays_in_range(w: int, h: int, width: int, height: int) -> None:
    ramp = torch.linspace(0, 1, w).expand(1, 1, h, w)
    resized = resize(ramp, (width, height))
    assert resized.shape == (1, 1, height, width)
    assert resized.min() >= 0
    assert resized.max() <= 1
    assert resized.mean().item() == pytest.approx(0.5, abs=0.03)


@given(st.integers(1, 100_000), st.integers(1, 100_000), st.integers(1, 32768))
@example(100_000, 1, 32)
@example(3, 2, 1)
def test_fit_size_keeps_the_shape_to_half_a_pixel(width: int, height: int, longest: int) -> None:
    fitted = fit_size((width, height), longest)
    assert max(fitted) == longest
    factor = longest / max(width, height)
    for side, original in zip(fitted, (width, height), strict=True):
        assert side == 1 or abs(side - original * factor) <= 0.5 + 1e-6


@given(st.integers(1, 100_000), st.integers(1, 100_000))
def test_fit_size_zero_keeps_the_size(width: int, height: int) -> None:
    assert fit_size((width, height), 0) == (width, height)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_image(tmp_path / "a.png")
    assert str(caught.value) == f"no such file: {tmp_path / 'a.png'}"


@pytest.mark.slow
def test_a_decompression_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise(1500, 1500).save(tmp_path / "a.png", compress_level=1)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1_000_000)
    with pytest.raises(UsageError) as caught:
        load_image(tmp_path / "a.png")
    path = tmp_path / "a.png"
    assert str(caught.value) == f"{path} has more than 2 million pixels; make it smaller"
