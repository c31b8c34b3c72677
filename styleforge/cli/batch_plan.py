"""What a batch would do, and how long it would take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from styleforge.batches.job import BatchJob, BatchRequest
from styleforge.batches.plan import Painters
from styleforge.batches.work import is_finished
from styleforge.cli.parsing import duration
from styleforge.cli.progress import print_json, print_lines
from styleforge.core.devices import describe
from styleforge.core.errors import StyleforgeError
from styleforge.core.files import file_sha256
from styleforge.images.geometry import Size
from styleforge.images.opening import opened
from styleforge.jobs.painters import Painter
from styleforge.jobs.recipe import Input


def print_plan(request: BatchRequest, *, as_json: bool) -> None:
    """How many pictures, of which sizes, and about how long; on standard output."""
    job = BatchJob.prepare(request)
    sizes = {source.path: _size_of(source.path) for source in job.sources}
    seconds, finished, todo = 0.0, 0, 0
    painters = Painters(job.batch, job.device)
    for index in range(len(job.batch.styles)):
        tasks = [task for task in job.batch.tasks if task.style == index]
        painter = painters.of(tasks[0])
        left = [task for task in tasks if not _is_done(job, task.source, task.target, painter)]
        known = [size for task in left if (size := sizes[task.source]) is not None]
        seconds += painter.seconds([size for size in known if _can_paint(painter, size)])
        todo += len(left)
        finished += len(tasks) - len(left)
    readable = [size for size in sizes.values() if size is not None]
    plan = {
        "pictures": len(job.sources),
        "unreadable": len(job.sources) - len(readable),
        "styles": [style.name for style in job.batch.styles],
        "to_do": todo,
        "finished": finished,
        "smallest": min(readable, default=None),
        "largest": max(readable, default=None),
        "output": str(request.output),
        "device": describe(job.device),
        "seconds": round(seconds, 1),
    }
    if as_json:
        print_json(plan)
    else:
        print_lines(*_plan_in_words(plan))


def _plan_in_words(plan: dict[str, Any]) -> list[str]:
    unreadable = f", {plan['unreadable']} cannot be read" if plan["unreadable"] else ""
    lines = [f"photos   {plan['pictures']}{unreadable}"]
    if plan["smallest"]:
        (a, b), (c, d) = plan["smallest"], plan["largest"]
        lines.append(f"sizes    {a} x {b}" + (f" to {c} x {d}" if (a, b) != (c, d) else ""))
    lines.append(f"styles   {', '.join(plan['styles'])}")
    lines.append(f"output   {plan['output']}: {plan['to_do']} to do, {plan['finished']} finished")
    lines.append(f"device   {plan['device']}")
    lines.append(f"takes    about {duration(plan['seconds'])} one after the other")
    return lines


def _is_done(job: BatchJob, source: Path, target: Path, painter: Painter) -> bool:
    if job.request.force or job.request.sequence:
        return False
    try:
        recipe = painter.recipe(Input(str(source), file_sha256(source)), None)
        return is_finished(target, recipe, job.request.kept)
    except (StyleforgeError, OSError):
        return False


def _can_paint(painter: Painter, size: Size) -> bool:
    try:
        painter.size(size)
    except StyleforgeError:
        return False
    return min(size) >= painter.min_side


def _size_of(path: Path) -> Size | None:
    """(width, height) by the file's header; None where it cannot be read."""
    try:
        with opened(path) as image:
            return image.size
    except StyleforgeError:
        return None
