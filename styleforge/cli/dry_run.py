"""``--dry-run``: what would run, and what it would take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby

from styleforge.cli.parsing import duration
from styleforge.cli.progress import print_json, print_lines
from styleforge.cli.report import Manner
from styleforge.core.devices import describe
from styleforge.images.geometry import Size
from styleforge.jobs.transfer import TransferJob
from styleforge.optimize.scales import Scale, Stage
from styleforge.transfers.studio import Studio

_STYLE_IS = {
    Stage.STATISTICS: "statistics",
    Stage.HYPERCOLUMNS: "neighbors of all layers together",
    Stage.LAYERS: "neighbors of each layer",
}


def print_plan(job: TransferJob, manner: Manner) -> None:
    """Print sizes, evaluations, memory and time, with the preparation's, on standard output."""
    painter = job.painter(None, None)
    studio = painter.studio
    preparation = time.perf_counter() - manner.started
    expected = job.estimate(painter)
    seconds = preparation + expected.seconds
    if manner.as_json:
        plan = {
            "output": str(job.output or "-"),
            "device": describe(job.device),
            "weights": studio.weights.source,
            "preset": job.request.preset_name,
            "scales": [[*scale.size, scale.steps] for scale in job.scales],
            "evaluations": expected.evaluations,
            "seconds": round(seconds, 1),
            "memory_mib": round(expected.memory / 2**20),
        }
        print_json(plan)
        return
    print_lines(*_in_words(job, studio))
    print_lines(
        f"takes    {expected.evaluations} evaluations, about {duration(seconds)}, "
        f"about {expected.memory / 2**20:.0f} MiB of memory"
    )


def _in_words(job: TransferJob, studio: Studio) -> Iterator[str]:
    """What would run, line by line."""
    yield f"content  {_named(job.photo.path, job.photo.size)}"
    for picture, painting in zip(job.style.pictures, job.request.paintings, strict=True):
        yield f"style    {_named(picture.path, picture.size)}, weight {painting.weight:g}"
    yield f"output   {_named(job.output or '-', job.size)}"
    yield f"preset   {job.request.preset_name}, weights {studio.weights.source}"
    yield f"device   {describe(job.device)}"
    for scale, rounds in _with_rounds(job.scales):
        steps = f"{scale.steps} steps" if rounds == 1 else f"{rounds} rounds of {scale.steps} steps"
        yield f"scale    {scale.size[0]} x {scale.size[1]}, {steps}, {_STYLE_IS[scale.stage]}"
    tiling = studio.tiling(job.size)
    if tiling is not None:
        yield f"tiles    {tiling.side} pixels, to keep to the memory"


def _with_rounds(scales: Sequence[Scale]) -> list[tuple[Scale, int]]:
    """Each scale with how often it comes in a row, but for the offset."""
    groups = groupby(scales, key=lambda scale: replace(scale, offset=(0, 0)))
    return [(scale, len(list(rounds))) for scale, rounds in groups]


def _named(path: object, size: Size) -> str:
    return f"{path} ({size[0]} x {size[1]})"
