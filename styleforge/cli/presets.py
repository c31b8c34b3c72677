"""``styleforge presets``: list the presets, or print one."""

from __future__ import annotations

from typing import Annotated

import typer

presets = typer.Typer(
    name="presets",
    help="List the presets, or print one as YAML to copy and edit.",
    invoke_without_command=True,
)


@presets.callback()
def list_presets(context: typer.Context) -> None:
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from styleforge.presets.transfer import load_preset, shipped_presets

    table = Table("preset", "size", "what it does", box=None)
    for name in shipped_presets():
        preset = load_preset(name)
        table.add_row(name, str(preset.size), escape(preset.description))
    Console().print(table)


@presets.command()
def show(name: Annotated[str, typer.Argument(help="A preset's name or the path of one.")]) -> None:
    """Print a preset as YAML, every setting spelled out."""
    from styleforge.presets.transfer import load_preset

    print(load_preset(name).to_yaml(), end="")
