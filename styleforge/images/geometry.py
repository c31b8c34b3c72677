"""Sizes of pictures, and pictures at other sizes. A size is (width, height) in pixels."""

from __future__ import annotations

import re

import torch.nn.functional as F
from torch import Tensor

from styleforge.core.errors import UsageError

Size = tuple[int, int]


def size_of(image: Tensor) -> Size:
    """(width, height) of (..., H, W)."""
    return image.shape[-1], image.shape[-2]


def fit_size(size: Size, longest: int) -> Size:
    """(width, height) scaled to the given longest side; 0 keeps it. The shape is never cropped."""
    if longest == 0:
        return size
    width, height = size
    factor = longest / max(width, height)
    return max(1, round(width * factor)), max(1, round(height * factor))


def resize(pixels: Tensor, size: Size) -> Tensor:
    """Resize (1, C, H, W) to (width, height): bicubic, antialiased, within [0, 1]."""
    width, height = size
    if size_of(pixels) == size:
        return pixels
    return F.interpolate(pixels, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def parse_size(text: str) -> Size:
    """``1024x768`` or ``512`` to (width, height). Raises :class:`UsageError`."""
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text.strip().lower())
    if match is None or not int(match[1]) or not int(match[2] or 1):
        raise UsageError(f"`size` is WIDTHxHEIGHT in pixels, such as 1024x768 (not {text!r})")
    return int(match[1]), int(match[2] or match[1])


def size_text(size: Size) -> str:
    """What :func:`parse_size` reads: ``1024x768``."""
    return "{}x{}".format(*size)
