"""``styleforge dream``: pictures of what a layer, a channel or a unit responds to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli.parsing import known_layer, picture_size

STEPS, STEPS_FROM_NOISE = 10, 50
"""At every octave, where nothing else is said."""


def dream(
    image: Annotated[
        Path | None, typer.Argument(help="A picture. Default: noise.", readable=False)
    ] = None,
    layer: Annotated[str, typer.Option(help="Of VGG-19.")] = "conv5_1",
    channel: Annotated[
        int | None, typer.Option(min=0, help="One of the layer's channels. Default: all.")
    ] = None,
    unit: Annotated[
        str, typer.Option(metavar="X,Y", help="Only what is at this pixel. Default: everywhere.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: IMAGE_LAYER.png here.")
    ] = None,
    size: Annotated[
        str, typer.Option("-s", "--size", help="Longest side; from noise also WIDTHxHEIGHT.")
    ] = "512",
    steps: Annotated[
        int | None,
        typer.Option(
            "-n",
            "--steps",
            min=1,
            help=f"At every octave. Default: {STEPS}, from noise {STEPS_FROM_NOISE}.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of noise and jitter.")] = 0,
    device: Annotated[
        str, typer.Option("-d", "--device", envvar="STYLEFORGE_DEVICE", help="auto, cpu, cuda, ...")
    ] = "auto",
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite the output.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    r"""Change a picture, or noise, so that a part of the network responds more to it.

    \b
    styleforge dream photo.jpg --layer conv5_1
    styleforge dream --layer conv4_3 --channel 100 --size 512x384 -o channel.png
    styleforge dream photo.jpg --layer conv5_3 --channel 7 --unit 200,120
    """
    known_layer(layer)
    wanted = picture_size(size)
    from styleforge.jobs.dream import Request, run, target
    from styleforge.jobs.synthesis import Destination

    name = "_".join(
        [image.stem if image else "dream", layer, *([f"{channel}"] * (channel is not None))]
    )
    request = Request(
        image=image,
        target=target(layer, channel, unit),
        size=wanted,
        steps=steps or (STEPS if image else STEPS_FROM_NOISE),
        seed=seed,
        device=device,
    )
    run(request, Destination(output or Path(f"{name}.png"), force, quiet, as_json))
