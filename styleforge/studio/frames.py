"""Pictures for the page: small, and encoded fast."""

from __future__ import annotations

import io

from PIL import Image
from torch import Tensor

from styleforge.images.geometry import fit_size, resize, size_of
from styleforge.images.save import to_levels

_QUALITY = 90


def jpeg(pixels: Tensor, longest: int) -> bytes:
    """(1, 3, H, W) in [0, 1] as a JPEG whose longest side has at most so many pixels."""
    size = size_of(pixels)
    small = resize(pixels, fit_size(size, min(longest, max(size))))
    buffer = io.BytesIO()
    Image.fromarray(to_levels(small)).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
