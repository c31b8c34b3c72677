"""``styleforge styles``: a photo in all trained styles, to choose one by looking."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli import completion, options
from styleforge.cli.options import examples
from styleforge.cli.progress import bar, print_json, say, suggest
from styleforge.cli.report import Manner, elapsed, show
from styleforge.images.elsewhere import shown


@examples("styles photo.jpg", "styles photo.jpg --model mine.safetensors -s 256 -o strip.jpg")
def styles(
    photo: options.Photo,
    model: Annotated[
        str | None,
        typer.Option(
            "-m",
            "--model",
            metavar="MODEL",
            help="Only the styles of this one.",
            autocompletion=completion.models,
            show_default="all that are known",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where it goes.",
            show_default="named after the photo, here",
            rich_help_panel=options.SAVED,
        ),
    ] = None,
    size: Annotated[
        int,
        typer.Option(
            "-s", "--size", min=32, max=2048, metavar="PIXELS", help="Longest side of a picture."
        ),
    ] = 320,
    device: options.Device = "auto",
    force: options.Force = False,
    opened: options.Open = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Show a photo in every style of the trained networks, side by side with their names."""
    manner = Manner("styles", quiet, as_json, time.perf_counter(), shown=opened)
    manner.check(output, force=force)
    manner.begin(f"{shown(photo)} in every style")
    from styleforge.jobs.strip import StripJob, StripRequest

    manner.loaded()

    job = StripJob.prepare(StripRequest(photo, model, output, size, device, force))
    pictures = []
    with bar(len(job.styles) + 1, quiet=quiet, unit="picture") as progress:
        for picture in job.pictures():
            pictures.append(picture)
            progress.update()
    job.save(pictures)
    names = [name for _, name in job.styles]
    if as_json:
        print_json({"output": str(job.output), "styles": names})
    if not quiet:
        say(f"Saved {job.output} ({len(names)} styles) in {elapsed(manner.started)}")
        as_here = f" -s {job.painted}" if max(job.photo.size) > job.painted else ""
        suggest(
            f"styleforge stylize {shlex.quote(shown(photo))} --style {names[0]}{as_here}, "
            "or another of them"
        )
    if opened:
        show(str(job.output))
