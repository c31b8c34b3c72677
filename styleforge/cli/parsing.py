"""How images, styles, sizes and times are spelled on the command line."""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import Literal

from styleforge.core.errors import UsageError
from styleforge.core.layers import LAYERS


def with_weight(text: str) -> tuple[str, float]:
    """``a.jpg:0.7`` to ``("a.jpg", 0.7)``; what names a file as it is has a weight of 1."""
    name, colon, weight = text.rpartition(":")
    if not colon or os.path.exists(text):  # noqa: PTH110 (Path's raises for a long name)
        return text, 1.0
    try:
        value = float(weight)
    except ValueError:
        return text, 1.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{text}: the weight of a style must be positive (not {weight})")
    return name, value


def with_layers(text: str) -> tuple[str, tuple[str, ...]]:
    """``a.jpg@conv1_1+conv2_1`` to ``("a.jpg", ("conv1_1", "conv2_1"))``; a file as it is to none.

    So is what cannot be layers: ``me@home.jpg``.
    """
    name, _, layers = text.rpartition("@")
    if not re.fullmatch(r"\w+(\+\w+)*", layers) or not name or os.path.exists(text):  # noqa: PTH110
        return text, ()
    return name, tuple(layers.split("+"))


def named_path(text: str) -> tuple[str, Path]:
    """``cafe=a.jpg`` to its name and path; without a name, the file's stem is made one."""
    name, given, path = text.partition("=")
    if not given or os.path.exists(text):  # noqa: PTH110
        return _slug(Path(text).stem), Path(text)
    return style_name(name), Path(path)


def style_name(name: str) -> str:
    """A name for a style of a network, checked."""
    if _slug(name) != name:
        raise UsageError(f"{name!r}: a style's name has small letters, digits and hyphens")
    return name


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "style"


_UNITS = {"m": 2**20, "g": 2**30}


def memory_size(text: str) -> int | None:
    """``8GiB``, ``8g`` or ``500MiB`` to bytes; None where nothing was said."""
    if not text:
        return None
    match = re.fullmatch(r"(\d+\.?\d*)([mg])(i?b)?", text.strip().lower())
    size = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if not size:
        raise UsageError(f"--memory is a size such as 8GiB or 500MiB (not {text!r})")
    return size


def picture_size(text: str) -> tuple[int, int]:
    """``1024x768`` or ``512`` to (width, height)."""
    match = re.fullmatch(r"(\d{1,5})(?:x(\d{1,5}))?", text.strip().lower())
    if match is None or not int(match[1]) or not int(match[2] or 1):
        raise UsageError(f"--size is WIDTHxHEIGHT in pixels, such as 1024x768 (not {text!r})")
    return int(match[1]), int(match[2] or match[1])


def bit_depth(bits: int) -> Literal[8, 16]:
    """Bits per channel of an output."""
    if bits == 8:
        return 8
    if bits == 16:
        return 16
    raise UsageError(f"--depth is 8 or 16 (not {bits})")


def duration(seconds: float) -> str:
    """``45 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 180:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def printable(text: str) -> str:
    """On one line: newlines and other control characters as escapes, the rest as it is."""
    plain = text.encode(errors="backslashreplace").decode()
    return re.sub(r"[\x00-\x1f\x7f]", lambda match: repr(match[0])[1:-1], plain)


def known_layer(name: str) -> str:
    """One of VGG-19's layers. Raises :class:`UsageError`."""
    if name not in LAYERS:
        close = difflib.get_close_matches(name, LAYERS, n=1)
        meant = f" (did you mean {close[0]}?)" if close else ""
        raise UsageError(
            f"unknown layer {name!r}{meant}; layers are written conv4_2, relu4_2, pool4"
        )
    return name
