"""``styleforge texture``: as much of a texture as one likes, from a painting or a network."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from styleforge.cli import options
from styleforge.cli.options import examples
from styleforge.cli.parsing import bit_depth
from styleforge.cli.report import Manner
from styleforge.images.elsewhere import shown


@examples(
    "texture wood.jpg --size 1024x768",
    "train wood.jpg -p texture -o wood.safetensors",
    "texture --model wood.safetensors --size 1024x768 -o out.png",
)
def texture(
    style: Annotated[
        str,
        typer.Argument(
            metavar="PAINTING|NAME",
            help="A painting, or the name of a texture that a model carries.",
            show_default=False,
        ),
    ] = "",
    model: options.ModelName = None,
    output: options.OutputFile = None,
    size: Annotated[
        str, typer.Option("-s", "--size", metavar="WIDTHxHEIGHT", help="Of the texture.")
    ] = "512x512",
    tile: Annotated[bool, typer.Option("--tile", help="Opposite edges fit together.")] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--steps",
            min=1,
            metavar="N",
            help="From a painting: at every scale.",
            show_default="50",
        ),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    depth: options.Depth = 8,
    no_recipe: options.NoRecipe = False,
    force: options.Force = False,
    opened: options.Open = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Make a texture of any size: from a painting, or with a network that was trained on it."""
    manner = Manner("texture", quiet, as_json, time.perf_counter(), shown=opened)
    manner.check(output, force=force)
    manner.begin(f"{shown(style) or model}, {size}")
    from styleforge.cli.synthesis_run import run
    from styleforge.images.geometry import parse_size
    from styleforge.jobs.texture import TextureRequest, prepare

    manner.loaded()

    request = TextureRequest(
        style=style,
        model=model,
        size=parse_size(size),
        tile=tile,
        steps=steps,
        seed=seed,
        depth=bit_depth(depth),
        output=output,
        device=device,
        force=force,
    )
    run(prepare(request), manner, recipe=not no_recipe)
