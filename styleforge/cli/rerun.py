"""``styleforge rerun``: make a picture again from the recipe inside it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from styleforge.cli import completion, options
from styleforge.cli.options import examples
from styleforge.cli.progress import print_json, print_lines
from styleforge.cli.report import Manner
from styleforge.core.errors import UsageError

if TYPE_CHECKING:
    from styleforge.jobs.recipe import Input


@examples(
    "rerun out.png --list",
    "rerun out.png -o again.png",
    "rerun out.png -o again.png --content moved/photo.jpg",
)
def rerun(
    picture: Annotated[
        Path,
        typer.Argument(
            metavar="PICTURE", help="A picture or film made by styleforge.", readable=False
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Where the new picture goes."),
    ] = None,
    content: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The photo, if it is no longer where it was."),
    ] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="The paintings, in order, likewise."),
    ] = None,
    init: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The initial image, likewise.")
    ] = None,
    init_photo: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The frame before, in a sequence, likewise."),
    ] = None,
    mask: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="The masks, in order, likewise.")
    ] = None,
    style_mask: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="The paintings' masks, likewise.")
    ] = None,
    keyframe: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A film's keyframes, in order, likewise."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The trained network, likewise.")
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            "-d",
            "--device",
            metavar="NAME",
            help="Where.",
            show_default="as before",
            autocompletion=completion.devices,
        ),
    ] = "",
    list_inputs: Annotated[
        bool,
        typer.Option(
            "--list",
            help="Only print which files it would open, as the recipe names them.",
            rich_help_panel=options.SAID,
        ),
    ] = False,
    force: options.Force = False,
    opened: options.Open = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Repeat the run that made a picture: same inputs, settings and seed.

    On a CPU with the same versions and number of threads, the new file's pixels are the same.
    """
    manner = Manner("rerun", quiet, as_json, time.perf_counter(), shown=opened)
    manner.check(output, force=force)
    if list_inputs:
        output = None
    elif output is None:
        raise UsageError("say where the new picture goes with `output`")
    else:
        manner.begin(f"{picture} once more")
    from styleforge.cli import stylize_run, synthesis_run, transfer_run, video_run
    from styleforge.jobs import rerun as jobs
    from styleforge.jobs.recipe import StylizeRecipe, TransferRecipe, VideoRecipe, load_recipe

    recipe = load_recipe(picture)
    if output is None:
        weights = jobs.weights_file(recipe)
        named = [*jobs.inputs_of(recipe), *([("weights", weights)] if weights else [])]
        _print_inputs(named, as_json=as_json)
        return
    manner.loaded()
    again = jobs.Again(
        picture=picture,
        output=output,
        content=content,
        styles=style or (),
        init=init,
        init_photo=init_photo,
        masks=mask or (),
        style_masks=style_mask or (),
        keyframes=keyframe or (),
        model=model,
        device=device,
        force=force,
    )
    if isinstance(recipe, TransferRecipe):
        transfer_run.run(jobs.transfer_again(recipe, again), manner)
    elif isinstance(recipe, VideoRecipe):
        video_run.run(jobs.video_again(recipe, again), manner)
    elif isinstance(recipe, StylizeRecipe):
        stylize_run.run(jobs.stylize_again(recipe, again), manner)
    else:
        synthesis_run.run(jobs.synthesis_again(recipe, again), manner)


def _print_inputs(inputs: Sequence[tuple[str, Input]], *, as_json: bool) -> None:
    if as_json:
        files = [{"option": o, "path": one.path, "sha256": one.sha256} for o, one in inputs]
        print_json({"inputs": files})
        return
    for option, one in inputs:
        print_lines(f"{option.replace('_', '-'):10} {one.path}")
