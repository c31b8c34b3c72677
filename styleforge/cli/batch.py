"""``styleforge batch``: whole folders, optimised or in one pass."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli import completion, options
from styleforge.cli.options import RUN, SAVED, examples
from styleforge.cli.parsing import bit_depth, memory_size
from styleforge.core.signals import hear_requests


@examples(
    "batch photos/ --style painting.jpg -o out/",
    "batch photos/ --style cafe-terrace --style church -o out/ --recursive",
    "batch 'frames/*.png' --style painting.jpg -o out/ --sequence",
)
def batch(
    inputs: Annotated[
        list[str], typer.Argument(metavar="INPUT...", help="Photos, folders and patterns.")
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="For the results.", rich_help_panel=SAVED
        ),
    ],
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            metavar="STYLE",
            help="A painting or a trained style; several: every photo in each. a.jpg:0.7+b.jpg:0.3",
            autocompletion=completion.styles,
        ),
    ] = None,
    model: options.ModelName = None,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Folders below too; mirrored.")
    ] = False,
    name: Annotated[
        str,
        typer.Option(
            metavar="PATTERN",
            help="Names of the results; {suffix} and {number} are known too.",
            rich_help_panel=SAVED,
        ),
    ] = "{stem}_{style}{ext}",
    preset: Annotated[
        str | None,
        typer.Option(
            "-p",
            "--preset",
            metavar="NAME",
            help="For paintings.",
            autocompletion=completion.presets,
            show_default="painterly",
            rich_help_panel=options.SETTINGS,
        ),
    ] = None,
    size: options.Size = None,
    steps: options.Steps = None,
    beta: options.Beta = None,
    strength: options.Strength = None,
    colors: options.Colors = None,
    mask: options.Masks = None,
    style_mask: options.StyleMasks = None,
    settings: options.Set = None,
    sequence: Annotated[
        bool, typer.Option("--sequence", help="Frames: each starts from the last one's result.")
    ] = False,
    engine: options.Engine = "local",
    address: options.Address = "",
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Pictures side by side.",
            show_default="measured",
            rich_help_panel=RUN,
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Processor threads a picture.",
            show_default="measured",
            rich_help_panel=RUN,
        ),
    ] = None,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    memory: options.Memory = "",
    depth: options.Depth = 8,
    no_recipe: options.NoRecipe = False,
    strip_metadata: options.StripMetadata = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Stop at a failure.", rich_help_panel=RUN)
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "-f",
            "--force",
            help="Redo what is finished; overwrite other files.",
            rich_help_panel=SAVED,
        ),
    ] = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print one JSON object per file.", rich_help_panel=options.SAID
        ),
    ] = False,
    dry_run: options.DryRun = False,
) -> None:
    """Repaint whole folders; what is finished already is skipped.

    A killed run goes on where it was when it is started again. With several GPUs or machines:
    torchrun --nproc-per-node 2 -m styleforge batch ... --engine torchrun
    """
    from styleforge.batches.job import BatchRequest
    from styleforge.jobs.result import Kept
    from styleforge.presets.grid import settings_of

    given = {"optimizer.steps": steps, "style.beta": beta}
    request = BatchRequest(
        inputs=inputs,
        output=output,
        styles=style or [],
        model=model,
        recursive=recursive,
        name=name,
        preset_name=preset,
        settings=options.merged(given, settings_of(settings or ())),
        size=size,
        strength=strength,
        colors=colors,
        masks=mask or (),
        style_masks=style_mask or (),
        sequence=sequence,
        engine=engine,
        address=address,
        workers=workers,
        threads=threads,
        device=device,
        precision=precision,
        memory=memory_size(memory),
        depth=bit_depth(depth),
        fail_fast=fail_fast,
        force=force,
        kept=Kept(recipe=not no_recipe, metadata=not strip_metadata),
    )
    if dry_run:
        from styleforge.cli.batch_plan import print_plan

        print_plan(request, as_json=as_json)
        return
    from styleforge.cli.batch_run import run

    hear_requests()

    run(request, quiet=quiet, verbose=verbose, as_json=as_json)
