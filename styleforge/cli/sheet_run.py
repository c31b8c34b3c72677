"""A contact sheet under the user's eyes: progress, Ctrl-C, what failed, and the last word."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any, Self

import typer

from styleforge.cli.parsing import duration, spelled
from styleforge.cli.progress import bar, print_json, print_lines, say, suggest
from styleforge.cli.report import Manner, show
from styleforge.core.devices import describe
from styleforge.core.errors import INTERRUPTED, WorkError, reason_of
from styleforge.core.text import printable
from styleforge.jobs.painters import TransferPainter
from styleforge.jobs.sheet import Cell, SheetJob, evaluated
from styleforge.jobs.sheet_result import save_sheet
from styleforge.optimize.coarse_to_fine import Progress


def print_plan(job: SheetJob, *, as_json: bool) -> None:
    """How many pictures there will be, and how long the missing ones take."""
    expected = job.expected()
    plan = {
        "output": str(job.request.output),
        "page": str(job.page),
        "device": describe(job.device),
        "pictures": len(job.cells),
        "missing": len(job.missing),
        "evaluations": expected.evaluations,
        "seconds": round(expected.seconds, 1),
        "memory_mib": round(expected.memory / 2**20),
    }
    if as_json:
        print_json(plan)
        return
    print_lines(f"output   {plan['output']}, {plan['page']}")
    print_lines(f"device   {plan['device']}")
    for cell in job.cells:
        width, height = cell.scales[-1].size
        there = ", is there" if cell.there else ""
        print_lines(f"picture  {cell.caption} ({width} x {height}){there}")
    print_lines(
        f"takes    {len(job.missing)} of {len(job.cells)} pictures, "
        f"{expected.evaluations} evaluations, about {duration(expected.seconds)}, "
        f"about {plan['memory_mib']} MiB of memory"
    )


def run(job: SheetJob, manner: Manner) -> None:
    """Make the missing pictures, then the sheet and the page.

    After Ctrl-C the finished pictures stay, and the same command goes on from there. A picture
    that cannot be made leaves its place empty. Exits with 1 then.
    """
    failed = _make_missing(job, quiet=manner.quiet)
    made = [other for other in job.cells if other not in failed]
    save_sheet(job, made)
    seconds = time.perf_counter() - manner.started
    if manner.as_json:
        print_json(_report(job, made, failed, seconds))
    if not manner.quiet:
        say(f"Saved {job.request.output} ({len(made)} pictures) in {duration(seconds)}")
        say(f"pictures and recipes: {job.page}")
        suggest("styleforge transfer with the settings of the one that you like, and a larger -s")
    if manner.shown:
        show(str(job.request.output))
    if failed:
        say(
            f"Error: {len(failed)} of {len(job.cells)} pictures could not be made: "
            + "; ".join(cell.caption for cell in failed)
        )
        raise typer.Exit(WorkError.exit_code)


def _make_missing(job: SheetJob, *, quiet: bool) -> list[Cell]:
    """Make the pictures that are not there; returns those that failed."""
    job.request.folder.mkdir(exist_ok=True)
    failed: list[Cell] = []
    done = len(job.cells) - len(job.missing)
    painter: TransferPainter | None = None
    with _Bar(job, quiet=quiet) as shown:
        try:
            for cell in job.missing:
                try:
                    painter = _make(job, cell, painter, shown)
                except Exception as error:
                    failed.append(cell)
                    shown.finish(cell, f"{cell.caption}: {spelled(reason_of(error))}")
                else:
                    done += 1
                    shown.finish(cell, f"{done} of {len(job.cells)}: {cell.path}")
        except KeyboardInterrupt:
            if not quiet:
                say(
                    f"Interrupted: {done} of {len(job.cells)} pictures are in "
                    f"{job.request.folder}; the same command goes on from there"
                )
            raise typer.Exit(INTERRUPTED) from None
    return failed


def _make(job: SheetJob, cell: Cell, last: TransferPainter | None, shown: _Bar) -> TransferPainter:
    """One picture, from its inputs to its file."""
    transfer = job.start(cell, last)
    for progress in transfer:
        shown.show(cell, progress)
    transfer.result().save(cell.path)
    return transfer.painter


def _report(
    job: SheetJob, made: Sequence[Cell], failed: Sequence[Cell], seconds: float
) -> dict[str, Any]:
    """What ``--json`` prints."""
    pictures = [
        {"path": str(cell.path), "labels": list(cell.labels), "new": not cell.there}
        for cell in made
    ]
    return {
        "output": str(job.request.output),
        "page": str(job.page),
        "pictures": pictures,
        "failed": [cell.caption for cell in failed],
        "seconds": round(seconds, 2),
    }


class _Bar:
    """A bar over all missing pictures."""

    def __init__(self, job: SheetJob, *, quiet: bool) -> None:
        self._quiet = quiet
        self._finished = 0
        self._bar = bar(sum(cell.work for cell in job.missing), quiet=quiet)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, cell: Cell, progress: Progress) -> None:
        """Where a cell's transfer stands."""
        coarser = evaluated(cell.scales[: progress.scale_index])
        here = math.prod(progress.scale.size) * (progress.step + 1)
        self._bar.set_description_str(printable(cell.caption), refresh=False)
        self._bar.update(self._finished + coarser + here - self._bar.n)

    def finish(self, cell: Cell, line: str) -> None:
        """It may have stopped early."""
        self._finished += cell.work
        self._bar.update(self._finished - self._bar.n)
        if not self._quiet:
            say(line)
