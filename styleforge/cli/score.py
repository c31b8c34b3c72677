"""``styleforge score``: how close a picture is to its content and its style."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styleforge.cli.naming import with_weight

if TYPE_CHECKING:
    from rich.table import Table

    from styleforge.score import Score


def score(
    pastiche: Annotated[Path, typer.Argument(help="The picture to judge.", readable=False)],
    content: Annotated[Path, typer.Option("--content", help="The photo it was made from.")],
    style: Annotated[
        list[str],
        typer.Option("--style", metavar="FILE[:W]", help="The painting, or several with weights."),
    ],
    size: Annotated[
        int, typer.Option("-s", "--size", min=64, max=2048, help="Longest side to judge at.")
    ] = 512,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    r"""Measure how close a picture, made by any tool, is to its content and its style.

    \b
    styleforge score out.png --content photo.jpg --style painting.jpg
    styleforge score out.png --content photo.jpg --style a.jpg:0.7 --style b.jpg:0.3 --json
    """
    from styleforge.devices import out_of_memory_as_error
    from styleforge.images import load_image
    from styleforge.score import score as measure
    from styleforge.weights import load_weights

    picture, photo = load_image(pastiche), load_image(content)
    named = [with_weight(text) for text in style]
    styles = [(load_image(Path(name)).pixels, weight) for name, weight in named]
    weights = load_weights("original")
    with out_of_memory_as_error((size, size)):
        found = measure(picture.pixels, photo.pixels, styles, weights=weights, size=size)
    if as_json:
        print(json.dumps(_report(found)))
        return
    from rich.console import Console

    Console().print(_table(found))


def _report(found: Score) -> dict[str, Any]:
    """What ``--json`` prints."""
    width, height = found.size
    return {
        "width": width,
        "height": height,
        "content": {**found.content, "mean": found.mean_content},
        "style": {**found.style, "mean": found.mean_style},
        "ssim": found.ssim,
        "color": {"content": found.content_color, "style": found.style_color},
    }


def _table(found: Score) -> Table:
    from rich.table import Table

    table = Table("at {} x {}".format(*found.size), box=None)
    table.add_column("to the content", justify="right")
    table.add_column("to the style", justify="right")
    for name, distance in sorted((found.content | found.style).items()):
        row = [f"{distance:.4f}", ""] if name in found.content else ["", f"{distance:.4f}"]
        table.add_row(name, *row)
    table.add_row("mean of the layers", f"{found.mean_content:.4f}", f"{found.mean_style:.4f}")
    table.add_row("colour", f"{found.content_color:.4f}", f"{found.style_color:.4f}")
    table.add_row("SSIM", f"{found.ssim:.4f}", "")
    return table
