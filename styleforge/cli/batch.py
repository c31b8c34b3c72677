"""``styleforge batch``: whole folders, optimised or in one pass."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli.parsing import bit_depth, memory_size


def batch(
    inputs: Annotated[list[str], typer.Argument(help="Photos, folders and patterns.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="A folder for the results.")],
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            metavar="STYLE",
            help="A painting or a trained style; several: every photo in each. a.jpg:0.7+b.jpg:0.3",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", help="A model file, or a model's or style's name."),
    ] = None,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Folders below too; mirrored.")
    ] = False,
    name: Annotated[
        str, typer.Option(help="Names of the results; {suffix} and {number} are known too.")
    ] = "{stem}_{style}{ext}",
    preset: Annotated[
        str, typer.Option("-p", "--preset", help="For paintings: a preset's name or .yaml file.")
    ] = "painterly",
    size: Annotated[
        int | None, typer.Option("-s", "--size", help="Longest side; 0: the photo's own.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option("-n", "--steps", help="For paintings: steps at the final size.")
    ] = None,
    beta: Annotated[float | None, typer.Option(help="For paintings: weight of the style.")] = None,
    strength: Annotated[
        float | None,
        typer.Option(help="From 0, the photo, to 1. Default: the preset's; trained styles: 1."),
    ] = None,
    colors: Annotated[
        str, typer.Option(help="For trained styles: style, or keep the photo's.")
    ] = "style",
    sequence: Annotated[
        bool, typer.Option("--sequence", help="Frames: each starts from the last one's result.")
    ] = False,
    engine: Annotated[str, typer.Option(help="local, torchrun or ray.")] = "local",
    address: Annotated[
        str, typer.Option(help="Of a Ray cluster that runs already; default: one is started.")
    ] = "",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Pictures side by side; default: measured.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Processor threads a picture; default: measured.")
    ] = None,
    device: Annotated[
        str, typer.Option("-d", "--device", envvar="STYLEFORGE_DEVICE", help="auto, cpu, cuda, ...")
    ] = "auto",
    memory: Annotated[
        str, typer.Option(envvar="STYLEFORGE_MEMORY", help="What all may take, as in 8GiB.")
    ] = "",
    depth: Annotated[int, typer.Option(help="Bits per channel: 8, or 16 (PNG, TIFF).")] = 8,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at a failure.")] = False,
    force: Annotated[
        bool, typer.Option("-f", "--force", help="Redo what is finished; overwrite other files.")
    ] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="A line per file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per file.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Print what would be done, and stop.")] = False,
) -> None:
    r"""Repaint whole folders; what is finished already is skipped.

    \b
    styleforge batch photos/ --style painting.jpg -o out/
    styleforge batch photos/ --style cafe-terrace --style hubble -o out/ --recursive
    styleforge batch 'frames/*.png' --style painting.jpg -o out/ --sequence

    A killed run goes on where it was when it is started again. With several GPUs or machines:
    torchrun --nproc-per-node 2 -m styleforge batch ... --engine torchrun
    """
    from styleforge.batch.job import BatchRequest

    request = BatchRequest(
        inputs=inputs,
        output=output,
        styles=style or [],
        model=model,
        recursive=recursive,
        name=name,
        preset_name=preset,
        overrides={
            "size": size,
            "optimizer.steps": steps,
            "style.beta": beta,
            "strength": strength,
        },
        strength=1.0 if strength is None else strength,
        colors=colors,
        sequence=sequence,
        engine=engine,
        address=address,
        workers=workers,
        threads=threads,
        device=device,
        memory=memory_size(memory),
        depth=bit_depth(depth),
        fail_fast=fail_fast,
        force=force,
    )
    if dry_run:
        from styleforge.cli.batch_plan import print_plan

        print_plan(request, as_json=as_json)
        return
    from styleforge.cli.batch_run import run

    run(request, quiet=quiet, verbose=verbose, as_json=as_json)
