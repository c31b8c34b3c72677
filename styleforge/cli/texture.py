"""``styleforge texture``: as much of a texture as one likes, from a trained network."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli.naming import bit_depth, picture_size
from styleforge.errors import UsageError


def texture(
    style: Annotated[str, typer.Argument(help="The name of a texture that a model carries.")] = "",
    model: Annotated[
        str | None, typer.Option("-m", "--model", help="A file, or a model's name.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: STYLE_WIDTHxHEIGHT.png here.")
    ] = None,
    size: Annotated[str, typer.Option("-s", "--size", help="WIDTHxHEIGHT.")] = "512x512",
    tile: Annotated[bool, typer.Option("--tile", help="Opposite edges fit together.")] = False,
    seed: Annotated[int, typer.Option(help="Another seed, another piece.")] = 0,
    device: Annotated[
        str, typer.Option("-d", "--device", envvar="STYLEFORGE_DEVICE", help="auto, cpu, cuda, ...")
    ] = "auto",
    depth: Annotated[int, typer.Option(help="Bits per channel: 8, or 16 (PNG, TIFF).")] = 8,
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite the output.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
) -> None:
    r"""Make a texture of any size with a network that was trained on it.

    \b
    styleforge train --style wood.jpg -p texture -o wood.safetensors
    styleforge texture --model wood.safetensors --size 1024x768 -o out.png
    """
    started = time.perf_counter()
    width, height = picture_size(size)
    from styleforge.devices import out_of_memory_as_error, pick_device
    from styleforge.models import find_model, load_model
    from styleforge.networks.texture import TextureNetwork
    from styleforge.output import check_output, save_image
    from styleforge.stylize import sample_texture

    if not (style or model):
        raise UsageError("name a texture, or a model with --model")
    path, _ = find_model(model or style)
    loaded = load_model(path)
    network = loaded.network
    if not isinstance(network, TextureNetwork) or network.settings.content:
        raise UsageError(f"{loaded.name} stylizes photos: use styleforge stylize --model {path}")
    if style:
        loaded.mixture({style: 1.0})
    if tile and (width % network.period or height % network.period):
        raise UsageError(
            f"--tile needs sides that are multiples of {network.period} pixels, such as "
            f"{_rounded(width, network.period)}x{_rounded(height, network.period)}"
        )
    output = output or Path(f"{loaded.style_names[0]}_{width}x{height}.png")
    bits = bit_depth(depth)
    check_output(output, inputs=[path], force=force, depth=bits, pixels=width * height)
    with out_of_memory_as_error((width, height)):
        network = network.to(pick_device(device))
        image = sample_texture(network, (width, height), seed=seed).cpu()
    save_image(output, image, depth=bits)
    if not quiet:
        seconds = time.perf_counter() - started
        print(f"Saved {output} ({width} x {height}) in {seconds:.1f} s", file=sys.stderr)


def _rounded(side: int, period: int) -> int:
    return max(period, round(side / period) * period)
