"""``styleforge stylize``: photos through a trained network, in one pass each."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from styleforge.cli import completion, options
from styleforge.cli.options import examples
from styleforge.cli.parsing import bit_depth, check_sizes, memory_size
from styleforge.cli.report import Manner
from styleforge.core.errors import UsageError
from styleforge.images.elsewhere import shown


@examples(
    "stylize photo.jpg --style cafe-terrace",
    "stylize photo.jpg --model mine.safetensors -o out.png",
    "stylize one.jpg two.jpg three.jpg --style cafe-terrace -o painted",
    "stylize photo.jpg --style cafe-terrace:0.7 --style night-cafe:0.3 --strength 0.8",
)
def stylize(
    photos: options.Photos,
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            metavar="NAME[:W]",
            help="A style that the model carries; mix several.",
            autocompletion=completion.styles,
            show_default="the model's first, where one is named",
        ),
    ] = None,
    model: options.ModelName = None,
    output: options.Outputs = None,
    size: options.Longest = 0,
    paper: options.Print = None,
    dpi: options.Dpi = None,
    strength: Annotated[
        float, typer.Option(metavar="0..1", help="From 0, the photo stays, to 1.")
    ] = 1.0,
    colors: options.PictureColors = "style",
    mask: options.Masks = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    memory: options.Memory = "",
    depth: options.Depth = 8,
    no_recipe: options.NoRecipe = False,
    strip_metadata: options.StripMetadata = False,
    force: options.Force = False,
    opened: options.Open = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Repaint a photo, or several, by a trained network, in one pass each."""
    manner = Manner("stylize", quiet, as_json, time.perf_counter(), shown=opened)
    check_sizes(size or None, paper)
    manner.check(output, force=force)
    what = shown(photos[0]) if len(photos) == 1 else f"{len(photos)} photos"
    manner.begin(f"{what} by {' and '.join(style or [model or 'no style'])}")
    from styleforge.cli.stylize_run import run, run_each
    from styleforge.images.geometry import parse_print
    from styleforge.jobs.look import Look
    from styleforge.jobs.mistakes import known_styles
    from styleforge.jobs.result import Kept
    from styleforge.jobs.spelling import with_weight
    from styleforge.jobs.stylize import StylizeJob, StylizeRequest

    manner.loaded()

    if not (style or model) and (known := known_styles()):
        raise UsageError(
            f"name a style, as in --style {known[0]}; there are {', '.join(known)} "
            "(styleforge styles PHOTO shows them)"
        )
    request = StylizeRequest(
        photo=photos[0],
        styles=dict(with_weight(name) for name in style or []),
        model=model,
        output=output,
        look=Look(size, strength, colors, seed, bit_depth(depth)),
        masks=mask or (),
        device=device,
        memory=memory_size(memory),
        printed=parse_print(paper, dpi),
        force=force,
        kept=Kept(recipe=not no_recipe, metadata=not strip_metadata),
    )
    if len(photos) == 1:
        run(StylizeJob.prepare(request), manner)
    else:
        run_each(photos, request, manner)
