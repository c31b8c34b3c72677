"""Tensors to image files: checked before the work, encoded in memory, written atomically."""

from __future__ import annotations

import errno
import io
import struct
import tempfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import png
import torch
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from torch import Tensor

from styleforge.core.errors import UsageError, WorkError
from styleforge.core.files import check_place, write_atomically
from styleforge.images.exif import exif_for_result, limited, resolution_of
from styleforge.images.geometry import Size, size_of

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
Depth = Literal[8, 16]

_LONGEST_SIDE = {"WEBP": 16_383, "JPEG": 65_500}
"""Pixels; the others' are beyond any memory."""

_PROFILE_DATE = slice(24, 36)
_JPEG_EXIF_LIMIT = 65_000
_TIFF_HEADER = b"II*\0\x08\0\0\0"
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_type": zlib.Z_RLE},  # paint repeats nothing: half the time, same size
    "JPEG": {"quality": 95, "subsampling": 0, "optimize": True},
    "WEBP": {"quality": 95, "method": 4, "exact": True},
}


def check_output(
    path: Path, *, inputs: Iterable[Path], force: bool, depth: Depth, size: Size
) -> None:
    """Raise :class:`UsageError` if a (width, height) result could not be written to ``path``."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"{path}: the name must end in one of {', '.join(FORMATS)}")
    if depth == 16 and FORMATS[suffix] not in ("PNG", "TIFF"):
        raise UsageError(f"{path}: 16 bits need a .png or .tif file")
    longest = _LONGEST_SIDE.get(FORMATS[suffix], max(size))
    if max(size) > longest:
        raise UsageError(
            f"{path}: sides in a {suffix} file have at most {longest} pixels (not {size[0]} x "
            f"{size[1]}); name a .png or .tif file"
        )
    check_place(path, inputs=inputs, force=force, needed=size[0] * size[1] * 4 * depth // 8)


def save_image(
    path: Path | str,
    pixels: Tensor,
    *,
    alpha: Tensor | None = None,
    exif: bytes = b"",
    recipe: str = "",
    depth: Depth = 8,
) -> None:
    """Write (1, 3, H, W) in [0, 1] as sRGB, with alpha, EXIF and recipe, in one atomic step.

    If the place fills up after all, the picture goes to the system's temporary folder and
    :class:`WorkError` says where.
    """
    path = Path(path)
    content = encode_image(
        pixels, FORMATS[path.suffix.lower()], alpha=alpha, exif=exif, recipe=recipe, depth=depth
    )
    try:
        write_atomically(path, content)
    except OSError as error:
        raise WorkError(rescue(str(path), path.name, content, error)) from error


def rescue(where: str, name: str, content: bytes, error: OSError) -> str:
    """Save a picture elsewhere after a failed write; returns the message for the user."""
    reason = "no space left" if error.errno == errno.ENOSPC else (error.strerror or str(error))
    try:
        rescued = Path(tempfile.mkdtemp(prefix="styleforge-")) / name
        write_atomically(rescued, content)
    except OSError:
        return f"{where} could not be written ({reason})"
    return f"{where} could not be written ({reason}); the picture was saved as {rescued}"


def encode_image(
    pixels: Tensor,
    file_format: str,
    *,
    alpha: Tensor | None = None,
    exif: bytes = b"",
    recipe: str = "",
    depth: Depth = 8,
) -> bytes:
    """The bytes of an image file in ``PNG``, ``JPEG``, ``WEBP`` or ``TIFF``, tagged as sRGB.

    Values are rounded, not truncated. JPEG has no alpha: the picture is laid on white.
    """
    if alpha is not None and file_format == "JPEG":
        pixels, alpha = pixels * alpha + (1 - alpha), None
    array = to_levels(pixels if alpha is None else torch.cat([pixels, alpha], 1), depth)
    block = exif_for_result(exif, recipe, size_of(pixels))
    if file_format == "TIFF":
        return _encode_tiff(array, block)
    if file_format == "PNG" and depth == 16:
        return _encode_png16(array, block)
    if file_format == "JPEG":
        block = limited(block, _JPEG_EXIF_LIMIT)
    buffer, dpi = io.BytesIO(), resolution_of(block)
    options = {**_SAVE_OPTIONS[file_format], **({"dpi": dpi} if dpi else {})}
    Image.fromarray(array).save(
        buffer, file_format, exif=block, icc_profile=_srgb_profile(), **options
    )
    return buffer.getvalue()


def to_levels(pixels: Tensor, depth: Depth = 8) -> np.ndarray[Any, Any]:
    """(1, C, H, W) in [0, 1] to whole levels (H, W, C): uint8 or uint16, rounded to the nearest."""
    top = 2**depth - 1
    levels = (pixels.detach().cpu().double().clamp(0, 1) * top).round()
    array: np.ndarray[Any, Any] = levels[0].permute(1, 2, 0).numpy()
    return array.astype(np.uint8 if depth == 8 else np.uint16)


def _srgb_profile() -> bytes:
    """The profile with a fixed date of creation, so that the same picture has the same bytes."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[_PROFILE_DATE] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(profile)


def _encode_png16(array: np.ndarray[Any, Any], exif: Image.Exif) -> bytes:
    """Pillow writes no 16-bit color: pypng codes the pixels, its chunks carry tag and EXIF."""
    height, width, channels = array.shape
    plain, buffer = io.BytesIO(), io.BytesIO()
    writer = png.Writer(width, height, bitdepth=16, greyscale=False, alpha=channels == 4)
    writer.write(plain, array.reshape(height, -1))
    chunks = list(png.Reader(bytes=plain.getvalue()).chunks())
    extra = [(b"sRGB", b"\0")]
    if dpi := resolution_of(exif):
        across, down = (round(dots / 0.0254) for dots in dpi)
        extra.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
    if len(exif):
        extra.append((b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    png.write_chunks(buffer, [chunks[0], *extra, *chunks[1:]])
    return buffer.getvalue()


def _encode_tiff(array: np.ndarray[Any, Any], exif: Image.Exif) -> bytes:
    """One deflated strip after the directory.

    Pillow writes no 16-bit color, and no EXIF into compressed files; its directories can.
    """
    height, width, channels = array.shape
    bits = array.itemsize * 8
    strip = zlib.compress(array.astype(array.dtype.newbyteorder("<")).tobytes())
    directory = ImageFileDirectory_v2(_TIFF_HEADER)
    layout: dict[int, Any] = {
        0x0100: width,
        0x0101: height,
        0x0102: (bits,) * channels,
        0x0103: 8,  # compression: deflate
        0x0106: 2,  # photometric interpretation: RGB
        0x0111: 0,  # the strip's place, which Pillow counts from the directory's end
        0x0115: channels,
        0x0116: height,
        0x0117: len(strip),
        0x8773: _srgb_profile(),
    }
    if channels == 4:
        layout[0x0152] = 2  # the fourth channel is alpha, not multiplied into the others
    for tag, value in [*exif.items(), *layout.items()]:
        directory[tag] = value
    return _TIFF_HEADER + directory.tobytes(len(_TIFF_HEADER)) + strip
