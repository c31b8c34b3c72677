"""How commands look in their help."""

from __future__ import annotations

from typing import Any

from typer.core import TyperArgument, TyperCommand, TyperOption


class Command(TyperCommand):
    """One whose arguments and switches are shown without the types that Python has for them."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        for parameter in self.params:
            if isinstance(parameter, TyperOption) and parameter.is_flag:
                parameter.metavar = ""
            if isinstance(parameter, TyperArgument):
                parameter.__dict__["display_type_rich"] = _nothing


def _nothing(*_: object, **__: object) -> None:
    return None
