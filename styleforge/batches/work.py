"""One task of a batch from beginning to end: read, skip or paint, write."""

from __future__ import annotations

import os
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from styleforge.batches.sources import Task
from styleforge.core.errors import UsageError, reason_of
from styleforge.core.files import check_regular, file_sha256
from styleforge.images.load import load_image
from styleforge.images.opening import is_whole
from styleforge.images.save import check_output
from styleforge.jobs.painters import Frame, Painter
from styleforge.jobs.recipe import (
    AnyRecipe,
    Before,
    Input,
    StylizeRecipe,
    TransferRecipe,
    essence,
    load_recipe,
)
from styleforge.jobs.result import EVERYTHING, Kept, Result

Status = Literal["done", "skipped", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of a task, in so many seconds; ``reason`` says why it failed."""

    task: Task
    status: Status
    seconds: float = 0.0
    reason: str = ""


def perform(
    task: Task,
    painter: Painter,
    *,
    force: bool = False,
    kept: Kept = EVERYTHING,
    before: Task | None = None,
    turn: AbstractContextManager[Any] | None = None,
) -> Outcome:
    """Carry a task out, unless its result is there already and of the same recipe.

    ``kept`` is what the file tells. ``before`` is a finished task to start from (a sequence's
    last frame). ``turn`` is entered for the painting alone, so that others read and write
    meanwhile. Nothing is raised: whatever goes wrong with one picture, a bug too, is an outcome,
    and others go on.
    """
    started = time.perf_counter()
    try:
        done = _perform(
            task, painter, force=force, kept=kept, before=before, turn=turn or nullcontext()
        )
    except Exception as error:
        return Outcome(task, "failed", time.perf_counter() - started, reason_of(error))
    return Outcome(task, "done" if done else "skipped", time.perf_counter() - started)


def is_finished(
    target: Path, recipe: TransferRecipe | StylizeRecipe, kept: Kept = EVERYTHING
) -> bool:
    """Whether a file is the result of this recipe, whatever its inputs were named.

    Where results hold no recipe, any whole picture is taken for it.
    Raises :class:`UsageError` for a file that styleforge did not make.
    """
    if not os.path.exists(target):  # noqa: PTH110 (raises nothing)
        return False
    if not kept.recipe:
        return is_whole(target)
    there = _recipe_in(target)
    if there is None:
        raise UsageError(f"{target} exists and is not of styleforge; `force` overwrites it")
    return essence(there.to_dict()) == essence(recipe.to_dict()) and is_whole(target)


def _perform(
    task: Task,
    painter: Painter,
    *,
    force: bool,
    kept: Kept,
    before: Task | None,
    turn: AbstractContextManager[Any],
) -> bool:
    """False where there was nothing to do."""
    inputs = Before(_input(before.source), _input(before.target)) if before else None
    recipe = painter.recipe(_input(task.source), inputs)
    if not force and is_finished(task.target, recipe, kept):
        return False
    photo = load_image(task.source, min_side=painter.min_side)
    task.target.parent.mkdir(parents=True, exist_ok=True)
    check_output(
        task.target,
        inputs=[task.source],
        force=True,
        depth=painter.depth,
        size=painter.size(photo.size),
    )
    last = Frame(load_image(before.source), load_image(before.target)) if before else None
    with turn:
        image = painter.paint(photo, last)
    Result.of(image, recipe, photo, depth=painter.depth).with_only(kept).save(task.target)
    return True


def _input(path: Path) -> Input:
    check_regular(path)
    if not path.is_file():
        raise UsageError(f"no such file: {path}")
    try:
        return Input(str(path), file_sha256(path))
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({str(error.strerror).lower()})") from error


def _recipe_in(path: Path) -> AnyRecipe | None:
    try:
        return load_recipe(path)
    except UsageError:
        return None
