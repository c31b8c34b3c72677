"""``styleforge dream``: pictures of what a layer, a channel or a unit responds to."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from styleforge.cli import completion, options
from styleforge.cli.options import examples
from styleforge.cli.report import Manner
from styleforge.images.elsewhere import shown


@examples(
    "dream photo.jpg --layer conv5_1",
    "dream --layer conv4_3 --channel 100 --size 512x384 -o channel.png",
    "dream photo.jpg --layer conv5_3 --channel 7 --unit 200,120",
)
def dream(
    image: Annotated[
        str | None,
        typer.Argument(metavar="PICTURE", help="What it starts from.", show_default="noise"),
    ] = None,
    layer: Annotated[
        str, typer.Option(metavar="LAYER", help="Of VGG-19.", autocompletion=completion.layers)
    ] = "conv5_1",
    channel: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", help="One of the layer's channels.", show_default="all of them"
        ),
    ] = None,
    unit: Annotated[
        str,
        typer.Option(metavar="X,Y", help="Only what is at this pixel.", show_default="everywhere"),
    ] = "",
    output: options.OutputFile = None,
    size: Annotated[
        str,
        typer.Option(
            "-s", "--size", metavar="PIXELS", help="Longest side; from noise also WIDTHxHEIGHT."
        ),
    ] = "512",
    steps: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--steps",
            min=1,
            metavar="N",
            help="At every octave.",
            show_default="10, from noise 50",
        ),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    no_recipe: options.NoRecipe = False,
    force: options.Force = False,
    opened: options.Open = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Change a picture, or noise, so that a part of the network responds more to it."""
    manner = Manner("dream", quiet, as_json, time.perf_counter(), shown=opened)
    manner.check(output, force=force)
    manner.begin(f"{layer} from {shown(image) if image else 'noise'}")
    from styleforge.cli.synthesis_run import run
    from styleforge.images.geometry import parse_size
    from styleforge.jobs.dream import DreamRequest, parse_place, prepare

    manner.loaded()

    request = DreamRequest(
        image=image,
        layer=layer,
        channel=channel,
        unit=parse_place(unit),
        size=parse_size(size),
        steps=steps,
        seed=seed,
        output=output,
        device=device,
        force=force,
    )
    run(prepare(request), manner, recipe=not no_recipe)
