"""Image files to tensors: (1, 3, H, W), sRGB, float32 in [0, 1], as a person would see them.

Orientation is applied, color profiles are converted to sRGB, and grey, palette, CMYK and 16-bit
files become RGB. Alpha and EXIF are kept beside the pixels, to be written back by ``output``.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import tempfile
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageCms, ImageOps
from torch import Tensor

from styleforge.core.errors import StyleforgeError, UsageError
from styleforge.core.files import file_sha256
from styleforge.images.elsewhere import content_of, is_elsewhere, shown, stem_of_address
from styleforge.images.exif import exif_of
from styleforge.images.geometry import Size, size_of
from styleforge.images.opening import check_decodable, opened

MIN_SIDE = 32
"""Pixels on the shorter side: below this VGG-19's deeper layers see next to nothing."""

IN_MEMORY = Path("picture")
"""What stands for the path of a picture that has none."""

_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")


@dataclass(frozen=True)
class Picture:
    """An image file in memory.

    ``pixels`` is (1, 3, H, W), sRGB in [0, 1]; ``alpha`` is (1, 1, H, W) in [0, 1], or None for
    an opaque image; ``exif`` is the file's EXIF block with the orientation already applied.
    ``address`` is where it came from, where that is no file.
    """

    path: Path
    sha256: str
    pixels: Tensor
    alpha: Tensor | None
    exif: bytes
    address: str = ""

    @property
    def name(self) -> str:
        """What recipes call it."""
        return self.address or str(self.path)

    @property
    def size(self) -> Size:
        """(width, height) in pixels."""
        return size_of(self.pixels)


ImageSource = Path | str | Picture
"""An image file, a web address, ``-`` for standard input, or one that is in memory."""


def load_image(source: ImageSource, *, min_side: int = MIN_SIDE) -> Picture:
    """Read an image of any format in :data:`READABLE`.

    Raises :class:`UsageError` for what is not a whole image with sides of that many pixels, and
    :class:`OutOfMemoryError` for one that is too large to be read here.
    """
    if isinstance(source, Picture):
        _check_side(source.path, source.size, min_side)
        return source
    if isinstance(source, str) and is_elsewhere(source):
        return _fetched(source, min_side)
    path = Path(source)
    with opened(path) as file:
        upright, exif = _decoded(path, file)
        _check_side(path, upright.size, min_side)
        pixels, alpha = _pixels_and_alpha(upright)
        return Picture(path, file_sha256(path), pixels, alpha, exif)


def _fetched(source: str, min_side: int) -> Picture:
    """What is at an address, by way of a file, so that it is read like any other."""
    content, name = content_of(source), shown(source)
    with tempfile.TemporaryDirectory(prefix="styleforge-") as folder:
        path = Path(folder, "image")
        path.write_bytes(content)
        try:
            picture = load_image(path, min_side=min_side)
        except StyleforgeError as error:
            raise type(error)(str(error).replace(str(path), name)) from error
    return replace(picture, path=Path(stem_of_address(source)), address=name)


def stem_of(source: ImageSource) -> str:
    """The name that outputs are named after."""
    if isinstance(source, str) and is_elsewhere(source):
        return stem_of_address(source)
    return (source.path if isinstance(source, Picture) else Path(source)).stem


def as_picture(image: ImageSource | Image.Image | np.ndarray[Any, Any] | Tensor) -> Picture:
    """Whatever holds an image.

    A file's path; a Pillow image; an array (H, W) or (H, W, 3 or 4) of 8 or 16 bits, or of numbers
    in [0, 1]; a tensor (3, H, W) or (1, 3, H, W) of numbers in [0, 1]; all of them sRGB.
    Raises :class:`UsageError` for anything else.
    """
    if isinstance(image, Path | str | Picture):
        return load_image(image, min_side=1)
    if isinstance(image, Image.Image):
        _check_levels(IN_MEMORY, image)
        exif = exif_of(image)
        pixels, alpha = _pixels_and_alpha(_upright(image))
        return _in_memory(pixels, alpha, exif)
    if isinstance(image, np.ndarray):
        image = _of_array(image)
        if image.shape[1] == 4:
            pixels, alpha = image[:, :3], image[:, 3:]
            return _in_memory(_fill_invisible(pixels, alpha), alpha)
        return _in_memory(image.expand(-1, 3, -1, -1))
    if isinstance(image, Tensor):
        return _in_memory(_checked(image if image.dim() == 4 else image[None]))
    raise UsageError(
        "an image is a path, a Pillow image, an array or a tensor "
        f"(not of type {type(image).__name__})"
    )


def _in_memory(pixels: Tensor, alpha: Tensor | None = None, exif: bytes = b"") -> Picture:
    pixels = pixels.detach().cpu().float().contiguous()
    content = pixels.numpy().tobytes() + (b"" if alpha is None else alpha.numpy().tobytes())
    return Picture(IN_MEMORY, hashlib.sha256(content).hexdigest(), pixels, alpha, exif)


def _of_array(array: np.ndarray[Any, Any]) -> Tensor:
    """(H, W) or (H, W, C) to (1, C, H, W) in [0, 1]. Raises :class:`UsageError`."""
    levels = {"uint8": 255.0, "uint16": 65535.0}
    if array.dtype.name not in levels and array.dtype.kind != "f":
        raise UsageError(f"an array is of uint8, uint16 or floating point (not {array.dtype})")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise UsageError(f"an array is (H, W), (H, W, 3) or (H, W, 4) (not {array.shape})")
    numbers = array.astype(np.float32) / levels.get(array.dtype.name, 1.0)
    return _checked(torch.from_numpy(numbers).permute(2, 0, 1)[None])


