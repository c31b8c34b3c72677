"""A folder with everything that can be wrong with a picture: the right thing happens for each."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from styleforge.batches.engines import Split
from styleforge.batches.local import run_local
from styleforge.batches.plan import Batch, Painters
from styleforge.batches.sources import find_sources, plan_tasks
from styleforge.jobs.recipe import load_recipe
from styleforge.jobs.styles import TrainedStyle
from tests.batches.conftest import CPU
from tests.pictures import flat, noise

SIZE = (40, 36)


def encoded(image: Image.Image, file_format: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format)
    return buffer.getvalue()


def truncated_jpeg() -> bytes:
    whole = encoded(noise(*SIZE), "JPEG")
    return whole[: len(whole) // 2]


def sixteen_bits() -> bytes:
    levels = np.arange(36 * 40, dtype=np.uint16).reshape(36, 40) * 45
    return encoded(Image.fromarray(levels), "PNG")


def cmyk_jpeg() -> bytes:
    return encoded(noise(*SIZE).convert("CMYK"), "JPEG")


def rgba_webp() -> bytes:
    return encoded(Image.fromarray(flat(200, 30, 60, 120)), "WEBP")


def tiff() -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.asarray(noise(*SIZE)))
    return buffer.getvalue()


def png() -> bytes:
    return encoded(noise(*SIZE), "PNG")


def jpeg() -> bytes:
    return encoded(noise(*SIZE), "JPEG")


Content = Callable[[], bytes]

GOOD: list[tuple[str, str, Content, tuple[str, tuple[int, int]]]] = [
    ("one pixel", "one.png", lambda: encoded(noise(1, 1), "PNG"), ("RGB", (1, 1))),
    ("16-bit PNG", "deep.png", sixteen_bits, ("RGB", SIZE)),
    ("CMYK JPEG", "cmyk.jpg", cmyk_jpeg, ("RGB", SIZE)),
    ("RGBA WebP", "clear.webp", rgba_webp, ("RGBA", (48, 40))),
    ("two that differ in extension", "twin.png", png, ("RGB", SIZE)),
    ("two that differ in extension", "twin.tif", tiff, ("RGB", SIZE)),
    ("suffix in capitals", "LOUD.JPG", jpeg, ("RGB", SIZE)),
    ("spaces", "  two  spaces .png", png, ("RGB", SIZE)),
    ("quotes", 'it\'s "it".png', png, ("RGB", SIZE)),
    ("emoji", "🐈‍⬛ café.png", png, ("RGB", SIZE)),
    ("newline", "two\nlines.png", png, ("RGB", SIZE)),
    ("braces", "{stem} %s.png", png, ("RGB", SIZE)),
]


@pytest.fixture
def photos(workplace: Path) -> Path:
    folder = workplace / "photos"
    folder.mkdir()
    return folder


def outcomes(style: TrainedStyle) -> dict[str, tuple[str, str]]:
    """(status, reason) by the picture's name."""
    sources = find_sources(["photos"], Path("out"), recursive=False)
    batch = Batch([style], plan_tasks(sources, [style.name], Path("out")))
    done = run_local(batch, [Painters(batch, CPU)], Split(1, 1))
    return {outcome.task.source.name: (outcome.status, outcome.reason) for outcome in done}


@pytest.mark.parametrize(
    ("what", "name", "content", "expected"), GOOD, ids=[f"{row[0]}, {row[1]!r}" for row in GOOD]
)
def test_a_picture_that_can_be_read(
    trained: TrainedStyle,
    photos: Path,
    what: str,
    name: str,
    content: Content,
    expected: tuple[str, tuple[int, int]],
) -> None:
    (photos / name).write_bytes(content())
    assert outcomes(trained) == {name: ("done", "")}, what
    (result,) = (photos.parent / "out").iterdir()
    suffix = Path(name).suffix.lower()
    assert result.name == f"{Path(name).stem}_cafe{suffix}"
    with Image.open(result) as image:
        assert (image.mode, image.size) == expected
    assert load_recipe(result).content.path == f"photos/{name}"
    assert outcomes(trained) == {name: ("skipped", "")}


def unreadable(path: Path) -> None:
    path.write_bytes(jpeg())
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        return
    pytest.skip("this user may read everything")


BAD: list[tuple[str, Callable[[Path], object], str]] = [
    (
        "truncated JPEG",
        lambda path: path.write_bytes(truncated_jpeg()),
        "photos/x.jpg is damaged or cut short (image file is truncated (N bytes not processed))",
    ),
    (
        "text",
        lambda path: path.write_bytes(b"this is not a photo"),
        "photos/x.jpg is not an image that can be read",
    ),
    ("empty", lambda path: path.touch(), "photos/x.jpg is not an image that can be read"),
    ("unreadable", unreadable, "photos/x.jpg cannot be read (permission denied)"),
    ("link to nowhere", lambda path: path.symlink_to("gone"), "no such file: photos/x.jpg"),
    ("link to itself", lambda path: path.symlink_to(path), "no such file: photos/x.jpg"),
]


@pytest.mark.parametrize(("what", "make", "reason"), BAD, ids=[what for what, *_ in BAD])
def test_a_picture_that_cannot_be_read(
    trained: TrainedStyle,
    photos: Path,
    what: str,
    make: Callable[[Path], object],
    reason: str,
) -> None:
    (photos / "good.png").write_bytes(png())
    make(photos / "x.jpg")
    found = outcomes(trained)
    assert found.pop("good.png") == ("done", ""), "the rest goes on"
    status, told = found.pop("x.jpg")
    assert (status, re.sub(r"\d+ bytes", "N bytes", told)) == ("failed", reason), what
    assert found == {}
    assert [path.name for path in (photos.parent / "out").iterdir()] == ["good_cafe.png"]


def test_a_folder_with_the_name_of_a_picture_is_no_picture(
    trained: TrainedStyle, photos: Path
) -> None:
    (photos / "good.png").write_bytes(png())
    (photos / "x.jpg").mkdir()
    assert outcomes(trained) == {"good.png": ("done", "")}


def test_files_that_differ_only_in_extension_become_two(
    trained: TrainedStyle, photos: Path
) -> None:
    (photos / "twin.png").write_bytes(png())
    (photos / "twin.jpg").write_bytes(jpeg())
    assert set(outcomes(trained).values()) == {("done", "")}
    names = {path.name for path in (photos.parent / "out").iterdir()}
    assert names == {"twin_cafe.png", "twin_cafe.jpg"}
