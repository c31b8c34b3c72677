"""``styleforge inspect``: the feature maps and the Gram matrix of a layer."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styleforge.cli import completion, options
from styleforge.cli.options import examples
from styleforge.cli.progress import print_json, say, suggest
from styleforge.cli.report import Manner, elapsed
from styleforge.core.layers import known_layer
from styleforge.images.elsewhere import shown

if TYPE_CHECKING:
    from styleforge.jobs.inspect import Inspection, InspectRequest


@examples(
    "inspect photo.jpg --layer conv4_2",
    "inspect photo.jpg --layer conv3_1 --count 12 --gram gram.png --json",
)
def inspect(
    image: Annotated[
        str,
        typer.Argument(metavar="PICTURE", help="What is looked at."),
    ],
    layer: Annotated[
        str,
        typer.Option(
            metavar="LAYER",
            help="Of VGG-19, such as conv4_2, relu4_2 or pool4.",
            autocompletion=completion.layers,
        ),
    ] = "conv4_2",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where the feature maps go.",
            show_default="PICTURE_LAYER.png, here",
            rich_help_panel=options.SAVED,
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, metavar="N", help="Feature maps to show.")] = 24,
    gram: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also the Gram matrix, as a .png.")
    ] = None,
    size: options.Longest = 512,
    device: options.Device = "auto",
    force: options.Force = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Show which channels of a layer respond most to a picture, and where.

    A mean of 1 is what the channel has over photographs.
    """
    known_layer(layer)
    manner = Manner("inspect", quiet, as_json, time.perf_counter())
    manner.check(output, force=force)
    manner.begin(f"{layer} of {shown(image)}")
    from styleforge.images.load import stem_of
    from styleforge.jobs.inspect import InspectRequest
    from styleforge.jobs.inspect import inspect as look
    from styleforge.jobs.naming import free_path

    manner.loaded()

    request = InspectRequest(
        image=image,
        layer=layer,
        output=output or free_path(Path(f"{stem_of(image)}_{layer}.png"), force=force),
        count=count,
        gram=gram,
        size=size,
        device=device,
        force=force,
    )
    found = look(request)
    if as_json:
        print_json(_report(request, found))
    if not quiet:
        for path in request.outputs:
            say(f"Saved {path} in {elapsed(manner.started)}")
        strongest = found.strongest[0].channel
        suggest(
            f"styleforge dream {shlex.quote(shown(image))} --layer {layer} --channel {strongest}"
        )


def _report(request: InspectRequest, found: Inspection) -> dict[str, Any]:
    return {
        "image": found.picture.name,
        "layer": request.layer,
        "channels": found.channels,
        "width": found.width,
        "height": found.height,
        "strongest": [
            {"channel": one.channel, "mean": one.mean, "maximum": one.maximum}
            for one in found.strongest
        ],
        "output": str(request.output),
        "gram": None if request.gram is None else str(request.gram),
    }
