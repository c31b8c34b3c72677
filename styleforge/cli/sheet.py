"""``styleforge sheet``: one photo in many styles and settings, side by side."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli import options
from styleforge.cli.options import SAVED, SETTINGS, examples
from styleforge.cli.parsing import memory_size
from styleforge.cli.report import Manner
from styleforge.core.errors import UsageError
from styleforge.images.elsewhere import is_elsewhere, shown


@examples(
    "sheet photo.jpg paintings/ -p preview -o sheet.png",
    "sheet photo.jpg a.jpg --set beta=1e2,1e3,1e4 --set tv=0,40 -o sheet.png",
    "sheet photo.jpg a.jpg --set style.scale=0.5,1,2 -o sheet.png --dry-run",
)
def sheet(
    photo: options.Photo,
    output: Annotated[
        Path,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The sheet. Its pictures go beside it.",
            rich_help_panel=SAVED,
        ),
    ],
    paintings: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PAINTING...", help="Paintings, and folders of them.", show_default=False
        ),
    ] = None,
    style: Annotated[
        list[Path] | None,
        typer.Option(
            "--style",
            metavar="PAINTING",
            help="The same as naming it after the photo.",
            show_default=False,
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=A,B,...",
            help="A setting's values: every combination is made.",
            show_default=False,
            rich_help_panel=SETTINGS,
        ),
    ] = None,
    preset: options.PresetName = "painterly",
    size: options.Size = None,
    steps: options.Steps = None,
    cell: Annotated[
        int,
        typer.Option(
            min=32,
            max=2048,
            metavar="PIXELS",
            help="Longest side of a picture on the sheet.",
            rich_help_panel=SAVED,
        ),
    ] = 256,
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    memory: options.Memory = "",
    force: options.Force = False,
    opened: options.Open = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """Repaint a photo in every combination of paintings and settings, side by side.

    The pictures, with their recipes, and index.html go to a folder named as the sheet. Those
    that are there are not made again, so an interrupted sheet goes on where it stopped.
    """
    manner = Manner("sheet", quiet, as_json, time.perf_counter(), shown=opened)
    named = [*(paintings or ()), *(style or ())]
    if not named:
        raise UsageError("name a painting, too: styleforge sheet PHOTO PAINTING -o SHEET")
    manner.check(output, force=force or dry_run)
    manner.begin(f"{shown(photo)} after {' and '.join(map(str, named))}")
    from styleforge.cli.sheet_run import print_plan, run
    from styleforge.images.load import load_image
    from styleforge.jobs.sheet import SheetJob, SheetRequest

    manner.loaded()

    fixed = {"size": size, "optimizer.steps": steps}
    request = SheetRequest(
        photo=load_image(photo) if is_elsewhere(photo) else Path(photo),
        styles=named,
        settings=[
            *(f"{key}={value}" for key, value in fixed.items() if value is not None),
            *(settings or ()),
        ],
        output=output,
        preset=preset,
        device=device,
        precision=precision,
        memory=memory_size(memory),
        cell=cell,
        force=force,
    )
    job = SheetJob.prepare(request, planning=dry_run)
    if dry_run:
        print_plan(job, as_json=as_json)
        return
    run(job, manner)
