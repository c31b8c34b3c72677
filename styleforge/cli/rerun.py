"""``styleforge rerun``: make a picture again from the recipe inside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from styleforge.cli.dream import dream
from styleforge.cli.reconstruct import content as reconstruct_content
from styleforge.cli.reconstruct import style as reconstruct_style
from styleforge.cli.texture import texture
from styleforge.core.errors import UsageError

if TYPE_CHECKING:
    from styleforge.jobs.recipe import Input, Recipe, StylizeRecipe, SynthesisRecipe
    from styleforge.jobs.stylize import StylizeJob
    from styleforge.jobs.transfer import Job

_COMMANDS: dict[str, Callable[..., None]] = {
    "texture": texture,
    "dream": dream,
    "reconstruct content": reconstruct_content,
    "reconstruct style": reconstruct_style,
}
"""What makes textures, dreams and reconstructions: their recipes name one of these."""


def rerun(
    picture: Annotated[Path, typer.Argument(help="A picture made by styleforge.", readable=False)],
    output: Annotated[str, typer.Option("-o", "--output", help="Where the new picture goes.")],
    content: Annotated[
        Path | None, typer.Option(help="The content image, if it is no longer where it was.")
    ] = None,
    style: Annotated[
        list[Path] | None, typer.Option(help="The style images, in order, likewise.")
    ] = None,
    init: Annotated[Path | None, typer.Option(help="The initial image, likewise.")] = None,
    init_photo: Annotated[
        Path | None, typer.Option(help="The frame before, in a sequence, likewise.")
    ] = None,
    mask: Annotated[list[Path] | None, typer.Option(help="The masks, in order, likewise.")] = None,
    style_mask: Annotated[
        list[Path] | None, typer.Option(help="The style images' masks, likewise.")
    ] = None,
    model: Annotated[Path | None, typer.Option(help="The trained network, likewise.")] = None,
    device: Annotated[str, typer.Option("-d", "--device", help="Default: as before.")] = "",
    force: Annotated[bool, typer.Option("-f", "--force", help="Overwrite the output.")] = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print errors only.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Repeat the run that made a picture: same inputs, settings and seed.

    On a CPU with the same versions and number of threads, the new file's pixels are the same.
    """
    started = time.perf_counter()
    from styleforge.jobs.recipe import Recipe, StylizeRecipe, load_recipe

    recipe = load_recipe(picture)
    if isinstance(recipe, Recipe):
        from styleforge.cli import transfer_run as run

        moved = _Moved(
            picture, content, style or (), init, init_photo, mask or (), style_mask or ()
        )
        job = _transfer(recipe, moved, output=output, device=device, force=force)
        run.run(job, quiet=quiet, verbose=False, as_json=as_json, started=started)
    elif isinstance(recipe, StylizeRecipe):
        from styleforge.jobs import stylize as stylize_job

        moved = _Moved(picture, content, masks=mask or (), model=model)
        again = _stylize(recipe, moved, output=output, device=device, force=force)
        stylize_job.run(again, quiet=quiet, as_json=as_json, started=started)
    else:
        if recipe.command not in _COMMANDS:
            raise UsageError(f"{picture} was made by a newer styleforge; upgrade to repeat it")
        _COMMANDS[recipe.command](
            **_inputs(recipe, _Moved(picture, content, model=model)),
            **recipe.options,
            output=Path(output),
            device=device or recipe.device,
            force=force,
            quiet=quiet,
            as_json=as_json,
        )


@dataclass(frozen=True)
class _Moved:
    """Where the inputs of a picture are now, where that was said."""

    picture: Path
    content: Path | None = None
    styles: Sequence[Path] = ()
    init: Path | None = None
    init_photo: Path | None = None
    masks: Sequence[Path] = ()
    style_masks: Sequence[Path] = ()
    model: Path | None = None

    def found(self, now: Path | None, before: str, option: str) -> Path:
        """Raises :class:`UsageError` where an input is in neither place."""
        path = now or Path(before)
        if not path.exists():
            raise UsageError(
                f"{self.picture} was made from {path}, which is not there; "
                f"say where it is with {option}"
            )
        return path

    def all_found(self, now: Sequence[Path], before: Sequence[Input], option: str) -> list[Path]:
        """Raises :class:`UsageError` where one of several inputs is in neither place."""
        if now and len(now) != len(before):
            raise UsageError(f"{self.picture} was made with {len(before)} {option}, not {len(now)}")
        wanted: Sequence[Path | None] = now or [None] * len(before)
        return [
            self.found(path, used.path, option) for path, used in zip(wanted, before, strict=True)
        ]


def _transfer(recipe: Recipe, moved: _Moved, *, output: str, device: str, force: bool) -> Job:
    from styleforge.core.settings import validate
    from styleforge.jobs.transfer import Job, Request, StyleArgument
    from styleforge.presets.transfer import Preset

    content = moved.found(moved.content, recipe.content.path, "--content")
    paths = moved.all_found(moved.styles, recipe.styles, "--style")
    styles = [
        StyleArgument(path, used.weight, tuple(used.layers))
        for path, used in zip(paths, recipe.styles, strict=True)
    ]
    settings = dict(recipe.settings)
    if recipe.init:
        settings["init"] = str(moved.found(moved.init, recipe.init.path, "--init"))
    before = recipe.init_photo
    request = Request(
        content=content,
        styles=styles,
        init_photo=moved.found(moved.init_photo, before.path, "--init-photo") if before else None,
        preset_name=recipe.preset,
        preset=validate(Preset, settings, str(moved.picture)),
        masks=moved.all_found(moved.masks, recipe.masks, "--mask"),
        style_masks=moved.all_found(moved.style_masks, recipe.style_masks, "--style-mask"),
        output=output,
        device=device or recipe.device,
        depth=recipe.depth,
        weights_sha256=recipe.weights.get("sha256", ""),
        force=force,
    )
    job = Job.prepare(request)
    job.check_inputs(recipe)
    return job


def _stylize(
    recipe: StylizeRecipe, moved: _Moved, *, output: str, device: str, force: bool
) -> StylizeJob:
    from styleforge.jobs.stylize import StylizeJob, StylizeRequest

    request = StylizeRequest(
        photo=moved.found(moved.content, recipe.content.path, "--content"),
        styles=recipe.styles,
        model=str(moved.found(moved.model, recipe.model.path, "--model")),
        output=output,
        size=recipe.size,
        strength=recipe.strength,
        colors=recipe.colors,
        masks=moved.all_found(moved.masks, recipe.masks, "--mask"),
        seed=recipe.seed,
        device=device or recipe.device,
        depth=recipe.depth,
        force=force,
        model_sha256=recipe.model.sha256,
    )
    job = StylizeJob.prepare(request)
    job.check_inputs(recipe)
    return job


def _inputs(recipe: SynthesisRecipe, moved: _Moved) -> dict[str, Path | str]:
    """The command's arguments that are files. Raises :class:`UsageError` for other files."""
    from styleforge.core.files import file_sha256
    from styleforge.jobs.transfer import check_sha256

    found: dict[str, Path | str] = {}
    for name, used in recipe.inputs.items():
        now, option = (moved.model, "--model") if name == "model" else (moved.content, "--content")
        path = moved.found(now, used.path, option)
        check_sha256(file_sha256(path), used, path, option)
        found[name] = str(path) if recipe.command == "texture" else path  # it also takes names
    return found