def _checked(pixels: Tensor) -> Tensor:
    """(1, C, H, W) in [0, 1]. Raises :class:`UsageError`."""
    if pixels.dim() != 4 or pixels.shape[0] != 1 or pixels.shape[1] not in (1, 3, 4):
        raise UsageError(f"a tensor is (3, H, W) or (1, 3, H, W) (not {tuple(pixels.shape)})")
    if not pixels.is_floating_point() or not bool(((pixels >= 0) & (pixels <= 1)).all()):
        raise UsageError("the numbers of an image are from 0 to 1")
    return pixels


def _check_side(path: Path, size: Size, least: int) -> None:
    if min(size) < least:
        raise UsageError(
            f"{path} is {size[0]} x {size[1]} pixels; both sides must have at least {least}"
        )


def load_pixels(path: Path, *, least: int) -> Tensor:
    """The pixels of a photo alone, (1, 3, H, W), read fast.

    A JPEG may come at a fraction of its size, with sides of at least ``least`` pixels.
    Raises :class:`UsageError`, :class:`OutOfMemoryError`.
    """
    with opened(path) as file:
        file.draft(None, (least, least))
        upright, _ = _decoded(path, file)
        return _pixels_and_alpha(upright)[0]


def _pixels_and_alpha(image: Image.Image) -> tuple[Tensor, Tensor | None]:
    image, alpha = _split_alpha(image)
    pixels = _to_tensor(_to_srgb(image))
    return (pixels if alpha is None else _fill_invisible(pixels, alpha)), alpha


def _decoded(path: Path, file: Image.Image) -> tuple[Image.Image, bytes]:
    """The upright image and its EXIF block."""
    check_decodable(path, file.size)
    file.load()
    _check_levels(path, file)
    return _upright(file), exif_of(file)


def _check_levels(path: Path, image: Image.Image) -> None:
    """Raise :class:`UsageError` for wide numbers that are no brightness."""
    if image.mode not in ("F", "I"):
        return
    array, white = np.asarray(image), _white(image.mode)
    if not np.isfinite(array).all():
        raise UsageError(f"{path} has pixels that are infinite or no numbers; mend it")
    if array.min() < 0 or array.max() > white:
        raise UsageError(
            f"{path} has pixels from {array.min():g} to {array.max():g}; "
            f"they must be from 0 to {white:g}"
        )


def _upright(image: Image.Image) -> Image.Image:
    """A copy with the EXIF orientation applied; an unreadable EXIF block is ignored."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # Pillow raises many kinds for a damaged block
        return image.copy()


def _split_alpha(image: Image.Image) -> tuple[Image.Image, Tensor | None]:
    """The image without transparency, and its alpha channel unless it is opaque throughout."""
    if not image.has_transparency_data:
        return image, None
    profile = image.info.get("icc_profile")
    grey = image.mode in ("L", "LA", "La", "1")
    image = image.convert("RGBA")
    band = image.getchannel("A")
    opaque = image.convert("RGB").convert("L") if grey else image.convert("RGB")
    opaque.info["icc_profile"] = profile
    lowest = band.getextrema()[0]
    return opaque, None if lowest == 255 else _to_tensor(band)


def _to_srgb(image: Image.Image) -> Image.Image:
    """RGB in sRGB, or 16-bit grey as it is; an unusable color profile is ignored."""
    if image.mode in _SIXTEEN_BIT_MODES or image.mode == "F":
        return image
    if image.mode not in ("RGB", "L", "CMYK", "LAB"):
        profile = image.info.get("icc_profile")
        image = image.convert("RGB")
        image.info["icc_profile"] = profile
    profile = image.info.get("icc_profile")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            converted = ImageCms.applyTransform(image, _transform_to_srgb(profile, image.mode))
            if converted is not None:
                return converted
    return image.convert("RGB")


@lru_cache(maxsize=8)
def _transform_to_srgb(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """Kept for other photos of the same camera: it takes longer to make than to apply."""
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")


def _to_tensor(image: Image.Image) -> Tensor:
    """(1, C, H, W) in [0, 1]; 8-bit, 16-bit or floating-point bands."""
    array = np.asarray(image)
    scale = _white(image.mode)
    pixels = torch.from_numpy(array.astype(np.float32) / scale).clamp(0, 1)
    if image.mode == "RGB":
        return pixels.permute(2, 0, 1)[None].contiguous()
    grey = pixels[None, None]
    return grey if image.mode == "L" else grey.expand(1, 3, -1, -1).contiguous()


def _white(mode: str) -> float:
    """The number that stands for white."""
    if mode in _SIXTEEN_BIT_MODES:
        return 65535.0
    return 1.0 if mode == "F" else 255.0


def _fill_invisible(pixels: Tensor, alpha: Tensor) -> Tensor:
    """Give fully transparent pixels, whose color means nothing, the mean color of the rest."""
    visible = (alpha > 0).float()
    mean = (pixels * visible).sum((2, 3), keepdim=True) / visible.sum().clamp(min=1)
    return torch.where(alpha > 0, pixels, mean)
