"""``styleforge info``: show the recipe inside a picture."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from styleforge.cli import options
from styleforge.cli.options import examples
from styleforge.cli.parsing import in_words
from styleforge.cli.progress import print_json, print_lines, suggest

if TYPE_CHECKING:
    from styleforge.jobs.recipe import (
        AnyRecipe,
        Input,
        StylizeRecipe,
        SynthesisRecipe,
        TransferRecipe,
        VideoRecipe,
    )

Line = tuple[str, str]


@examples("info out.png", "info out.png -v", "info out.png --json")
def info(
    picture: Annotated[
        Path,
        typer.Argument(
            metavar="PICTURE", help="A picture or film made by styleforge.", readable=False
        ),
    ],
    verbose: Annotated[
        bool,
        typer.Option(
            "-v", "--verbose", help="All settings, as YAML.", rich_help_panel=options.SAID
        ),
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show how a picture was made: inputs, settings, versions."""
    from styleforge.jobs.recipe import load_recipe

    recipe = load_recipe(picture)
    if as_json:
        print_json({"styleforge": recipe.to_dict()})
        return
    if verbose:
        import yaml

        text = yaml.safe_dump(recipe.to_dict(), sort_keys=False, default_flow_style=None)
        print_lines(*text.splitlines())
        return
    print_lines(*(f"{title:9}{said}" for title, said in _lines(recipe)))
    suggest(f"styleforge rerun {shlex.quote(str(picture))} -o FILE repeats it; -v shows all of it")


def _lines(recipe: AnyRecipe) -> Iterator[Line]:
    """What people want to know of it."""
    from styleforge.jobs.recipe import StylizeRecipe, TransferRecipe, VideoRecipe

    if isinstance(recipe, VideoRecipe):
        yield from _of_video(recipe)
    elif isinstance(recipe, TransferRecipe):
        yield from _of_transfer(recipe)
    elif isinstance(recipe, StylizeRecipe):
        yield from _of_stylize(recipe)
    else:
        yield from _of_synthesis(recipe)
    yield "with", f"{in_words(recipe.versions)}, on {recipe.device}"


def _of_video(recipe: VideoRecipe) -> Iterator[Line]:
    yield "made by", "video"
    yield "film", recipe.film.path
    if recipe.start or recipe.stop is not None:
        stop = "its end" if recipe.stop is None else f"{recipe.stop:g} s"
        yield "part", f"from {recipe.start:g} s to {stop}"
    yield from _lines_but("made by", "photo", "size", of=recipe.painted)
    yield "size", "{} x {}".format(*recipe.size)
    crf = "" if recipe.crf is None else f", crf {recipe.crf}"
    sound = "" if recipe.sound else ", without sound"
    yield "file", f"{recipe.codec}{crf}{sound}"
    if recipe.painted_by_network:
        yield "steady", f"{recipe.steady:g}"
    for one in recipe.keyframes:
        yield "keyframe", f"{one.number} from {one.picture.path}"


def _lines_but(*left_out: str, of: TransferRecipe | StylizeRecipe) -> Iterator[Line]:
    """What is told of a picture's recipe, without some of it."""
    from styleforge.jobs.recipe import TransferRecipe

    lines = _of_transfer(of) if isinstance(of, TransferRecipe) else _of_stylize(of)
    return (line for line in lines if line[0] not in left_out)


def _of_transfer(recipe: TransferRecipe) -> Iterator[Line]:
    yield "made by", f"transfer, preset {recipe.preset}"
    yield "photo", recipe.content.path
    several = len(recipe.styles) > 1
    for style in recipe.styles:
        weight = f", weight {style.weight:g}" if several else ""
        layers = f", at {' and '.join(style.layers)}" if style.layers else ""
        yield "painting", f"{style.path}{weight}{layers}"
    yield from _masks("mask", recipe.masks)
    yield from _masks("its mask", recipe.style_masks)
    if recipe.init:
        yield "from", recipe.init.path
    yield "size", _size(recipe.settings.get("size", 0))
    own = own_settings(recipe)
    yield "settings", in_words(own) if own else "the preset's"
    for turn in recipe.turns:
        mixed = {"weights": turn.weights} if turn.weights else {}
        yield "turned", f"{in_words(turn.settings | mixed)}, after {turn.evaluations} evaluations"
    if recipe.evaluations is not None:
        yield "stopped", f"after {recipe.evaluations} evaluations"
    yield from _file(recipe)
    yield "weights", f"VGG-19, {recipe.weights.get('source', '')}"


def _of_stylize(recipe: StylizeRecipe) -> Iterator[Line]:
    yield "made by", "stylize"
    yield "photo", recipe.content.path
    mixed = len(recipe.styles) > 1
    styles = (f"{name}:{weight:g}" if mixed else name for name, weight in recipe.styles.items())
    yield "style", f"{', '.join(styles)} of {recipe.model.path}"
    yield from _masks("mask", recipe.masks)
    yield "size", _size(recipe.size)
    yield "settings", f"strength {recipe.strength:g}, colors {recipe.colors}, seed {recipe.seed}"
    yield from _file(recipe)


def _of_synthesis(recipe: SynthesisRecipe) -> Iterator[Line]:
    yield "made by", recipe.command
    for one in recipe.inputs.values():
        yield "from", one.path
    yield "settings", in_words(recipe.options)
    if recipe.weights:
        yield "weights", f"VGG-19, {recipe.weights.get('source', '')}"


def _masks(title: str, masks: list[Input]) -> Iterator[Line]:
    for mask in masks:
        yield title, mask.path


def _size(longest: int) -> str:
    return f"{longest} pixels" if longest else "the photo's own"


def _file(recipe: TransferRecipe | StylizeRecipe) -> Iterator[Line]:
    printed = f", {recipe.dpi:g} dots per inch" if recipe.dpi else ""
    if printed or recipe.depth != 8:
        yield "file", f"{recipe.depth} bits{printed}"


def own_settings(recipe: TransferRecipe) -> dict[str, Any]:
    """By dotted name, what is not as in the preset of that name now, but for the size."""
    from styleforge.core.errors import UsageError
    from styleforge.presets.transfer import load_preset

    try:
        usual = _flat(load_preset(recipe.preset).model_dump())
    except UsageError:  # a file that is no longer there
        usual = {}
    given = _flat(recipe.settings)
    apart = {"size", "description"}
    return {k: v for k, v in given.items() if k not in apart and usual.get(k, ...) != v}


def _flat(settings: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` to ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and key != "layers":
            flat |= _flat(value, f"{before}{key}.")
        else:
            flat[before + key] = value
    return flat
