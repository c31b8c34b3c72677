"""``styleforge info``: show the recipe inside a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli import options
from styleforge.cli.options import examples
from styleforge.cli.progress import print_json, print_lines


@examples("info out.png", "info out.png --json")
def info(
    picture: Annotated[
        Path,
        typer.Argument(metavar="PICTURE", help="A picture made by styleforge.", readable=False),
    ],
    as_json: options.AsJson = False,
) -> None:
    """Show how a picture was made: inputs, settings, versions."""
    from styleforge.jobs.recipe import load_recipe

    recipe = load_recipe(picture)
    if as_json:
        print_json({"styleforge": recipe.to_dict()})
        return
    import yaml

    print_lines(
        *yaml.safe_dump(recipe.to_dict(), sort_keys=False, default_flow_style=None).splitlines()
    )
