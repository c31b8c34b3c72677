"""Tensors to image files: checked before the work, encoded in memory, written atomically."""

from __future__ import annotations

import errno
import io
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import png
import tifffile
import torch
from PIL import Image, ImageCms
from torch import Tensor

from styleforge.errors import UsageError, WorkError
from styleforge.files import write_atomically

FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
Depth = Literal[8, 16]

RECIPE_TAG = 0x9213
"""EXIF ImageHistory, "a record of what has been done to the image": where the recipe is kept."""

_MAKER_NOTE_TAG = 0x927C
_EXIF_IFD = 0x8769
_JPEG_EXIF_LIMIT = 65_000
_IFD0_TEXT_TAGS = (0x010E, 0x010F, 0x0110, 0x0132, 0x013B, 0x8298)
_SAVE_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 6},
    "JPEG": {"quality": 95, "subsampling": 0, "optimize": True},
    "WEBP": {"quality": 95, "method": 4, "exact": True},
    "TIFF": {"compression": "tiff_adobe_deflate"},
}


def check_output(
    path: Path, *, inputs: Iterable[Path], force: bool, depth: Depth, pixels: int
) -> None:
    """Raise :class:`UsageError` if a result of so many pixels could not be written to ``path``."""
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise UsageError(f"{path}: the name must end in one of {', '.join(FORMATS)}")
    if depth == 16 and FORMATS[suffix] not in ("PNG", "TIFF"):
        raise UsageError(f"{path}: 16 bits need a .png or .tif file")
    if path.is_dir():
        raise UsageError(f"{path} is a directory; name a file")
    if any(path.exists() and source.exists() and path.samefile(source) for source in inputs):
        raise UsageError(f"{path} is one of the inputs; choose another output")
    if path.exists() and not force:
        raise UsageError(f"{path} exists; use --force to overwrite it")
    folder = path.parent
    if not folder.is_dir():
        raise UsageError(f"no such folder: {folder}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"the folder {folder} may not be written to")
    needed = pixels * 4 * depth // 8
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UsageError(
            f"no space in {folder}: {free / 2**20:.0f} MiB free, {needed / 2**20:.0f} MiB needed"
        )


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
        raise WorkError(_rescue(path, content, error)) from error


def _rescue(path: Path, content: bytes, error: OSError) -> str:
    """Save the picture elsewhere after a failed write; returns the message for the user."""
    reason = "no space left" if error.errno == errno.ENOSPC else (error.strerror or str(error))
    try:
        rescued = Path(tempfile.mkdtemp(prefix="styleforge-")) / path.name
        write_atomically(rescued, content)
    except OSError:
        return f"{path} could not be written ({reason})"
    return f"{path} could not be written ({reason}); the picture was saved as {rescued}"


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
    block = _exif_with(exif, recipe, pixels.shape[3], pixels.shape[2])
    if depth == 16:
        return _encode_png16(array, block) if file_format == "PNG" else _encode_tiff16(array, block)
    if file_format == "JPEG" and len(block.tobytes()) > _JPEG_EXIF_LIMIT:
        block.get_ifd(_EXIF_IFD).pop(_MAKER_NOTE_TAG, None)
    buffer = io.BytesIO()
    Image.fromarray(array).save(
        buffer, file_format, exif=block, icc_profile=_srgb_profile(), **_SAVE_OPTIONS[file_format]
    )
    return buffer.getvalue()


def to_levels(pixels: Tensor, depth: Depth = 8) -> np.ndarray[Any, Any]:
    """(1, C, H, W) in [0, 1] to whole levels (H, W, C): uint8 or uint16, rounded to the nearest."""
    top = 2**depth - 1
    levels = (pixels.detach().cpu().double().clamp(0, 1) * top).round()
    array: np.ndarray[Any, Any] = levels[0].permute(1, 2, 0).numpy()
    return array.astype(np.uint8 if depth == 8 else np.uint16)


def read_recipe(path: Path) -> str:
    """The recipe in an image file, or an empty string where there is none."""
    with Image.open(path) as image:
        return str(image.getexif().get(RECIPE_TAG, ""))


def _exif_with(exif: bytes, recipe: str, width: int, height: int) -> Image.Exif:
    block = Image.Exif()
    if exif:
        block.load(exif)
        details = block.get_ifd(_EXIF_IFD)
        if 0xA002 in details:
            details[0xA002], details[0xA003] = width, height
    if recipe:
        block[RECIPE_TAG] = recipe
    return block


def _srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _encode_png16(array: np.ndarray[Any, Any], exif: Image.Exif) -> bytes:
    """Pillow writes no 16-bit colour: pypng codes the pixels, its chunks carry tag and EXIF."""
    height, width, channels = array.shape
    plain, buffer = io.BytesIO(), io.BytesIO()
    writer = png.Writer(width, height, bitdepth=16, greyscale=False, alpha=channels == 4)
    writer.write(plain, array.reshape(height, -1))
    chunks = list(png.Reader(bytes=plain.getvalue()).chunks())
    extra = [(b"sRGB", b"\0")]
    if len(exif):
        extra.append((b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0")))
    png.write_chunks(buffer, [chunks[0], *extra, *chunks[1:]])
    return buffer.getvalue()


def _encode_tiff16(array: np.ndarray[Any, Any], exif: Image.Exif) -> bytes:
    """Pillow writes no 16-bit colour: tifffile does. Of the EXIF, the text tags are kept."""
    buffer = io.BytesIO()
    tags = [
        (tag, "s", 0, str(exif[tag]), True) for tag in (*_IFD0_TEXT_TAGS, RECIPE_TAG) if tag in exif
    ]
    tifffile.imwrite(
        buffer,
        array,
        photometric="rgb",
        extrasamples=["unassalpha"] if array.shape[2] == 4 else None,
        compression="zlib",
        iccprofile=_srgb_profile(),
        metadata=None,
        software=False,
        extratags=tags,
    )
    return buffer.getvalue()
