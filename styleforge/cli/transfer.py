"""``styleforge transfer``: options to settings, one run, a picture."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from styleforge.cli.parsing import bit_depth, memory_size
from styleforge.core.errors import UsageError


def _setting(*flags: str, env: str, help: str) -> Any:
    """An option that overrides the environment, which overrides the preset."""
    return typer.Option(*flags, envvar=f"STYLEFORGE_{env}", help=help, show_default=False)


def transfer(
    content: Annotated[Path, typer.Argument(help="The photo to repaint.", readable=False)],
    styles: Annotated[
        list[str],
        typer.Argument(
            metavar="STYLES...",
            help="Paintings: FILE[:WEIGHT][@LAYER+LAYER], as in a.jpg:0.7 b.jpg@conv1_1+conv2_1.",
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", help="Default: CONTENT_STYLE.png here; - is stdout."),
    ] = None,
    preset: Annotated[
        str, _setting("-p", "--preset", env="PRESET", help="A preset's name or .yaml file.")
    ] = "painterly",
    size: Annotated[
        int | None, _setting("-s", "--size", env="SIZE", help="Longest side; 0: the photo's own.")
    ] = None,
    steps: Annotated[
        int | None, _setting("-n", "--steps", env="STEPS", help="Steps at the final size.")
    ] = None,
    optimizer: Annotated[
        str | None, _setting("--optimizer", env="OPTIMIZER", help="lbfgs or adam.")
    ] = None,
    init: Annotated[
        str | None,
        _setting("--init", env="INIT", help="content, noise, recolored or an image file."),
    ] = None,
    alpha: Annotated[
        float | None, _setting("--alpha", env="ALPHA", help="Weight of the content.")
    ] = None,
    beta: Annotated[
        float | None, _setting("--beta", env="BETA", help="Weight of the style.")
    ] = None,
    neighbors: Annotated[
        float | None,
        _setting("--neighbors", env="NEIGHBORS", help="Weight of the painting's similar places."),
    ] = None,
    strength: Annotated[
        float | None,
        _setting(
            "--strength",
            env="STRENGTH",
            help="From 0, the photo stays, to 1, the painting takes over; 0.5: the preset.",
        ),
    ] = None,
    tv: Annotated[
        float | None, _setting("--tv", env="TV", help="Weight of the total variation.")
    ] = None,
    statistic: Annotated[
        str | None,
        _setting(
            "--statistic",
            env="STATISTIC",
            help="What is matched: gram, mean-std, covariance or sliced-wasserstein.",
        ),
    ] = None,
    style_scale: Annotated[
        float | None,
        _setting("--style-scale", env="STYLE_SCALE", help="Above 1 strokes get larger."),
    ] = None,
    colors: Annotated[
        str | None,
        _setting("--colors", env="COLORS", help="style, content (the photo's) or luminance."),
    ] = None,
    mask: Annotated[
        list[Path] | None,
        typer.Option("--mask", metavar="FILE", help="White where a style goes; one a style."),
    ] = None,
    style_mask: Annotated[
        list[Path] | None,
        typer.Option(
            "--style-mask", metavar="FILE", help="White where a style is taken from; one a style."
        ),
    ] = None,
    content_layer: Annotated[
        list[str] | None,
        typer.Option("--content-layer", metavar="NAME[=W]", help="Replaces the preset's."),
    ] = None,
    style_layer: Annotated[
        list[str] | None,
        typer.Option("--style-layer", metavar="NAME[=W]", help="Replaces the preset's."),
    ] = None,
    pooling: Annotated[str | None, _setting("--pooling", env="POOLING", help="avg or max.")] = None,
    weights: Annotated[
        str | None,
        _setting("--weights", env="WEIGHTS", help="auto, original, torchvision or a file."),
    ] = None,
    seed: Annotated[int | None, _setting("--seed", env="SEED", help="For --init noise.")] = None,
    device: Annotated[
        str, _setting("-d", "--device", env="DEVICE", help="auto, cpu, cuda, cuda:N or mps.")
    ] = "auto",
    precision: Annotated[
        str, _setting("--precision", env="PRECISION", help="On CUDA: auto, float32, tf32 or bf16.")
    ] = "auto",
    memory: Annotated[
        str, _setting("--memory", env="MEMORY", help="What the run may take, as in 8GiB.")
    ] = "",
    depth: Annotated[int, typer.Option(help="Bits per channel: 8, or 16 (PNG, TIFF).")] = 8,
    save_every: Annotated[
        int, typer.Option(metavar="N", min=0, help="Also save the picture every N steps.")
    ] = 0,
    animate: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also show how it came about: .gif, .webp or .mp4."),
    ] = None,
    source_map: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also show where in the paintings each place came from."),
    ] = None,
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite the output.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Print more.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Print what would run, and stop.")] = False,
) -> None:
    r"""Repaint a photo in the style of one or more paintings.

    \b
    styleforge transfer photo.jpg painting.jpg
    styleforge transfer photo.jpg painting.jpg -p photo --beta 3 -o out.jpg
    styleforge transfer photo.jpg a.jpg:0.7 b.jpg:0.3 --style-layer conv3_1 --dry-run
    """
    started = time.perf_counter()
    from styleforge.cli.transfer_run import run
    from styleforge.jobs.transfer import Job, Request, StyleArgument
    from styleforge.presets.transfer import load_preset

    settings = {
        "size": size,
        "optimizer.steps": steps,
        "optimizer.name": optimizer,
        "init": init,
        "content.alpha": alpha,
        "style.beta": beta,
        "neighbors.weight": neighbors,
        "strength": strength,
        "style.statistic": statistic,
        "style.scale": style_scale,
        "colors": colors,
        "tv": tv,
        "content.layers": _layers(content_layer),
        "style.layers": _layers(style_layer),
        "network.pooling": pooling,
        "network.weights": weights,
        "seed": seed,
    }
    overrides = {key: value for key, value in settings.items() if value is not None}
    request = Request(
        content=content,
        styles=[StyleArgument.parse(style) for style in styles],
        preset_name=preset,
        preset=load_preset(preset, overrides),
        masks=mask or (),
        style_masks=style_mask or (),
        source_map=source_map,
        output=output,
        device=device,
        depth=bit_depth(depth),
        save_every=save_every,
        force=force,
        memory=memory_size(memory),
        precision=precision,
    )
    if as_json and output == "-":
        raise UsageError("--json and -o - both want standard output; name an output file")
    job = Job.prepare(request)
    if dry_run:
        from styleforge.cli.dry_run import print_plan

        print_plan(job, as_json=as_json, started=started)
        return
    run(
        job,
        quiet=quiet,
        verbose=verbose,
        as_json=as_json,
        started=started,
        animate=animate,
    )


def _layers(values: list[str] | None) -> dict[str, str | float] | None:
    """``NAME[=W]`` options to a layer table; the weights of layers without one sum to 1."""
    if not values:
        return None
    table: dict[str, str | float] = {}
    for value in values:
        name, given, weight = value.partition("=")
        table[name] = weight if given else 1.0 / len(values)
    return table
