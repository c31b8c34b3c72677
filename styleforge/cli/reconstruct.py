"""``styleforge reconstruct``: what the layers of VGG-19 know of a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli.parsing import known_layer

reconstruct = typer.Typer(
    name="reconstruct",
    help="Show what the layers of VGG-19 know of a picture: its features or its style.",
    no_args_is_help=True,
)

Output = Annotated[Path | None, typer.Option("-o", "--output", help="Default: named after it.")]
Longest = Annotated[
    int, typer.Option("-s", "--size", min=0, help="Longest side of a picture; 0: its own.")
]
Steps = Annotated[int, typer.Option("-n", "--steps", min=1, help="Steps at every scale.")]
Seed = Annotated[int, typer.Option(min=0, help="Of the white noise at the start.")]
Device = Annotated[
    str, typer.Option("-d", "--device", envvar="STYLEFORGE_DEVICE", help="auto, cpu, cuda, ...")
]
Force = Annotated[bool, typer.Option("-f", "--force", help="Overwrite the output.")]
Quiet = Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@reconstruct.command()
def content(
    picture: Annotated[Path, typer.Argument(metavar="PHOTO", help="The photo.", readable=False)],
    layer: Annotated[str, typer.Option(help="One layer instead of a sheet of five.")] = "",
    output: Output = None,
    size: Longest = 256,
    steps: Steps = 100,
    seed: Seed = 0,
    device: Device = "auto",
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    r"""Find images with the photo's features (Gatys et al. 2016, figure 1), from white noise.

    \b
    styleforge reconstruct content photo.jpg
    styleforge reconstruct content photo.jpg --layer conv4_2 -o conv4_2.png
    """
    from styleforge.jobs.reconstruct import Request, run
    from styleforge.jobs.synthesis import Destination

    layers = [known_layer(layer)] if layer else []
    output = output or Path(f"{picture.stem}_{layer or 'content'}.png")
    run(
        Request("content", picture, layers, size, steps, seed, device),
        Destination(output, force, quiet, as_json),
    )


@reconstruct.command()
def style(
    picture: Annotated[
        Path, typer.Argument(metavar="PAINTING", help="The painting.", readable=False)
    ],
    layer: Annotated[
        list[str] | None,
        typer.Option(help="One picture of this layer instead of a sheet; repeat for several."),
    ] = None,
    output: Output = None,
    size: Longest = 256,
    steps: Steps = 100,
    seed: Seed = 0,
    device: Device = "auto",
    force: Force = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    r"""Find images with the painting's Gram matrices (Gatys et al. 2016, figure 1), from noise.

    \b
    styleforge reconstruct style painting.jpg
    styleforge reconstruct style painting.jpg --layer conv1_1 --layer conv3_1 -o strokes.png
    """
    from styleforge.jobs.reconstruct import Request, run
    from styleforge.jobs.synthesis import Destination

    layers = [known_layer(name) for name in layer or ()]
    output = output or Path(f"{picture.stem}_{'_'.join(layers) or 'style'}.png")
    run(
        Request("style", picture, layers, size, steps, seed, device),
        Destination(output, force, quiet, as_json),
    )
