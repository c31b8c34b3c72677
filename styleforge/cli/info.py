"""``styleforge info``: show the recipe inside a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def info(
    picture: Annotated[Path, typer.Argument(help="A picture made by styleforge.", readable=False)],
    as_json: Annotated[bool, typer.Option("--json", help="Print the recipe as JSON.")] = False,
) -> None:
    """Show how a picture was made: inputs, settings, versions."""
    from styleforge.jobs.recipe import load_recipe

    recipe = load_recipe(picture)
    if as_json:
        print(recipe.to_json())
        return
    import yaml

    print(yaml.safe_dump(recipe.to_dict(), sort_keys=False, default_flow_style=None), end="")
