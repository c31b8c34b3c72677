"""``styleforge info``: show the recipe inside a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli import options
from styleforge.cli.options import examples


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
        print(recipe.to_json())
        return
    import yaml

    print(yaml.safe_dump(recipe.to_dict(), sort_keys=False, default_flow_style=None), end="")
