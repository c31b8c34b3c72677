"""Image files opened: only files, only of the formats that are promised, and no error but ours."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from styleforge.core.devices import free_memory, pick_device
from styleforge.core.errors import OutOfMemoryError, StyleforgeError, UsageError
from styleforge.core.files import check_regular
from styleforge.images.exif import recipe_of
from styleforge.images.geometry import Size

_JPEG_PIXELS = 4096
"""That a byte may hold: Huffman codes have a bit for each of 64, arithmetic ones may have less."""

READABLE = ("JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP", "AVIF", "JPEG2000", "PPM")
"""Pillow knows more. Some of them start other programs, as EPS does Ghostscript."""

_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
"""What the photos of telephones begin with, after their length and "ftyp"."""

BYTES_PER_PIXEL = 50
"""That reading takes at its peak (measured: 24 to 45), with what decoders hold."""


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image of which only the header has been read, with no warnings about it.

    Whatever is raised here and within, by whichever decoder, becomes one :class:`UsageError`, or
    :class:`OutOfMemoryError`, about the file.
    """
    with _named(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check_regular(path)
        with Image.open(path, formats=_formats(path)) as image:
            _check_covered(image, path)
            yield image


def check_decodable(path: Path, size: Size) -> None:
    """Raise :class:`OutOfMemoryError` where so many pixels would not fit into the memory."""
    needed = size[0] * size[1] * BYTES_PER_PIXEL
    free = free_memory(pick_device("cpu"))
    if needed <= free:
        return
    width, height = (int(side * math.sqrt(free / needed)) for side in size)
    raise OutOfMemoryError(
        f"{path} is {size[0]} x {size[1]} pixels, which take about {needed / 2**30:.1f} GiB of "
        f"memory to read, and {free / 2**30:.1f} GiB are there; {width} x {height} would fit"
    )


def read_recipe(path: Path) -> str:
    """The recipe in an image file, or an empty string where there is none."""
    with opened(path) as image:
        return recipe_of(image)


def is_whole(path: Path) -> bool:
    """Whether a file's checksums are right, where it has some, and all of its pixels are there."""
    try:
        with opened(path) as image:
            image.verify()
        with opened(path) as image:
            image.load()
    except StyleforgeError:
        return False
    return True


def _formats(path: Path) -> tuple[str, ...]:
    """Those that are promised, and for a HEIF file also that, with a package of its own."""
    with path.open("rb") as file:
        head = file.read(12)
    if head[4:8] != b"ftyp" or head[8:] not in _HEIF_BRANDS:
        return READABLE
    try:
        import pillow_heif
    except ImportError:
        raise UsageError(
            f"{path} is a HEIC picture; to read such: pip install 'styleforge[heif]'"
        ) from None
    pillow_heif.register_heif_opener()
    return (*READABLE, "HEIF")


def _check_covered(image: Image.Image, path: Path) -> None:
    """Raise :class:`ValueError` for a TIFF whose strips do not reach to its end, or a tiny JPEG.

    The rest would be filled up, with as many pixels as a small file may claim.
    """
    claimed = image.width * image.height  # which may lie on their side
    most = _JPEG_PIXELS * path.stat().st_size
    if image.format == "JPEG" and most < claimed:
        raise ValueError(f"at most {most} of {claimed} pixels are there")
    if isinstance(image, TiffImageFile) and image.tile:
        ends = [tile.extents[2:] for tile in image.tile if tile.extents]
        there = max(x for x, _ in ends) * max(y for _, y in ends)
        if there < claimed:
            raise ValueError(f"{there} of {claimed} pixels are there")


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Errors of files and of decoders as errors about this file."""
    try:
        yield
    except StyleforgeError:
        raise
    except FileNotFoundError:
        raise UsageError(f"no such file: {path}") from None
    except IsADirectoryError:
        raise UsageError(f"{path} is a directory, not an image") from None
    except PermissionError:
        raise UsageError(f"{path} may not be read (permission denied)") from None
    except UnidentifiedImageError:
        raise UsageError(f"{path} is not an image that can be read") from None
    except Image.DecompressionBombError:
        limit = 2 * (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise UsageError(f"{path} has more than {limit} million pixels; make it smaller") from None
    except MemoryError as error:
        raise OutOfMemoryError(f"{path} does not fit into the memory; make it smaller") from error
    except Exception as error:  # decoders raise many kinds, which differ from release to release
        if isinstance(error, OSError) and error.strerror:
            raise UsageError(f"{path} cannot be read ({error.strerror.lower()})") from error
        reason = str(error) or type(error).__name__
        raise UsageError(f"{path} is damaged or cut short ({reason})") from error
