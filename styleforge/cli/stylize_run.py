"""A trained network's pictures, and the last word."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from styleforge.cli.parsing import spelled
from styleforge.cli.progress import say
from styleforge.cli.report import Manner, conclude, deliver
from styleforge.core.devices import describe
from styleforge.core.errors import OutOfMemoryError, UsageError, WorkError
from styleforge.core.files import STDOUT
from styleforge.images.load import stem_of
from styleforge.images.save import FORMATS
from styleforge.jobs.painters import NetworkPainter
from styleforge.jobs.stylize import StylizeJob, StylizeRequest


def run(job: StylizeJob, manner: Manner) -> None:
    """Carry a job out to its file and say so."""
    manner.place(job.output, describe(job.device))
    deliver(job.result(), job.output)
    seconds = time.perf_counter() - manner.started
    details = f"model {job.painter.model.name}, style {_styles(job)}"
    kept = job.request.kept.recipe
    conclude(manner, _report(job, seconds), seconds=seconds, details=details, recipe=kept)


def run_each(photos: Sequence[str], request: StylizeRequest, manner: Manner) -> None:
    """The same for several photos; where one cannot be repainted, the others are.

    Raises :class:`UsageError`, :class:`ModelError`; exits with 1 where some failed.
    """
    if request.force:
        _check_names(photos)
    request = replace(request, output=None, folder=_folder(request.output))
    painter: NetworkPainter | None = None
    failed = 0
    for photo in photos:
        try:
            job = StylizeJob.prepare(replace(request, photo=photo), painter)
            painter = job.painter
            run(job, replace(manner, started=time.perf_counter()))
        except (UsageError, WorkError, OutOfMemoryError) as error:
            failed += 1
            say(f"Error: {spelled(str(error))}")
    if failed == len(photos):
        raise UsageError("none of the photos could be repainted")
    if failed:
        raise typer.Exit(1)


def _check_names(photos: Sequence[str]) -> None:
    """Raise :class:`UsageError` where one picture would take the other's place."""
    stems = Counter(map(stem_of, photos))
    if twice := [stem for stem, count in stems.items() if count > 1]:
        raise UsageError(f"two photos are named {twice[0]}; without `force` they are numbered")


def _folder(output: str | None) -> Path:
    """Where several pictures go; made if it is not there. Raises :class:`UsageError`."""
    folder = Path(output or "")
    if output == STDOUT or (folder.suffix.lower() in FORMATS and not folder.is_dir()):
        raise UsageError(f"{output}: several photos go into a folder")
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be a folder for several pictures") from error
    return folder


def _report(job: StylizeJob, seconds: float) -> dict[str, Any]:
    """What ``--json`` prints."""
    width, height = job.size
    return {
        "output": str(job.output or STDOUT),
        "width": width,
        "height": height,
        "device": describe(job.device),
        "model": str(job.painter.model.path),
        "styles": job.painter.styles,
        "seconds": round(seconds, 2),
    }


def _styles(job: StylizeJob) -> str:
    styles = job.painter.styles
    if len(styles) == 1:
        return next(iter(styles))
    return ", ".join(f"{name}:{weight:g}" for name, weight in styles.items())
