"""How a picture came about, as a GIF, a WebP or an MP4."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from styleforge.core.errors import UsageError
from styleforge.core.files import check_place
from styleforge.images.geometry import Size, fit_size, resize
from styleforge.images.save import to_levels

SUFFIXES = (".gif", ".webp", ".mp4")
MAX_FRAMES = 60
LONGEST = 512
"""Pixels of a frame's longest side, at most."""

RATE = 12
"""Frames a second."""

HOLD = 24
"""How many frames' time the last one stays."""

_LARGEST = 3 * LONGEST**2 * MAX_FRAMES // 4

Frame = np.ndarray[Any, Any]


class Film:
    """Collects at most 60 frames of a run of so many records, all of one size.

    ``size`` is the picture's (width, height); coarser images are enlarged.
    """

    def __init__(self, size: Size, records: int) -> None:
        self.frames: list[Frame] = []
        self._size = fit_size(size, min(max(size), LONGEST))
        self._every = math.ceil(records / (MAX_FRAMES - 1))

    def wants(self, record: int) -> bool:
        """Whether there should be a frame of this record; the first is 0."""
        return record % self._every == 0

    def add(self, image: Tensor) -> None:
        """Append an image (1, 3, H, W) in [0, 1] of any size."""
        self.frames.append(to_levels(resize(image.detach().float().cpu(), self._size)))


def check_animation(path: Path, *, inputs: Iterable[Path], force: bool) -> None:
    """Raise :class:`UsageError` where no animation could be written to ``path``."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(f"{path}: an animation's name must end in one of {', '.join(SUFFIXES)}")
    check_place(path, inputs=inputs, force=force, needed=_LARGEST)


def encode_animation(frames: list[Frame], suffix: str) -> bytes:
    """The bytes of a ``.gif``, ``.webp`` or ``.mp4`` of frames (H, W, 3), the last held."""
    if suffix.lower() == ".mp4":
        return _encode_mp4([*frames, *[frames[-1]] * (HOLD - 1)])
    lossy = {"quality": 85, "method": 4} if suffix.lower() == ".webp" else {}
    first, *others = map(Image.fromarray, frames)
    step = 1000 // RATE
    buffer = io.BytesIO()
    first.save(
        buffer,
        suffix.lower().removeprefix(".").upper(),
        save_all=True,
        append_images=others,
        duration=[step] * len(others) + [HOLD * step],
        loop=0,
        **lossy,
    )
    return buffer.getvalue()


def _encode_mp4(frames: list[Frame]) -> bytes:
    """H.264 with half the colors' resolution, for which an odd last row or column is left out."""
    import av

    buffer = io.BytesIO()
    height, width = (side // 2 * 2 for side in frames[0].shape[:2])
    with av.open(buffer, "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=RATE, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames:
            levels = np.ascontiguousarray(frame[:height, :width])
            file.mux(stream.encode(av.VideoFrame.from_ndarray(levels, format="rgb24")))
        file.mux(stream.encode())
    return buffer.getvalue()
