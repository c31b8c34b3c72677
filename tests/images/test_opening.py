from __future__ import annotations

import io
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image, ImageFile

from styleforge.core.errors import OutOfMemoryError, UsageError
from styleforge.images import opening
from styleforge.images.load import load_image, load_pixels
from styleforge.images.opening import is_whole, opened, read_recipe
from tests.conftest import CHELSEA
from tests.pictures import camera_exif, flat, noise


def message(path: Path) -> str:
    with pytest.raises(UsageError) as caught:
        load_image(path)
    return str(caught.value)


def flipped(path: Path, share: float) -> None:
    """Turn one byte of a file, at this share of its length, around."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * share)] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize(
    "error", [RuntimeError, SyntaxError, KeyError, struct.error, AssertionError, OverflowError]
)
def test_whatever_a_decoder_raises_is_one_error_about_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    path = tmp_path / "a.png"
    noise().save(path)

    def fail(_: object) -> None:
        raise error("bits")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    for read in (load_image, lambda path: load_pixels(path, least=8)):
        with pytest.raises(UsageError) as caught:
            read(path)
        assert str(caught.value) == f"{path} is damaged or cut short ({error('bits')})"


def test_what_a_decoder_cannot_hold_is_out_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    noise().save(path)

    def fail(_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    with pytest.raises(OutOfMemoryError) as caught:
        load_image(path)
    assert str(caught.value) == f"{path} does not fit into the memory; make it smaller"


def test_an_avif_with_a_flipped_byte_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    noise(64, 48).save(path)
    content = bytearray(path.read_bytes())
    content[content.index(b"mdat") + 4] ^= 0xFF
    path.write_bytes(content)
    assert message(path).startswith(f"{path} is damaged or cut short (")


def test_a_photo_that_does_not_fit_says_which_size_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    noise(400, 200).save(path)
    monkeypatch.setattr(opening, "free_memory", lambda _: 50 * 200 * 100)
    with pytest.raises(OutOfMemoryError) as caught:
        load_image(path)
    assert str(caught.value) == (
        f"{path} is 400 x 200 pixels, which take about 0.0 GiB of memory to read, "
        "and 0.0 GiB are there; 200 x 100 would fit"
    )


def test_only_promised_formats_are_opened(tmp_path: Path) -> None:
    """EPS would start Ghostscript, whatever the file's name."""
    path = tmp_path / "a.jpg"
    for file_format in ("EPS", "PCX", "ICO", "TGA"):
        noise().save(path, file_format)
        assert message(path) == f"{path} is not an image that can be read"


@pytest.mark.parametrize("file_format", opening.READABLE)
def test_promised_formats_are_opened(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "a"
    noise().save(path, file_format)
    assert load_image(path).size == noise().size


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    os.mkfifo(path)
    assert message(path) == f"{path} is a pipe or a device, not a file"
    assert not is_whole(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_pixels_that_are_no_numbers_are_refused(tmp_path: Path, bad: float) -> None:
    pixels = np.full((40, 48), 0.5, np.float32)
    pixels[3, 4] = bad
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels)
    assert message(path) == f"{path} has pixels that are infinite or no numbers; mend it"


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.linspace(0, 2, 40 * 48, dtype=np.float32), "from 0 to 2; they must be from 0 to 1"),
        (np.linspace(-1, 1, 40 * 48, dtype=np.float32), "from -1 to 1; they must be from 0 to 1"),
        (
            np.linspace(0, 70000, 40 * 48).astype(np.int32),
            "from 0 to 70000; they must be from 0 to 65535",
        ),
    ],
    ids=["above", "below", "32 bits"],
)
def test_wide_pixels_out_of_range_are_refused(
    tmp_path: Path, array: np.ndarray[tuple[int], np.dtype[np.float32]], reason: str
) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array.reshape(40, 48))
    assert message(path) == f"{path} has pixels {reason}"


def test_floating_point_pixels_from_0_to_1_are_read(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 40 * 48, dtype=np.float32).reshape(40, 48)
    tifffile.imwrite(tmp_path / "a.tif", ramp)
    assert np.array_equal(load_image(tmp_path / "a.tif").pixels[0, 2].numpy(), ramp)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.tif"])
def test_a_cut_file_is_not_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    noise(64, 48).save(path)
    assert is_whole(path)
    path.write_bytes(path.read_bytes()[:-200])
    assert not is_whole(path)


def test_a_png_with_a_flipped_byte_is_not_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    noise(64, 48).save(path)
    flipped(path, 0.5)
    assert not is_whole(path)


def test_a_recipe_is_read_without_the_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small file can declare as many pixels as would fill the memory."""

    def fail(_: object) -> None:
        raise AssertionError("pixels were read")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    for name in ("a.png", "a.tif", "a.jpg"):
        Image.fromarray(flat(1, 2, 3)).save(tmp_path / name)
        assert read_recipe(tmp_path / name) == ""


def test_a_file_that_declares_too_many_pixels_is_not_decoded(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    content = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    content.seek(0, io.SEEK_END)
    for name, data in ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")):
        content.write(struct.pack(">I", len(data)) + name + data)
        content.write(struct.pack(">I", zlib.crc32(name + data)))
    path = tmp_path / "a.png"
    path.write_bytes(content.getvalue())
    assert message(path) == f"{path} has more than 178 million pixels; make it smaller"
    with pytest.raises(UsageError), opened(path):
        pass


def test_a_small_file_cannot_claim_many_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    noise(48, 40).save(path)
    content = path.read_bytes()
    path.write_bytes(
        content.replace(
            struct.pack("<HHII", 257, 4, 1, 40), struct.pack("<HHII", 257, 4, 1, 2_000_000)
        )
    )
    assert message(path) == f"{path} is damaged or cut short (1920 of 96000000 pixels are there)"
    assert not is_whole(path)


def test_a_small_jpeg_cannot_claim_many_pixels_either(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    noise(48, 40).save(path)
    path.write_bytes(
        path.read_bytes().replace(struct.pack(">HH", 40, 48), struct.pack(">HH", 60_000, 2_000))
    )
    most = 4096 * path.stat().st_size
    assert message(path) == (
        f"{path} is damaged or cut short (at most {most} of 120000000 pixels are there)"
    )


@pytest.mark.slow
def test_a_jpeg_of_one_color_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (4000, 3000)).save(path, quality=1, optimize=True, progressive=True)
    assert load_image(path).size == (4000, 3000)


@pytest.fixture
def heic(tmp_path: Path) -> Path:
    """A photo of a telephone, held upright."""
    path = tmp_path / "a.HEIC"
    photo = Image.open(CHELSEA).resize((64, 48))
    pillow_heif.from_pillow(photo).save(path, quality=95, exif=camera_exif(orientation=1))
    return path


def test_a_photo_of_a_telephone_is_read(heic: Path, tmp_path: Path) -> None:
    Image.open(CHELSEA).resize((64, 48)).save(tmp_path / "a.png")
    found, expected = load_image(heic), load_image(tmp_path / "a.png")
    assert found.size == (64, 48)
    assert (found.pixels - expected.pixels).abs().mean() < 0.05
    assert b"Canon" in found.exif


def test_without_its_package_it_is_one_line(heic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert message(heic) == (
        f"{heic} is a HEIC picture; to read such: pip install 'styleforge[heif]'"
    )


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9])
def test_a_damaged_one_is_read_or_refused(heic: Path, share: float) -> None:
    flipped(heic, share)
    said = ""
    try:
        load_image(heic)
    except UsageError as error:
        said = str(error)
    assert said == "" or said.startswith(str(heic))
