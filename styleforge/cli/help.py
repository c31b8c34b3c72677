"""How commands are found, and how they look in their help."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from styleforge.cli.config import defaults
from styleforge.core.errors import StoppedError

_PICTURES = {
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".tif",
    ".tiff",
    ".heic",
    ".heif",
    ".avif",
    ".bmp",
    ".gif",
}


class Commands(TyperGroup):
    """Where a picture is named in a command's place, the command is ``transfer``."""

    def make_context(self, *arguments: Any, **named: Any) -> Any:
        """With one's own defaults."""
        return super().make_context(*arguments, default_map=defaults(self.commands), **named)

    def invoke(self, ctx: Any) -> Any:
        """Raises :class:`StoppedError`: of a KeyboardInterrupt Typer would say nothing."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise StoppedError("interrupted") from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] not in self.commands and _is_picture(args[0]):
            args = ["transfer", *args]
        return super().resolve_command(ctx, args)


class Command(TyperCommand):
    """One whose arguments and switches are shown without the types that Python has for them."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for parameter in self.params:
            if isinstance(parameter, TyperOption) and parameter.is_flag:
                parameter.metavar = ""
            if isinstance(parameter, TyperArgument):
                parameter.__dict__["display_type_rich"] = _nothing


def _is_picture(name: str) -> bool:
    """By its name, or because it is there, or because it is an address."""
    if name == "-" or name.lower().startswith(("http://", "https://")):
        return True
    return Path(name).suffix.lower() in _PICTURES or os.path.exists(name)  # noqa: PTH110 (long)


def _nothing(*_: object, **__: object) -> None:
    return None
