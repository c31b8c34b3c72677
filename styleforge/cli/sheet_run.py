"""A contact sheet under the user's eyes: progress, Ctrl-C, what failed, and the last word."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import torch
import typer
import yaml
from torch import Tensor
from tqdm import tqdm

from styleforge.cli.parsing import duration
from styleforge.cli.signals import interruptible
from styleforge.core.allocator import keep_freed_memory
from styleforge.core.devices import describe
from styleforge.core.errors import INTERRUPTED, WorkError
from styleforge.core.files import write_atomically
from styleforge.images.contact_sheet import sheet
from styleforge.images.gallery_html import Figure, page
from styleforge.images.load import fit_size, load_image, resize
from styleforge.images.save import save_image
from styleforge.jobs.recipe import load_recipe
from styleforge.jobs.sheet import PAGE, Cell, SheetJob, evaluated
from styleforge.jobs.transfer import Job
from styleforge.transfer.estimate import ensure_memory
from styleforge.transfer.run import Progress


def print_plan(job: SheetJob, *, as_json: bool) -> None:
    """How many pictures there will be, and how long the missing ones take."""
    expected = job.expected()
    plan = {
        "output": str(job.request.output),
        "page": str(job.request.folder / PAGE),
        "device": describe(job.device),
        "pictures": len(job.cells),
        "missing": len(job.missing),
        "evaluations": expected.evaluations,
        "seconds": round(expected.seconds, 1),
        "memory_mib": round(expected.memory / 2**20),
    }
    if as_json:
        print(json.dumps(plan))
        return
    print(f"output   {plan['output']}, {plan['page']}")
    print(f"device   {plan['device']}")
    for cell in job.cells:
        width, height = cell.scales[-1].size
        there = ", is there" if cell.there else ""
        print(f"picture  {_caption(cell)} ({width} x {height}){there}")
    print(
        f"takes    {len(job.missing)} of {len(job.cells)} pictures, "
        f"{expected.evaluations} evaluations, about {duration(expected.seconds)}, "
        f"about {plan['memory_mib']} MiB of memory"
    )


def run(job: SheetJob, *, cell: int, quiet: bool, as_json: bool, started: float) -> None:
    """Make the missing pictures, then the sheet and the page.

    After Ctrl-C the finished pictures stay, and the same command goes on from there. A picture
    that cannot be made leaves its place empty. Raises :class:`WorkError` for those at the end.
    """
    failed = _make_missing(job, quiet=quiet)
    made = [other for other in job.cells if other not in failed]
    save_image(job.request.output, contact_sheet(job, made, cell=cell))
    write_atomically(job.request.folder / PAGE, contact_page(job, made).encode())
    seconds = time.perf_counter() - started
    if as_json:
        print(json.dumps(_report(job, made, seconds)))
    if not quiet:
        print(
            f"Saved {job.request.output} ({len(made)} pictures) in {duration(seconds)}\n"
            f"pictures and recipes: {job.request.folder / PAGE}",
            file=sys.stderr,
        )
    if failed:
        raise WorkError(
            f"{len(failed)} of {len(job.cells)} pictures could not be made: "
            + "; ".join(map(_caption, failed))
        )


def contact_sheet(job: SheetJob, made: Sequence[Cell], *, cell: int) -> Tensor:
    """The grid: the painting and its variations in a row, or the paintings' pictures alone."""

    def small(path: Path) -> Tensor:
        picture = load_image(path)
        return resize(picture.pixels, fit_size(picture.size, cell))

    def shown(other: Cell) -> Tensor:
        return small(other.path) if other in made else torch.ones(1, 3, 8, 8)

    if not job.varies:
        pictures = [[shown(other) for other in row] for row in job.rows]
        captions = [[_caption(other) for other in row] for row in job.rows]
        return sheet(pictures, cell=cell, captions=captions)
    return sheet(
        [[small(row[0].style), *map(shown, row)] for row in job.rows],
        cell=cell,
        columns=["style", *(other.labels[-1] for other in job.rows[0])],
        labels=[", ".join(row[0].labels[:-1]) for row in job.rows],
    )


def contact_page(job: SheetJob, made: Sequence[Cell]) -> str:
    """The page that goes into the pictures' folder."""
    rows = [
        [Figure(cell.path.name, _caption(cell), _recipe(cell.path)) for cell in row if cell in made]
        for row in job.rows
    ]
    return page(job.request.photo.name, rows)


def _recipe(path: Path) -> str:
    recipe = load_recipe(path).to_dict()
    return yaml.safe_dump(recipe, sort_keys=False, default_flow_style=None)


def _make_missing(job: SheetJob, *, quiet: bool) -> list[Cell]:
    """Make the pictures that are not there; returns those that failed."""
    job.request.folder.mkdir(exist_ok=True)
    failed: list[Cell] = []
    done = len(job.cells) - len(job.missing)
    with interruptible(), _Bar(job, quiet=quiet) as bar:
        try:
            for cell in job.missing:
                try:
                    _make(job, cell, bar)
                except FloatingPointError as error:
                    failed.append(cell)
                    bar.finish(cell, f"{_caption(cell)}: {error}; use smaller weights")
                else:
                    done += 1
                    bar.finish(cell, f"{done} of {len(job.cells)}: {cell.path}")
        except KeyboardInterrupt:
            if not quiet:
                bar.say(
                    f"Interrupted: {done} of {len(job.cells)} pictures are in "
                    f"{job.request.folder}; the same command goes on from there"
                )
            raise typer.Exit(INTERRUPTED) from None
    return failed


def _make(job: SheetJob, cell: Cell, bar: _Bar) -> None:
    """One picture, from its inputs to its file."""
    work = Job.prepare(cell.request)
    torch.backends.cudnn.allow_tf32 = work.precision != "float32"
    transfer = job.start(work)
    studio = transfer.studio
    if studio.tiling(work.size) is None:
        keep_freed_memory()
    ensure_memory(job.memory, studio.network, work.size, device=work.device)
    for progress in transfer:
        bar.show(cell, progress)
    work.save(transfer.image(), studio.weights)


def _report(job: SheetJob, made: Sequence[Cell], seconds: float) -> dict[str, Any]:
    """What ``--json`` prints."""
    pictures = [
        {"path": str(cell.path), "labels": list(cell.labels), "new": not cell.there}
        for cell in made
    ]
    return {
        "output": str(job.request.output),
        "page": str(job.request.folder / PAGE),
        "pictures": pictures,
        "seconds": round(seconds, 2),
    }


def _caption(cell: Cell) -> str:
    return ", ".join(cell.labels)


class _Bar:
    """A tqdm bar over all missing pictures, in pixels evaluated, so that the time left is right."""

    def __init__(self, job: SheetJob, *, quiet: bool) -> None:
        self._quiet = quiet
        self._finished = 0
        self._bar = tqdm(
            total=sum(cell.work for cell in job.missing),
            disable=quiet or not sys.stderr.isatty(),
            bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left",
            file=sys.stderr,
            leave=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, cell: Cell, progress: Progress) -> None:
        """Where a cell's transfer stands."""
        coarser = evaluated(cell.scales[: progress.scale_index])
        here = math.prod(progress.scale.size) * (progress.step + 1)
        self._bar.set_description_str(_caption(cell), refresh=False)
        self._bar.update(self._finished + coarser + here - self._bar.n)

    def finish(self, cell: Cell, line: str) -> None:
        """It may have stopped early."""
        self._finished += cell.work
        self._bar.update(self._finished - self._bar.n)
        if not self._quiet:
            self.say(line)

    def say(self, line: str) -> None:
        tqdm.write(line, file=sys.stderr)
