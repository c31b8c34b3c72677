"""What was named in another's place: the message says which command takes it."""
# ruff: noqa: PTH110, PTH112, PTH113

from __future__ import annotations

import os.path  # whose functions, unlike Path's methods, take long names

from styleforge.core.errors import UsageError
from styleforge.images.load import ImageSource, Picture
from styleforge.networks.registry import known_models


def check_photo(photo: ImageSource) -> None:
    """Raise :class:`UsageError` for a folder."""
    if not isinstance(photo, Picture) and os.path.isdir(photo):
        raise UsageError(
            f"{photo} is a folder; use styleforge batch {photo} to paint all photos in it"
        )


def check_painting(painting: ImageSource) -> None:
    """Raise :class:`UsageError` for the name of a trained style, and for a folder."""
    if isinstance(painting, Picture):
        return
    if os.path.isdir(painting):
        raise UsageError(
            f"{painting} is a folder; use styleforge sheet to paint after each painting in it"
        )
    if not os.path.exists(painting) and str(painting) in known_styles():
        raise UsageError(
            f"{painting} is a trained style, not a painting; "
            f"use styleforge stylize PHOTO `style` {painting}"
        )


def check_style(name: str) -> None:
    """Raise :class:`UsageError` for a painting."""
    if os.path.isfile(name):
        raise UsageError(
            f"{name} is a file, not a trained style; use styleforge transfer PHOTO {name}"
        )


def known_styles() -> list[str]:
    """The styles that known networks carry."""
    return [style.name for _, info in known_models() for style in info.styles]
