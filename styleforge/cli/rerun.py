"""``styleforge rerun``: make a picture again from the recipe inside it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from styleforge.errors import UsageError


def rerun(
    picture: Annotated[Path, typer.Argument(help="A picture made by styleforge.", readable=False)],
    output: Annotated[str, typer.Option("-o", "--output", help="Where the new picture goes.")],
    content: Annotated[
        Path | None, typer.Option(help="The content image, if it is no longer where it was.")
    ] = None,
    style: Annotated[
        list[Path] | None, typer.Option(help="The style images, in order, likewise.")
    ] = None,
    device: Annotated[str, typer.Option("-d", "--device", help="Default: as before.")] = "",
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite the output.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Repeat the run that made a picture: same inputs, settings and seed.

    On a CPU with the same versions and number of threads, the new file's pixels are the same.
    """
    started = time.perf_counter()
    from styleforge.cli.job import Job, Request, StyleArgument
    from styleforge.cli.run import run
    from styleforge.presets import Preset
    from styleforge.recipe import load_recipe
    from styleforge.settings import validate

    recipe = load_recipe(picture)
    if style and len(style) != len(recipe.styles):
        raise UsageError(f"{picture} was made from {len(recipe.styles)} styles, not {len(style)}")
    paths = style or [Path(used.path) for used in recipe.styles]
    for path in [content or Path(recipe.content.path), *paths]:
        if not path.exists():
            raise UsageError(
                f"{picture} was made from {path}, which is not there; "
                "say where it is with --content or --style"
            )
    request = Request(
        content=content or Path(recipe.content.path),
        styles=[
            StyleArgument(path, used.weight)
            for path, used in zip(paths, recipe.styles, strict=True)
        ],
        preset_name=recipe.preset,
        preset=validate(Preset, recipe.settings, str(picture)),
        output=output,
        device=device or recipe.device,
        depth=recipe.depth,
        weights_sha256=recipe.weights.get("sha256", ""),
        force=force,
    )
    job = Job.prepare(request)
    job.check_inputs(recipe)
    run(job, quiet=quiet, verbose=False, as_json=as_json, started=started)
