"""EXIF blocks: what is kept of a photo's, and what a result's holds.

Blocks in the wild are often damaged or hold values of the wrong type. An entry that cannot be
read and written again is left out; no picture is refused because of its EXIF.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from styleforge.images.geometry import Size

RECIPE_TAG = 0x9213
"""ImageHistory, "a record of what has been done to the image": where the recipe is kept."""

EXIF_IFD = 0x8769
_GPS_IFD = 0x8825
_INTEROPERABILITY_IFD = 0xA005
_MAKER_NOTE = 0x927C
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 0x011A, 0x011B, 0x0128
_INCH, _CENTIMETER = 2, 3
_COLOR_SPACE, _SRGB = 0xA001, 1
_PIXEL_WIDTH, _PIXEL_HEIGHT = 0xA002, 0xA003

_MOST_DOTS = 65_536.0
"""Per inch, as JPEG's header counts."""

_DESCRIPTION_TAGS = frozenset(
    {
        *(0x010D, 0x010E, 0x010F, 0x0110),  # document, description, make, model
        *(_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT),
        *(0x0131, 0x0132, 0x013B, 0x013C),  # software, date, artist, computer
        *(0x4746, 0x4749, 0x8298),  # rating, copyright
        *range(0x9C9B, 0x9CA0),  # Windows' title, comment, author, keywords, subject
        RECIPE_TAG,
    }
)
"""What IFD0 says about the photo; its other tags tell how this one file stores its pixels."""


def exif_of(image: Image.Image) -> bytes:
    """The EXIF block of an image whose orientation has been applied; empty if there is none.

    A resolution that the file says outside of it is in the block.
    """
    block = _copy(_read(image))
    made_up = image.format in ("JPEG", "MPO") and not image.info.get("jfif_unit")  # by Pillow
    if _X_RESOLUTION not in block and not made_up:
        with _damage_ignored():
            _set_resolution(block, *(round(float(dots), 1) for dots in image.info["dpi"]))
    return block.tobytes() if len(block) else b""


def with_resolution(exif: bytes, dpi: float) -> bytes:
    """The block that says so many dots per inch."""
    source = Image.Exif()
    with _damage_ignored():
        source.load(exif)
    block = _copy(source)
    _set_resolution(block, dpi, dpi)
    return block.tobytes()


def resolution_of(block: Image.Exif) -> tuple[float, float] | None:
    """Dots per inch, across and down; None where none are said, or none that can be."""
    with _damage_ignored():
        factor = 2.54 if block.get(_RESOLUTION_UNIT, _INCH) == _CENTIMETER else 1.0
        across, down = (factor * float(block[tag]) for tag in (_X_RESOLUTION, _Y_RESOLUTION))
        if min(across, down) >= 1 and max(across, down) < _MOST_DOTS:
            return across, down
    return None


def _set_resolution(block: Image.Exif, across: float, down: float) -> None:
    block[_X_RESOLUTION], block[_Y_RESOLUTION] = across, down
    block[_RESOLUTION_UNIT] = _INCH


def exif_for_result(photo: bytes, recipe: str, size: Size) -> Image.Exif:
    """The block of a pastiche of this (width, height): the photo's, and the recipe."""
    source = Image.Exif()
    with _damage_ignored():
        source.load(photo)
    block = _copy(source)
    details = block.get(EXIF_IFD, {})
    if _PIXEL_WIDTH in details:
        details[_PIXEL_WIDTH], details[_PIXEL_HEIGHT] = size
    if _COLOR_SPACE in details:
        details[_COLOR_SPACE] = _SRGB
    block.pop(RECIPE_TAG, None)
    if recipe:
        block[RECIPE_TAG] = recipe
    return block


def limited(block: Image.Exif, limit: int) -> Image.Exif:
    """The block within so many bytes: without the maker's note, at last with the recipe only."""
    if len(block.tobytes()) > limit:
        block.get(EXIF_IFD, {}).pop(_MAKER_NOTE, None)
    if len(block.tobytes()) > limit:
        for tag in set(block) - {RECIPE_TAG}:
            del block[tag]
    return block


def recipe_of(image: Image.Image) -> str:
    """The recipe in an image, or an empty string where there is none. Pixels are not read."""
    with _damage_ignored():
        return str(Image.Image.getexif(image).get(RECIPE_TAG, ""))  # PNG's own reads the pixels
    return ""


def _read(image: Image.Image) -> Image.Exif:
    with _damage_ignored():
        return image.getexif()
    return Image.Exif()


def _copy(source: Image.Exif) -> Image.Exif:
    """A block of its own with all that describes the photo and can be written."""
    block = Image.Exif()
    block.endian = source.endian
    for tag, value in _writable(source, group=None).items():
        if tag in _DESCRIPTION_TAGS:
            block[tag] = value
    for tag in (EXIF_IFD, _GPS_IFD):
        with _damage_ignored():
            details = _writable(source.get_ifd(tag), group=tag)
            details.pop(_INTEROPERABILITY_IFD, None)  # an offset into the old file
            if details:
                block[tag] = details
    return block


def _writable(directory: Mapping[int, Any], *, group: int | None) -> dict[int, Any]:
    """The entries that can be read and written again."""
    kept: dict[int, Any] = {}
    for tag in list(directory):
        with _damage_ignored():
            value = _original_text(directory[tag])
            probe = ImageFileDirectory_v2(group=group)
            probe[tag] = value
            probe.tobytes()
            kept[tag] = value
    return kept


def _original_text(value: Any) -> Any:
    """Text as the bytes it was read from: Pillow reads Latin-1 but would write "?" for it."""
    if isinstance(value, str) and not value.isascii():
        return value.encode("latin-1", "replace")
    return value


@contextlib.contextmanager
def _damage_ignored() -> Iterator[None]:
    """Leave the block early, without a warning, at any of the many errors Pillow may raise."""
    with warnings.catch_warnings(), contextlib.suppress(Exception):
        warnings.simplefilter("ignore")
        yield
