"""GIF and WebP, what FFmpeg leaves out: animated WebP read by Pillow, and recipes in both."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from styleforge.core.files import replaced
from styleforge.images.exif import exif_for_result
from styleforge.images.opening import opened, read_recipe

_USUAL = 40
"""Milliseconds of a frame of WebP that says 0."""

_HAS_EXIF, _MOVES = 0x08, 0x02
_GIF_COMMENT, _GIF_EXTENSION, _GIF_HEADER = 0xFE, 0x21, 13
_BLOCK = 255
"""Bytes of a GIF's sub-block, at most."""


def is_webp(path: Path) -> bool:
    """By its first bytes; what cannot be read is none."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except OSError:
        return False
    return head[:4] == b"RIFF" and head[8:] == b"WEBP"


def is_animated(path: Path) -> bool:
    """Whether a WebP says that it moves (the flags of VP8X)."""
    with path.open("rb") as file:
        head = file.read(21)
    return head[12:16] == b"VP8X" and bool(head[20] & _MOVES)


def webp_frames(path: Path) -> Iterator[tuple[np.ndarray[Any, np.dtype[np.uint8]], int]]:
    """Each frame (H, W, 3) with its milliseconds. Raises :class:`UsageError`."""
    with opened(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            levels = np.asarray(image.convert("RGB"))
            yield levels, int(image.info.get("duration", 0)) or _USUAL


def comment_of(path: Path) -> str:
    """The recipe in a GIF or a WebP. Raises :class:`UsageError` for what is neither."""
    if is_webp(path):
        return read_recipe(path)
    with path.open("rb") as file:
        file.seek(_after_colors(file.read(_GIF_HEADER)))
        if file.read(2) != bytes([_GIF_EXTENSION, _GIF_COMMENT]):
            return ""
        return b"".join(_sub_blocks(file)).decode("ascii", "replace")


def write_comment(path: Path, recipe: str) -> None:
    """Put a recipe, in ASCII, into a GIF or an animated WebP, in one atomic step."""
    with replaced(path) as temporary:
        shutil.copyfile(path, temporary)
        if is_webp(path):
            _into_webp(temporary, recipe)
        else:
            _into_gif(path, temporary, recipe)


def _into_webp(path: Path, recipe: str) -> None:
    """As an EXIF block at the end, of which the header (RIFF, VP8X) tells."""
    block = exif_for_result(b"", recipe, (1, 1)).tobytes().removeprefix(b"Exif\0\0")
    chunk = b"EXIF" + struct.pack("<I", len(block)) + block + b"\0" * (len(block) % 2)
    with path.open("r+b") as file:
        head = file.read(21)
        if head[12:16] != b"VP8X":  # a single frame, which has no room for it
            return
        file.seek(20)
        file.write(bytes([head[20] | _HAS_EXIF]))
        file.seek(0, 2)
        file.write(chunk)
        size = file.tell() - 8
        file.seek(4)
        file.write(struct.pack("<I", size))


def _into_gif(source: Path, target: Path, recipe: str) -> None:
    """As a comment before the first picture."""
    text = recipe.encode("ascii", "replace")
    parts = (text[k : k + _BLOCK] for k in range(0, len(text), _BLOCK))
    blocks = b"".join(bytes([len(part)]) + part for part in parts)
    with source.open("rb") as old, target.open("wb") as new:
        head = old.read(_GIF_HEADER)
        new.write(head + old.read(_after_colors(head) - _GIF_HEADER))
        new.write(bytes([_GIF_EXTENSION, _GIF_COMMENT]) + blocks + b"\0")
        shutil.copyfileobj(old, new)


def _after_colors(head: bytes) -> int:
    """Where a GIF's first block begins: after the header and the table of its colors."""
    table = 3 * 2 ** ((head[10] & 7) + 1) if head[10] & 0x80 else 0
    return _GIF_HEADER + table


def _sub_blocks(file: BinaryIO) -> Iterator[bytes]:
    while length := int.from_bytes(file.read(1)):
        yield file.read(length)
