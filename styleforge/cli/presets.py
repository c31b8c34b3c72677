"""``styleforge presets``: list the presets, or print one."""

from __future__ import annotations

from typing import Annotated

import typer

from styleforge.cli import completion
from styleforge.cli.help import Command
from styleforge.cli.options import examples
from styleforge.cli.progress import print_lines

presets = typer.Typer(
    name="presets",
    help="List the presets of transfers and trainings, or print one as YAML to copy and edit.",
    invoke_without_command=True,
)


@presets.callback()
def list_presets(context: typer.Context) -> None:
    if context.invoked_subcommand is not None:
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from styleforge.presets.training import load_training_preset, training_presets
    from styleforge.presets.transfer import load_preset, shipped_presets

    table = Table("preset", "of", "size", "what it does", box=None)
    for name in shipped_presets():
        preset = load_preset(name)
        table.add_row(name, "transfer", str(preset.size), escape(preset.description))
    for name in training_presets():
        training = load_training_preset(name)
        crop = str(training.training.crop)
        table.add_row(name, "train", crop, escape(training.description))
    Console().print(table)


@presets.command(cls=Command)
@examples("presets show painterly", "presets show johnson > mine.yaml")
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A preset, or the path of one.",
            autocompletion=completion.all_presets,
        ),
    ],
) -> None:
    """Print a preset as YAML, every setting spelled out."""
    from styleforge.presets.training import load_training_preset, training_presets
    from styleforge.presets.transfer import load_preset

    load = load_training_preset if name in training_presets() else load_preset
    print_lines(*load(name).to_yaml().splitlines())
