"""The command that makes a picture again, from its recipe: to copy, read and change."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from styleforge.cli.info import own_settings
from styleforge.presets.transfer import OPTIONS

if TYPE_CHECKING:
    from styleforge.jobs.recipe import AnyRecipe, Input, StylizeRecipe, TransferRecipe

_FLAGS = {key: "--" + name.replace("_", "-") for name, key in OPTIONS.items()}
"""Of the settings that have options of their own, by dotted name."""

_TABLES = ("content.layers", "style.layers")
"""Settings whose options are spelled otherwise; ``--set`` takes no tables, either."""


def command_line(recipe: AnyRecipe, picture: Path, output: str = "again.png") -> str:
    """``styleforge transfer ...``; ``rerun`` of the picture where options cannot say it."""
    from styleforge.jobs.recipe import StylizeRecipe, TransferRecipe

    if isinstance(recipe, StylizeRecipe):
        words = _of_stylize(recipe)
    elif isinstance(recipe, TransferRecipe) and _can_be_said(recipe):
        words = _of_transfer(recipe)
    else:
        return shlex.join(["styleforge", "rerun", str(picture), "-o", output])
    return shlex.join(["styleforge", *words, "-o", output])


def _can_be_said(recipe: TransferRecipe) -> bool:
    """Not what was changed on the way, nor where it was stopped."""
    plain = not (recipe.turns or recipe.evaluations or recipe.init or recipe.init_photo)
    return plain and not {"scales", *_TABLES} & set(own_settings(recipe))


def _of_transfer(recipe: TransferRecipe) -> Iterator[str]:
    yield from ("transfer", recipe.content.path)
    several = len(recipe.styles) > 1
    for style in recipe.styles:
        weight = f":{style.weight:g}" if several else ""
        yield style.path + weight + ("@" + "+".join(style.layers) if style.layers else "")
    yield from ("-p", recipe.preset, "-s", str(recipe.settings["size"]))
    for key, value in own_settings(recipe).items():
        told = f"{value:g}" if isinstance(value, float) else str(value)
        yield from (_FLAGS[key], told) if key in _FLAGS else ("--set", f"{key}={told}")
    yield from _masks("--mask", recipe.masks)
    yield from _masks("--style-mask", recipe.style_masks)
    yield from _file(recipe)


def _of_stylize(recipe: StylizeRecipe) -> Iterator[str]:
    yield from ("stylize", recipe.content.path)
    several = len(recipe.styles) > 1
    for name, weight in recipe.styles.items():
        yield from ("--style", f"{name}:{weight:g}" if several else name)
    yield from ("-s", str(recipe.size), "--strength", f"{recipe.strength:g}")
    if recipe.colors != "style":
        yield from ("--colors", recipe.colors)
    if recipe.seed:
        yield from ("--seed", str(recipe.seed))
    yield from _masks("--mask", recipe.masks)
    yield from _file(recipe)


def _masks(flag: str, masks: list[Input]) -> Iterator[str]:
    for mask in masks:
        yield from (flag, mask.path)


def _file(recipe: TransferRecipe | StylizeRecipe) -> Iterator[str]:
    if recipe.depth != 8:
        yield from ("--depth", str(recipe.depth))
    if recipe.dpi is not None:
        yield from ("--dpi", f"{recipe.dpi:g}")
