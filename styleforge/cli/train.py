"""``styleforge train``: photographs and paintings to a network that stylizes in one pass."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from styleforge.cli.parsing import named_path


def train(
    style: Annotated[
        list[str],
        typer.Option("--style", metavar="[NAME=]FILE", help="A painting; several for one network."),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", help="A .safetensors file.")],
    data: Annotated[
        Path | None, typer.Option("--data", help="A folder of photographs, searched below.")
    ] = None,
    preset: Annotated[
        str, typer.Option("-p", "--preset", help="A training preset's name or .yaml file.")
    ] = "johnson",
    steps: Annotated[int | None, typer.Option("-n", "--steps", help="Steps in all.")] = None,
    batch: Annotated[int | None, typer.Option(help="Photographs a step.")] = None,
    crop: Annotated[int | None, typer.Option(help="Pixels a side of what is learned from.")] = None,
    beta: Annotated[float | None, typer.Option(help="Weight of the style.")] = None,
    statistic: Annotated[
        str | None,
        typer.Option(
            help="What is matched: gram, mean-std, covariance, sliced-wasserstein or neighbors."
        ),
    ] = None,
    style_size: Annotated[
        int | None, typer.Option(help="The paintings' longest side: larger strokes with more.")
    ] = None,
    add_to: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="Add the styles to this network, which stays as it is."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of weights, crops and noise.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read photographs.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Written into the model.")] = "",
    device: Annotated[
        str, typer.Option("-d", "--device", envvar="STYLEFORGE_DEVICE", help="auto, cpu, cuda, ...")
    ] = "auto",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where it was stopped.")] = False,
    force: Annotated[bool, typer.Option("-f", "--force", help="Start anew, overwrite.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Print what it would take, and stop.")] = False,
) -> None:
    r"""Train a network that repaints any photo in one pass.

    \b
    styleforge train --style painting.jpg --data photos/ -o mine.safetensors
    styleforge train --style a=a.jpg --style b=b.jpg --data photos/ -p multi -o two.safetensors
    styleforge train --style wood.jpg -p texture -o wood.safetensors

    Beside the model, a folder keeps a checkpoint, the log, a plot and a sheet of photos that the
    network was not trained on. Ctrl-C saves; --resume goes on. With several GPUs or machines:
    torchrun --nproc-per-node 2 -m styleforge train ...
    """
    from styleforge.presets.training import load_training_preset
    from styleforge.training.job import TrainingRequest, plan, run

    settings = {
        "training.steps": steps,
        "training.batch": batch,
        "training.crop": crop,
        "style.beta": beta,
        "style.statistic": statistic,
        "style.size": style_size,
        "seed": seed,
    }
    overrides = {key: value for key, value in settings.items() if value is not None}
    request = TrainingRequest(
        styles=[named_path(text) for text in style],
        data=data,
        output=output,
        preset_name=preset,
        preset=load_training_preset(preset, overrides),
        add_to=add_to,
        workers=workers,
        licence=licence,
        device=device,
        resume=resume,
        force=force,
    )
    if dry_run:
        plan(request, as_json=as_json)
        return
    run(request, quiet=quiet, as_json=as_json)
