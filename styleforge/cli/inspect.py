"""``styleforge inspect``: the feature maps and the Gram matrix of a layer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli.parsing import known_layer


def inspect(
    image: Annotated[Path, typer.Argument(help="A picture.", readable=False)],
    layer: Annotated[
        str, typer.Option(help="Of VGG-19, such as conv4_2, relu4_2 or pool4.")
    ] = "conv4_2",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: IMAGE_LAYER.png here.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Feature maps to show.")] = 24,
    gram: Annotated[
        Path | None, typer.Option(help="Also draw the Gram matrix, into this .png.")
    ] = None,
    size: Annotated[
        int, typer.Option("-s", "--size", min=0, help="Longest side that is looked at; 0: its own.")
    ] = 512,
    device: Annotated[
        str, typer.Option("-d", "--device", envvar="STYLEFORGE_DEVICE", help="auto, cpu, cuda, ...")
    ] = "auto",
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite the output.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    r"""Show which channels of a layer respond most to a picture, and where.

    \b
    styleforge inspect photo.jpg --layer conv4_2
    styleforge inspect photo.jpg --layer conv3_1 --count 12 --gram gram.png --json

    A mean of 1 is what the channel has over photographs.
    """
    known_layer(layer)
    from styleforge.jobs.inspect import Request, run

    request = Request(
        image=image,
        layer=layer,
        output=output or Path(f"{image.stem}_{layer}.png"),
        count=count,
        gram=gram,
        size=size,
        device=device,
        force=force,
    )
    run(request, quiet=quiet, as_json=as_json)
