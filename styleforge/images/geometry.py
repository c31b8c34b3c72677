"""Sizes of pictures, and pictures at other sizes. A size is (width, height) in pixels."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor

from styleforge.core.errors import UsageError

Size = tuple[int, int]

LARGEST = 32768
"""Longest side of a picture, in pixels."""

DPI = 300.0
"""Dots per inch of a print that is looked at closely."""

_CENTIMETERS = {"mm": 0.1, "cm": 1.0, "in": 2.54}


class Paper(NamedTuple):
    """What a picture is printed on, in centimeters."""

    width: float
    height: float


class Print(NamedTuple):
    """What a picture is to fill, if anything, and the dots per inch that its file says.

    No ``dpi``: those of the photo's file.
    """

    paper: Paper | None = None
    dpi: float | None = None

    def longest_side(self, photo: Size, usual: int) -> int:
        """Pixels of the largest picture of a photo's shape that fits, whichever way it lies.

        Without paper, as ``usual``. Raises :class:`UsageError` for more than can be made.
        """
        if self.paper is None:
            return usual
        aspect, dpi = max(photo) / min(photo), self.dpi or DPI
        pixels = round(min(max(self.paper), min(self.paper) * aspect) / 2.54 * dpi)
        if not 1 <= pixels <= LARGEST:
            raise UsageError(f"`print` at {dpi:g} `dpi` is {pixels} pixels; 1 to {LARGEST} can be")
        return pixels


def size_of(image: Tensor) -> Size:
    """(width, height) of (..., H, W)."""
    return image.shape[-1], image.shape[-2]


def check_longest(longest: int) -> None:
    """Raise :class:`UsageError` for a longest side that no picture has; 0 is a picture's own."""
    if not 0 <= longest <= LARGEST:
        raise UsageError(f"`size` is from 0 to {LARGEST} (not {longest})")


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


def parse_print(text: str | None, dpi: float | None) -> Print:
    """``60x40cm`` (or mm, in), with 300 dots per inch if no others are named, or no paper.

    Raises :class:`UsageError`.
    """
    if text is None:
        return Print(None, dpi)
    number = r"(\d{1,5}(?:\.\d{1,5})?)"
    match = re.fullmatch(f"{number}x{number}(mm|cm|in)", text.replace(" ", "").lower())
    if match is None or not float(match[1]) * float(match[2]):
        raise UsageError(f"`print` is a paper's size such as 60x40cm or 8x10in (not {text!r})")
    unit = _CENTIMETERS[match[3]]
    return Print(Paper(float(match[1]) * unit, float(match[2]) * unit), dpi or DPI)
