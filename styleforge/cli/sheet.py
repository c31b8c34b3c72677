"""``styleforge sheet``: one photo in many styles and settings, side by side."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli.parsing import memory_size


def sheet(
    photo: Annotated[Path, typer.Argument(help="The photo to repaint.", readable=False)],
    style: Annotated[
        list[Path], typer.Option("--style", help="A painting, or a folder of them; repeatable.")
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="The sheet. Its pictures go beside it.")
    ],
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=A,B,...", help="A setting's values; repeatable."),
    ] = None,
    preset: Annotated[
        str, typer.Option("-p", "--preset", help="A preset's name or .yaml file.")
    ] = "painterly",
    cell: Annotated[
        int, typer.Option(min=32, max=2048, help="Longest side of a picture on the sheet.")
    ] = 256,
    device: Annotated[
        str, typer.Option("-d", "--device", envvar="STYLEFORGE_DEVICE", help="auto, cpu, cuda, ...")
    ] = "auto",
    precision: Annotated[
        str, typer.Option(envvar="STYLEFORGE_PRECISION", help="On CUDA: float32, tf32 or bf16.")
    ] = "auto",
    memory: Annotated[
        str, typer.Option(envvar="STYLEFORGE_MEMORY", help="What it may take, as in 8GiB.")
    ] = "",
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite the outputs.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Print what would run, and stop.")] = False,
) -> None:
    r"""Repaint a photo in every combination of styles and settings, and show them side by side.

    The pictures, with their recipes, and index.html go to a folder named as the sheet. Those
    that are there are not made again, so an interrupted sheet goes on where it stopped.

    \b
    styleforge sheet photo.jpg --style paintings/ -p preview -o sheet.png
    styleforge sheet photo.jpg --style a.jpg --set beta=1e2,1e3,1e4 --set tv=0,40 -o sheet.png
    styleforge sheet photo.jpg --style a.jpg --set style.scale=0.5,1,2 -o sheet.png --dry-run
    """
    started = time.perf_counter()
    from styleforge.cli.sheet_run import print_plan, run
    from styleforge.jobs.sheet import SheetJob, SheetRequest

    request = SheetRequest(
        photo=photo,
        styles=style,
        settings=settings or [],
        output=output,
        preset=preset,
        device=device,
        precision=precision,
        memory=memory_size(memory),
        force=force,
    )
    job = SheetJob.prepare(request)
    if dry_run:
        print_plan(job, as_json=as_json)
        return
    run(job, cell=cell, quiet=quiet, as_json=as_json, started=started)
