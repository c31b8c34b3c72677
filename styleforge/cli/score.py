"""``styleforge score``: how close a picture is to its content and its style."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styleforge.cli import options
from styleforge.cli.options import examples
from styleforge.cli.parsing import memory_size
from styleforge.cli.progress import print_json, say, suggest
from styleforge.cli.report import elapsed
from styleforge.core.errors import UsageError
from styleforge.images.elsewhere import shown

if TYPE_CHECKING:
    from rich.table import Table

    from styleforge.transfers.score import Score


@examples(
    "score out.png --content photo.jpg --style painting.jpg",
    "score out.png --content photo.jpg --style a.jpg:0.7 --style b.jpg:0.3 --json",
)
def score(
    pastiche: Annotated[
        str,
        typer.Argument(metavar="PICTURE", help="What is judged."),
    ],
    content: Annotated[
        str, typer.Option("--content", metavar="PHOTO", help="What it was made from.")
    ],
    paintings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PAINTING...", help="The painting, or several: FILE\\[:W].", show_default=False
        ),
    ] = None,
    style: options.MorePaintings = None,
    size: Annotated[
        int,
        typer.Option(
            "-s", "--size", min=64, max=2048, metavar="PIXELS", help="Longest side to judge at."
        ),
    ] = 512,
    memory: options.Memory = "",
    as_json: options.AsJson = False,
) -> None:
    """Measure how close a picture, made by any tool, is to its content and its style.

    Distances are 0 where nothing differs, and SSIM is 1. "from its patches" says how far the
    picture's patches are from the most similar of the painting's (0 to 2, the smaller the
    nearer); usage is the share of the painting's patches that are the most similar to any (up to
    1); leak is how much of the photo's fine detail is in the picture (1: all, 0: none).
    """
    started = time.perf_counter()
    from styleforge.core.devices import out_of_memory_as_error, pick_device
    from styleforge.images.load import load_image
    from styleforge.jobs.spelling import with_weight
    from styleforge.transfers.estimate import available_memory
    from styleforge.transfers.score import score as measure
    from styleforge.vgg.weights import load_weights

    picture, photo = load_image(pastiche), load_image(content)
    named = [with_weight(text) for text in [*(paintings or ()), *(style or ())]]
    if not named:
        raise UsageError("name the painting, too: styleforge score PICTURE PAINTING")
    styles = [(load_image(name).pixels, weight) for name, weight in named]
    weights = load_weights("original")
    with out_of_memory_as_error((size, size)):
        found = measure(
            picture.pixels,
            photo.pixels,
            styles,
            weights=weights,
            size=size,
            memory=memory_size(memory) or available_memory(pick_device("cpu")),
        )
    if as_json:
        print_json(_report(found))
        return
    from rich.console import Console

    Console().print(_table(found))
    say(f"Measured {shown(pastiche)} in {elapsed(started)}")
    suggest("score another picture of the same photo and painting beside it: less is nearer")


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
        "nearness": {**found.nearness, "mean": found.mean_nearness},
        "usage": found.usage,
        "leak": found.leak,
    }


def _table(found: Score) -> Table:
    from rich.table import Table

    table = Table("at {} x {}".format(*found.size), box=None)
    columns = (found.content, found.style, found.nearness)
    for title in ("to the content", "to the style", "from its patches"):
        table.add_column(title, justify="right")
    for layer in sorted(set().union(*columns)):
        table.add_row(layer, *(_figure(column.get(layer)) for column in columns))
    means = (found.mean_content, found.mean_style, found.mean_nearness)
    table.add_row("mean of the layers", *map(_figure, means))
    table.add_row("color", _figure(found.content_color), _figure(found.style_color))
    table.add_row("SSIM", _figure(found.ssim))
    table.add_row("leak", _figure(found.leak))
    table.add_row("usage", "", "", _figure(found.usage))
    return table


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
