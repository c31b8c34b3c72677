"""``styleforge train``: photographs and paintings to a network that stylizes in one pass."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli import completion, options
from styleforge.cli.options import RUN, SAVED, examples, setting
from styleforge.core.errors import UsageError
from styleforge.core.signals import hear_requests


@examples(
    "train painting.jpg --data photos/ -o mine.safetensors",
    "train painting.jpg --data photos/ -p thorough -o better.safetensors",
    "train fine=painting.jpg@256 bold=painting.jpg@768 --data photos/ -o two.safetensors",
    "train wood.jpg -p texture -o wood.safetensors",
)
def train(
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FILE", help="A .safetensors file.", rich_help_panel=SAVED
        ),
    ],
    paintings: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PAINTING...",
            help="\\[NAME=]FILE\\[@PIXELS]; several for one network.",
            show_default=False,
        ),
    ] = None,
    style: Annotated[
        list[str] | None,
        typer.Option(
            "--style",
            metavar="PAINTING",
            help="The same as naming it first.",
            show_default=False,
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option("--data", metavar="FOLDER", help="Photographs, searched below."),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            "-p",
            "--preset",
            metavar="NAME",
            help="A training's preset, or a .yaml file.",
            autocompletion=completion.training_presets,
            rich_help_panel=options.SETTINGS,
        ),
    ] = "quick",
    steps: Annotated[
        int | None, setting("-n", "--steps", env=False, metavar="N", help="Steps in all.")
    ] = None,
    batch: Annotated[
        int | None, setting("--batch", env=False, metavar="N", help="Photographs a step.")
    ] = None,
    crop: Annotated[
        int | None,
        setting("--crop", env=False, metavar="PIXELS", help="A side of what is learned from."),
    ] = None,
    beta: Annotated[
        float | None, setting("--beta", env=False, metavar="WEIGHT", help="Weight of the style.")
    ] = None,
    statistic: Annotated[
        str | None,
        setting(
            "--statistic",
            env=False,
            metavar="NAME",
            help="What is matched: gram, mean-std, covariance, sliced-wasserstein or neighbors.",
            autocompletion=completion.training_statistics,
        ),
    ] = None,
    style_size: Annotated[
        int | None,
        setting(
            "--style-size",
            env=False,
            metavar="PIXELS",
            help="The paintings' longest side: larger strokes with more.",
        ),
    ] = None,
    add_to: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Add the styles to this network, which stays as it is."),
    ] = None,
    seed: Annotated[
        int | None,
        setting("--seed", env=False, metavar="N", help="Of weights, crops and noise."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Processes that read photographs.",
            show_default="what suits",
            rich_help_panel=RUN,
        ),
    ] = None,
    licence: Annotated[
        str, typer.Option(metavar="TEXT", help="Written into the model.", rich_help_panel=SAVED)
    ] = "",
    device: options.Device = "auto",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where it was stopped.", rich_help_panel=RUN)
    ] = False,
    force: Annotated[
        bool,
        typer.Option("-f", "--force", help="Start anew, overwrite.", rich_help_panel=SAVED),
    ] = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
    dry_run: options.DryRun = False,
) -> None:
    """Train a network that repaints any photo in one pass.

    It begins from a network that ships, and takes about a quarter of an hour on a laptop. Beside
    the model, a folder keeps a checkpoint, the log, a plot and a sheet of photos that the network
    was not trained on. Ctrl-C saves; --resume goes on. With several GPUs or machines:
    torchrun --nproc-per-node 2 -m styleforge train ...
    """
    from styleforge.cli.train_run import print_plan, run
    from styleforge.presets.training import load_training_preset
    from styleforge.training.job import Lesson, TrainingRequest

    hear_requests()

    named = [*(paintings or ()), *(style or ())]
    if not named:
        raise UsageError("name a painting: styleforge train PAINTING --data PHOTOS -o MODEL")
    settings = {
        "training.steps": steps,
        "training.batch": batch,
        "training.crop": crop,
        "style.beta": beta,
        "style.statistic": statistic,
        "style.size": style_size,
        "seed": seed,
    }
    request = TrainingRequest(
        styles=[Lesson.of(text) for text in named],
        data=data,
        output=output,
        preset_name=preset,
        preset=load_training_preset(preset, options.merged(settings, {})),
        add_to=add_to,
        workers=workers,
        licence=licence,
        device=device,
        resume=resume,
        force=force,
    )
    if dry_run:
        print_plan(request, as_json=as_json)
        return
    run(request, quiet=quiet, as_json=as_json)
