"""How paintings and styles are spelled: ``a.jpg:0.7@conv1_1``, ``cafe=a.jpg@512``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from styleforge.core.errors import UsageError
from styleforge.images.elsewhere import is_elsewhere
from styleforge.jobs.styles import Painting
from styleforge.networks.model_file import LONGEST_STYLE_NAME
from styleforge.presets.training import LARGEST_STYLE, LEAST_STYLE


def painting(text: str) -> Painting:
    """``path[:weight][@layer+layer]``. Raises :class:`UsageError`."""
    rest, layers = with_layers(text)
    name, weight = with_weight(rest)
    return Painting(name if is_elsewhere(name) else Path(name), weight, layers)


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
        return _slug(Path(text).stem)[:LONGEST_STYLE_NAME].strip("-"), Path(text)
    return style_name(name), Path(path)


def with_size(text: str) -> tuple[str, int]:
    """``a.jpg@512`` to ``("a.jpg", 512)``; what names a file as it is has a size of 0."""
    name, _, size = text.rpartition("@")
    if not re.fullmatch(r"[0-9]{1,9}", size) or not name or os.path.exists(text):  # noqa: PTH110
        return text, 0
    if not LEAST_STYLE <= int(size) <= LARGEST_STYLE:
        raise UsageError(
            f"{text}: a painting's size is from {LEAST_STYLE} to {LARGEST_STYLE} pixels"
        )
    return name, int(size)


def style_name(name: str) -> str:
    """A name for a style of a network, checked."""
    if _slug(name) != name:
        raise UsageError(f"{name!r}: a style's name has small letters, digits and hyphens")
    if len(name) > LONGEST_STYLE_NAME:
        raise UsageError(f"{name}: a style's name has {LONGEST_STYLE_NAME} characters at most")
    return name


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "style"
