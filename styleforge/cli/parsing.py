"""How amounts and times are spelled on the command line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from styleforge.core.errors import UsageError

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


def moment(text: str | None, option: str) -> float | None:
    """``90``, ``1:30`` or ``0:01:30.5`` to seconds; None where nothing was said."""
    if text is None:
        return None
    match = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d*)?)", text.strip())
    if match is None:
        raise UsageError(f"--{option} is a time such as 90, 1:30 or 0:01:30.5 (not {text!r})")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def keyframe(text: str) -> tuple[int | float, Path]:
    """``120=b.png`` to a frame, ``0:04.5=b.png`` to a second, and a picture."""
    at, equals, path = text.partition("=")
    try:
        if not equals or not path:
            raise ValueError(text)
        seconds = None if at.isdecimal() else moment(at, "keyframe")
        return (int(at) if seconds is None else seconds), Path(path)
    except (ValueError, UsageError):
        raise UsageError(
            f"--keyframe is a frame or a time, and a picture, such as 120=b.png or 0:04.5=b.png "
            f"(not {text!r})"
        ) from None


def bit_depth(bits: int) -> Literal[8, 16]:
    """Bits per channel of an output."""
    if bits == 8:
        return 8
    if bits == 16:
        return 16
    raise UsageError(f"--depth is 8 or 16 (not {bits})")


def check_sizes(size: int | None, paper: str | None) -> None:
    """Raise :class:`UsageError` where two options say how large a picture is."""
    if paper is not None and size is not None:
        raise UsageError("--print and --size both say how large it is; leave one out")


def duration(seconds: float) -> str:
    """``45 s``, ``12 min`` or ``3.5 h``."""
    if seconds < 180:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def spelled(message: str) -> str:
    """A message of the library's, whose `names` of settings become options: --names."""
    return re.sub(r"`([a-z_]+)`", lambda match: "--" + match[1].replace("_", "-"), message)


def in_words(value: object, *, inside: bool = False) -> str:
    """What is found out, on one line: ``torch 2.9, sizes 512 and 1024``."""
    if isinstance(value, Mapping):
        parts = (
            f"{str(key).replace('_', ' ')} {in_words(one, inside=True)}"
            for key, one in value.items()
        )
        return f"({', '.join(parts)})" if inside else ", ".join(parts) or "none"
    if isinstance(value, list | tuple):
        return " and ".join(map(in_words, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    words = {None: "none", True: "yes", False: "no"}
    return words[value] if value is None or isinstance(value, bool) else str(value)
