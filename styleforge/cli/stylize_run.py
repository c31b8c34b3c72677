"""A trained network's picture, and the last word."""

from __future__ import annotations

import time
from typing import Any

from styleforge.cli.report import Manner, conclude, deliver
from styleforge.core.devices import describe
from styleforge.core.files import STDOUT
from styleforge.jobs.stylize import StylizeJob


def run(job: StylizeJob, manner: Manner) -> None:
    """Carry a job out to its file and say so."""
    manner.place(job.output, describe(job.device))
    deliver(job.result(), job.output)
    seconds = time.perf_counter() - manner.started
    details = f"model {job.painter.model.name}, style {_styles(job)}"
    kept = job.request.kept.recipe
    conclude(manner, _report(job, seconds), seconds=seconds, details=details, recipe=kept)


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
