"""A small picture of how far a run has come, in a file that image viewers refresh."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from styleforge.core.errors import StyleforgeError, UsageError, reason_of
from styleforge.core.files import write_atomically
from styleforge.images.geometry import fit_size, resize, size_of
from styleforge.images.opening import opened
from styleforge.images.save import FORMATS, encode_image

SIDE = 512
"""Pixels of its longest side, at most."""

_EVERY = 2.0
"""Seconds from one to the next."""


def check_preview(path: Path) -> None:
    """Raise :class:`UsageError` where a picture is that may be more than an old preview."""
    if not path.exists():
        return
    try:
        with opened(path) as image:
            small = max(image.size) <= SIDE
    except StyleforgeError:
        small = False
    if not small:
        raise UsageError(f"{path} exists and is no preview; use `force` to overwrite it")


class Preview:
    """Written now and then, whole each time; what cannot be written is one warning."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._due = clock()

    def show(self, image: Callable[[], Tensor]) -> None:
        """Write the image, (1, 3, H, W) in [0, 1], if the last one is some seconds old."""
        if self._clock() >= self._due:
            self.write(image())
            self._due = self._clock() + _EVERY

    def write(self, pixels: Tensor) -> None:
        """Write it at once."""
        size = size_of(pixels)
        small = resize(pixels, fit_size(size, min(SIDE, max(size))))
        try:
            content = encode_image(small, FORMATS[self._path.suffix.lower()])
            write_atomically(self._path, content)
        except OSError as error:
            warnings.warn(f"no preview: {reason_of(error)}", stacklevel=2)
