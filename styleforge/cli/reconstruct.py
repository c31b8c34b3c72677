"""``styleforge reconstruct``: what the layers of VGG-19 know of a picture."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from styleforge.cli import completion, options
from styleforge.cli.help import Command
from styleforge.cli.options import examples
from styleforge.cli.report import Manner
from styleforge.images.elsewhere import shown

reconstruct = typer.Typer(
    name="reconstruct",
    help="Show what the layers of VGG-19 know of a picture: its features or its style.",
    no_args_is_help=True,
)


@reconstruct.command(cls=Command)
@examples(
    "reconstruct content photo.jpg",
    "reconstruct content photo.jpg --layer conv4_2 -o conv4_2.png",
)
def content(
    picture: Annotated[str, typer.Argument(metavar="PHOTO", help="The photo.")],
    layer: Annotated[
        str,
        typer.Option(
            metavar="LAYER",
            help="One layer.",
            autocompletion=completion.layers,
            show_default="a sheet of five",
        ),
    ] = "",
    output: options.OutputFile = None,
    size: options.Longest = 256,
    steps: options.EverySteps = 100,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    no_recipe: options.NoRecipe = False,
    force: options.Force = False,
    opened: options.Open = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Find images with the photo's features (Gatys et al. 2016, figure 1), from white noise."""
    manner = Manner("reconstruct content", quiet, as_json, time.perf_counter(), shown=opened)
    manner.check(output, force=force)
    manner.begin(shown(picture))
    from styleforge.cli.synthesis_run import run
    from styleforge.jobs.reconstruct import ReconstructRequest, prepare

    manner.loaded()

    layers = [layer] if layer else []
    request = ReconstructRequest(
        "content", picture, layers, size, steps, seed, output, device, force
    )
    run(prepare(request), manner, recipe=not no_recipe)


@reconstruct.command(cls=Command)
@examples(
    "reconstruct style painting.jpg",
    "reconstruct style painting.jpg --layer conv1_1 --layer conv3_1 -o strokes.png",
)
def style(
    picture: Annotated[
        str,
        typer.Argument(metavar="PAINTING", help="The painting."),
    ],
    layer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER",
            help="One picture of this layer; repeat it for several.",
            autocompletion=completion.layers,
            show_default="a sheet of five",
        ),
    ] = None,
    output: options.OutputFile = None,
    size: options.Longest = 256,
    steps: options.EverySteps = 100,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    no_recipe: options.NoRecipe = False,
    force: options.Force = False,
    opened: options.Open = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Find images with the painting's Gram matrices (Gatys et al. 2016, figure 1), from noise."""
    manner = Manner("reconstruct style", quiet, as_json, time.perf_counter(), shown=opened)
    manner.check(output, force=force)
    manner.begin(shown(picture))
    from styleforge.cli.synthesis_run import run
    from styleforge.jobs.reconstruct import ReconstructRequest, prepare

    manner.loaded()

    request = ReconstructRequest(
        "style", picture, layer or [], size, steps, seed, output, device, force
    )
    run(prepare(request), manner, recipe=not no_recipe)
