"""``styleforge texture``: as much of a texture as one likes, from a painting or a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli.parsing import bit_depth, picture_size
from styleforge.core.errors import UsageError

STEPS = 50
"""At every scale, where nothing else is said."""


def texture(
    style: Annotated[
        str, typer.Argument(help="A painting, or the name of a texture that a model carries.")
    ] = "",
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="A file, or a model's name.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: STYLE_WIDTHxHEIGHT.png here.")
    ] = None,
    size: Annotated[str, typer.Option("-s", "--size", help="WIDTHxHEIGHT.")] = "512x512",
    tile: Annotated[bool, typer.Option("--tile", help="Opposite edges fit together.")] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            "-n", "--steps", min=1, help=f"From a painting: at every scale. Default: {STEPS}."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed, another piece.")] = 0,
    device: Annotated[
        str, typer.Option("-d", "--device", envvar="STYLEFORGE_DEVICE", help="auto, cpu, cuda, ...")
    ] = "auto",
    depth: Annotated[int, typer.Option(help="Bits per channel: 8, or 16 (PNG, TIFF).")] = 8,
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite the output.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    r"""Make a texture of any size: from a painting, or with a network that was trained on it.

    \b
    styleforge texture wood.jpg --size 1024x768
    styleforge train --style wood.jpg -p texture -o wood.safetensors
    styleforge texture --model wood.safetensors --size 1024x768 -o out.png
    """
    wanted = picture_size(size)
    from styleforge.jobs.texture import TextureRequest, sample, synthesize

    if not (style or model):
        raise UsageError("name a painting, a texture, or a model with --model")
    request = TextureRequest(
        size=wanted,
        output=output,
        tile=tile,
        seed=seed,
        device=device,
        depth=bit_depth(depth),
        force=force,
        quiet=quiet,
        as_json=as_json,
    )
    if model is None and _names_a_picture(style):
        synthesize(request, Path(style), STEPS if steps is None else steps)
    elif steps is None:
        sample(request, style, model)
    else:
        raise UsageError("--steps is for a texture from a painting; a trained network takes none")


def _names_a_picture(style: str) -> bool:
    """Names of styles and models have no suffix."""
    return Path(style).suffix not in ("", ".safetensors")
