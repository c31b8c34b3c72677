"""Small pictures made by the tests, with known values."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image, ImageCms

Array = np.ndarray[Any, Any]

MAKE, ORIENTATION, COPYRIGHT = 0x010F, 0x0112, 0x8298
EXIF_IFD, GPS_IFD = 0x8769, 0x8825
DATE_TIME_ORIGINAL, MAKER_NOTE, USER_COMMENT = 0x9003, 0x927C, 0x9286
COLOR_SPACE, PIXEL_WIDTH, PIXEL_HEIGHT = 0xA001, 0xA002, 0xA003


def noise(width: int = 48, height: int = 40, *, channels: int = 3, seed: int = 0) -> Image.Image:
    """A picture of random levels, none of them 0 or 255."""
    levels = np.random.default_rng(seed).integers(1, 255, (height, width, channels), np.uint8)
    return Image.fromarray(levels)


def flat(*levels: int, dtype: type = np.uint8) -> Array:
    """A 48 x 40 array of one color, (40, 48, C), or (40, 48) for one channel."""
    array = np.empty((40, 48, len(levels)), dtype)
    array[:] = levels
    return array[..., 0] if len(levels) == 1 else array


def camera_exif(*, orientation: int = 1, maker_note: bytes = b"note" * 5) -> Image.Exif:
    """What a camera writes: IFD0, the Exif directory and GPS."""
    exif = Image.Exif()
    exif[MAKE] = "Canon"
    exif[ORIENTATION] = orientation
    exif[COPYRIGHT] = "© José".encode("latin-1")
    exif.get_ifd(EXIF_IFD).update(
        {
            DATE_TIME_ORIGINAL: "2020:01:02 03:04:05",
            MAKER_NOTE: maker_note,
            COLOR_SPACE: 65535,
            PIXEL_WIDTH: 4800,
            PIXEL_HEIGHT: 4000,
        }
    )
    exif.get_ifd(GPS_IFD).update({1: "N", 2: (52.0, 30.0, 0.5)})
    return exif


def swapped_profile() -> bytes:
    """A color profile whose red is sRGB's green, and the other way round."""
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return srgb.replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")


def opened(content: bytes) -> Image.Image:
    """An encoded image, read by Pillow."""
    image = Image.open(io.BytesIO(content))
    image.load()
    return image
