"""``styleforge transfer``: options to settings, one run, a picture."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli import completion, options
from styleforge.cli.options import SAVED, examples, setting
from styleforge.cli.parsing import bit_depth, check_sizes, memory_size
from styleforge.cli.report import Manner
from styleforge.core.errors import UsageError
from styleforge.images.elsewhere import shown


@examples(
    "transfer photo.jpg painting.jpg",
    "transfer photo.jpg painting.jpg -p photo --strength 0.4 -o out.jpg",
    "transfer photo.jpg a.jpg:0.7 b.jpg:0.3 --style-layer conv3_1 --dry-run",
)
def transfer(
    photo: options.Photo,
    paintings: options.Paintings = None,
    style: options.MorePaintings = None,
    output: options.Output = None,
    preset: options.PresetName = "painterly",
    size: options.Size = None,
    paper: options.Print = None,
    dpi: options.Dpi = None,
    steps: options.Steps = None,
    strength: options.Strength = None,
    colors: options.Colors = None,
    mask: options.Masks = None,
    style_mask: options.StyleMasks = None,
    style_scale: Annotated[
        float | None,
        setting("--style-scale", metavar="FACTOR", help="Above 1 strokes get larger."),
    ] = None,
    init: Annotated[
        str | None,
        setting("--init", metavar="FROM", help="content, noise, recolored or an image file."),
    ] = None,
    alpha: Annotated[
        float | None, setting("--alpha", metavar="WEIGHT", help="Weight of the content.")
    ] = None,
    beta: options.Beta = None,
    neighbors: Annotated[
        float | None,
        setting(
            "--neighbors", metavar="WEIGHT", help="Weight of the painting's most similar places."
        ),
    ] = None,
    tv: Annotated[
        float | None, setting("--tv", metavar="WEIGHT", help="Weight of the total variation.")
    ] = None,
    statistic: Annotated[
        str | None,
        setting(
            "--statistic",
            metavar="NAME",
            help="What is matched: gram, mean-std, covariance or sliced-wasserstein.",
            autocompletion=completion.statistics,
        ),
    ] = None,
    content_layer: Annotated[
        list[str] | None,
        setting(
            "--content-layer",
            metavar="NAME[=W]",
            env=False,
            help="Instead of the preset's.",
            autocompletion=completion.layers,
        ),
    ] = None,
    style_layer: Annotated[
        list[str] | None,
        setting(
            "--style-layer",
            metavar="NAME[=W]",
            env=False,
            help="Instead of the preset's.",
            autocompletion=completion.layers,
        ),
    ] = None,
    optimizer: Annotated[
        str | None, setting("--optimizer", metavar="NAME", help="lbfgs or adam.")
    ] = None,
    pooling: Annotated[str | None, setting("--pooling", metavar="NAME", help="avg or max.")] = None,
    weights: Annotated[
        str | None,
        setting("--weights", metavar="NAME", help="auto, original, torchvision or a file."),
    ] = None,
    seed: Annotated[int | None, setting("--seed", metavar="N", help="Of what is random.")] = None,
    settings: options.Set = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    memory: options.Memory = "",
    depth: options.Depth = 8,
    save_every: Annotated[
        int,
        typer.Option(
            "--save-every",
            metavar="N",
            min=0,
            help="Also the picture after every N steps.",
            show_default=False,
            rich_help_panel=SAVED,
        ),
    ] = 0,
    animate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also how it came about: .gif, .webp or .mp4.",
            rich_help_panel=SAVED,
        ),
    ] = None,
    source_map: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Also where in the paintings each place came from.",
            rich_help_panel=SAVED,
        ),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(
            "--preview",
            metavar="FILE",
            help="Also a small picture on the way, for a viewer that refreshes it.",
            rich_help_panel=SAVED,
        ),
    ] = None,
    no_recipe: options.NoRecipe = False,
    strip_metadata: options.StripMetadata = False,
    force: options.Force = False,
    opened: options.Open = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """Repaint a photo in the style of one or more paintings."""
    manner = Manner("transfer", quiet, as_json, time.perf_counter(), verbose, opened)
    named = [*(paintings or ()), *(style or ())]
    if not named:
        raise UsageError("name a painting, too: styleforge transfer PHOTO PAINTING")
    check_sizes(size, paper)
    manner.check(output, force=force or dry_run)
    manner.begin(f"{shown(photo)} after {' and '.join(map(shown, named))}, preset {preset}")
    from styleforge.images.geometry import parse_print
    from styleforge.jobs.result import Kept
    from styleforge.jobs.spelling import painting
    from styleforge.jobs.transfer import TransferJob, TransferRequest
    from styleforge.presets.grid import settings_of
    from styleforge.presets.transfer import load_preset, settings_by_key

    manner.loaded()

    given = settings_by_key(
        {
            "size": size,
            "steps": steps,
            "optimizer": optimizer,
            "init": init,
            "alpha": alpha,
            "beta": beta,
            "neighbors": neighbors,
            "strength": strength,
            "statistic": statistic,
            "style_scale": style_scale,
            "colors": colors,
            "tv": tv,
            "content_layers": _layers(content_layer),
            "style_layers": _layers(style_layer),
            "pooling": pooling,
            "weights": weights,
            "seed": seed,
        }
    )
    request = TransferRequest(
        photo=photo,
        paintings=[painting(text) for text in named],
        preset_name=preset,
        preset=load_preset(preset, options.merged(given, settings_of(settings or ()))),
        masks=mask or (),
        style_masks=style_mask or (),
        output=output,
        device=device,
        depth=bit_depth(depth),
        save_every=save_every,
        animate=animate,
        source_map=source_map,
        preview=preview,
        printed=parse_print(paper, dpi),
        force=force,
        kept=Kept(recipe=not no_recipe, metadata=not strip_metadata),
        memory=memory_size(memory),
        precision=precision,
    )
    job = TransferJob.prepare(request, planning=dry_run)
    if dry_run:
        from styleforge.cli.dry_run import print_plan

        print_plan(job, manner)
        return
    from styleforge.cli.transfer_run import run

    run(job, manner)


def _layers(values: list[str] | None) -> dict[str, str | float] | None:
    """``NAME[=W]`` options to a layer table; the weights of layers without one sum to 1."""
    if not values:
        return None
    table: dict[str, str | float] = {}
    for value in values:
        name, given, weight = value.partition("=")
        table[name] = weight if given else 1.0 / len(values)
    return table
