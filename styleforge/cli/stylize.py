"""``styleforge stylize``: a photo through a trained network, in one pass."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli.parsing import bit_depth, memory_size, with_weight
from styleforge.core.errors import UsageError


def stylize(
    photo: Annotated[Path, typer.Argument(help="The photo to repaint.", readable=False)],
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style", metavar="NAME[:W]", help="A style that the model carries; mix several."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="A file, a model's name or a style's. Default: ours."),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="Default: PHOTO_STYLE.png here; - is stdout."),
    ] = None,
    size: Annotated[int, typer.Option("-s", "--size", help="Longest side; 0: as it is.")] = 0,
    strength: Annotated[float, typer.Option(help="From 0, the photo, to 1.")] = 1.0,
    colors: Annotated[str, typer.Option(help="style, or keep the photo's.")] = "style",
    mask: Annotated[
        list[Path] | None,
        typer.Option("--mask", metavar="FILE", help="White where a style goes; one a style."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of a texture network's noise.")] = 0,
    device: Annotated[
        str, typer.Option("-d", "--device", envvar="STYLEFORGE_DEVICE", help="auto, cpu, cuda, ...")
    ] = "auto",
    memory: Annotated[
        str, typer.Option(envvar="STYLEFORGE_MEMORY", help="What it may take, as in 8GiB.")
    ] = "",
    depth: Annotated[int, typer.Option(help="Bits per channel: 8, or 16 (PNG, TIFF).")] = 8,
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite the output.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    r"""Repaint a photo by a trained network, in one pass.

    \b
    styleforge stylize photo.jpg --style cafe-terrace
    styleforge stylize photo.jpg --model mine.safetensors -o out.png
    styleforge stylize photo.jpg --style cafe-terrace:0.7 --style night-cafe:0.3 --strength 0.8
    """
    started = time.perf_counter()
    from styleforge.jobs.stylize import StylizeJob, StylizeRequest, run

    request = StylizeRequest(
        photo=photo,
        styles=dict(with_weight(name) for name in style or []),
        model=model,
        output=output,
        size=size,
        strength=strength,
        colors=colors,
        masks=mask or (),
        seed=seed,
        device=device,
        memory=memory_size(memory),
        depth=bit_depth(depth),
        force=force,
    )
    if as_json and output == "-":
        raise UsageError("--json and -o - both want standard output; name an output file")
    run(StylizeJob.prepare(request), quiet=quiet, as_json=as_json, started=started)
