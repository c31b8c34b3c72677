"""Textures, dreams and reconstructions under the user's eyes: progress, Ctrl-C, the last word."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from styleforge.cli.progress import bar
from styleforge.cli.report import Manner, conclude, deliver
from styleforge.core.devices import describe
from styleforge.core.files import STDOUT
from styleforge.jobs.result import Kept, Result
from styleforge.jobs.synthesis import SynthesisJob
from styleforge.optimize.coarse_to_fine import CoarseToFine


def run(job: SynthesisJob, manner: Manner, *, recipe: bool = True) -> None:
    """Carry a job out to its file; after Ctrl-C, save what there is and exit with 130.

    ``recipe``: whether the file tells how it was made.
    """
    job = replace(job, kept=Kept(recipe=recipe))
    manner.place(job.output, describe(job.device))
    finished = _follow(job, quiet=manner.quiet)
    result = job.result()
    deliver(result, job.output)
    seconds = time.perf_counter() - manner.started
    report = _report(job, result, seconds, finished=finished)
    conclude(manner, report, seconds=seconds, finished=finished, recipe=recipe)


def _follow(job: SynthesisJob, *, quiet: bool) -> bool:
    """Take all steps; false after Ctrl-C, which raises where nothing was started yet."""
    with bar(sum(map(_work, job.runs)), quiet=quiet) as shown:
        try:
            for one, progress in job:
                width, height = progress.scale.size
                before = sum(map(_work, job.runs[: job.runs.index(one)]))
                done = _work(one, progress.scale_index) + width * height * (progress.step + 1)
                shown.set_description_str(f"{width} x {height}", refresh=False)
                shown.set_postfix_str(f"{one.measure} {progress.loss.total:.4g}", refresh=False)
                shown.update(before + done - shown.n)
        except KeyboardInterrupt:
            if not job.started:
                raise
            return False
    return True


def _report(job: SynthesisJob, result: Result, seconds: float, *, finished: bool) -> dict[str, Any]:
    """What ``--json`` prints."""
    width, height = result.size
    return {
        "output": str(job.output or STDOUT),
        "width": width,
        "height": height,
        "device": job.device.type,
        "interrupted": not finished,
        "seconds": round(seconds, 2),
    }


def _work(run: CoarseToFine, scales: int | None = None) -> int:
    """Pixels evaluated in a run, or in so many of its scales."""
    return sum(s.size[0] * s.size[1] * (s.steps + 1) for s in run.scales[:scales])
