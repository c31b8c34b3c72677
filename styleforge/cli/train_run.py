"""A training under the user's eyes."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any, NoReturn

import typer
from tqdm import tqdm

from styleforge.cli.parsing import duration
from styleforge.cli.progress import bar, print_json, print_lines, say, suggest
from styleforge.core.devices import describe
from styleforge.core.errors import INTERRUPTED
from styleforge.training import job as training_job
from styleforge.training.job import Listener, TrainingJob, TrainingOutcome, TrainingRequest
from styleforge.training.photographs import ENOUGH
from styleforge.training.training import TrainingProgress


def run(request: TrainingRequest, *, quiet: bool, as_json: bool) -> None:
    """Train, and say what came of it; exits with 130 after Ctrl-C."""
    with _Screen(quiet=quiet) as screen:
        outcome = training_job.run(request, screen)
    if outcome is None:
        return
    if as_json:
        print_json(_report(outcome))
    if not quiet:
        _print_summary(outcome)
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)


def print_plan(request: TrainingRequest, *, as_json: bool) -> None:
    """What a training would take, from a few steps of it; on standard output."""

    def begin(job: TrainingJob) -> None:
        if not as_json:
            _announce(job, print_lines)

    found = training_job.measure(request, begin)
    if as_json:
        photographs = found.job.photographs
        plan = {
            "output": str(request.output),
            "photographs": len(photographs.training) if photographs else 0,
            "steps": found.steps,
            "seconds": round(found.seconds, 1),
        }
        print_json(plan)
    else:
        print_lines(
            f"takes    {found.steps} steps, about {duration(found.seconds)} "
            f"({found.seconds_a_step:.2f} s a step)"
        )


class _Screen(Listener):
    """A bar, and a line for each validation."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._steps = 0
        self._bar: tqdm[NoReturn] | None = None

    def __enter__(self) -> _Screen:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def begin(self, job: TrainingJob) -> None:
        schedule = job.preset.training
        self._steps = schedule.steps
        if not self._quiet:
            _announce(job, say)
            every = min(schedule.validate_every, schedule.steps)
            say(f"sheet    {job.folder.sheet}: unseen photos, painted anew every {every} steps")

    def step(self, progress: TrainingProgress) -> None:
        if self._bar is None:
            done = progress.step - 1
            self._bar = bar(self._steps, initial=done, quiet=self._quiet, unit="step")
        self._bar.update(progress.step - self._bar.n)
        self._bar.set_postfix_str(f"loss {progress.loss.total:.4g}", refresh=False)
        if progress.note and not self._quiet:
            say(progress.note)

    def validate(self, progress: TrainingProgress, speed: float) -> None:
        validation = progress.validation
        if self._quiet or validation is None:
            return
        say(
            f"step {progress.step}: validation loss {validation.total:.4g} (content "
            f"{validation.content:.4g}, style {validation.style:.4g}), "
            f"{speed:.1f} images/s" + (", the best so far" if progress.is_best else "")
        )


def _report(outcome: TrainingOutcome) -> dict[str, Any]:
    """What ``--json`` prints."""
    return {
        "output": str(outcome.output),
        "interrupted": outcome.interrupted,
        "steps": outcome.steps,
        "seconds": round(outcome.seconds, 1),
        "validation": outcome.validation,
        "styles": outcome.styles,
    }


def _print_summary(outcome: TrainingOutcome) -> None:
    if outcome.interrupted:
        say(f"Interrupted at step {outcome.steps}: --resume goes on from there")
        return
    say(f"Saved {outcome.output} after {outcome.steps} steps in {duration(outcome.seconds)}")
    say(f"log, plot and sheet are in {outcome.folder}")
    suggest(f"styleforge stylize PHOTO --model {shlex.quote(str(outcome.output))}")


def _announce(job: TrainingJob, tell: Callable[[str], None]) -> None:
    """What was found, before the long work."""
    for lesson in job.request.styles:
        size = f" at {lesson.size} pixels" if lesson.size else ""
        tell(f"style    {lesson.name}: {lesson.path}{size}")
    photographs = job.photographs
    if photographs is not None:
        count = len(photographs.training)
        tell(
            f"data     {count} photographs to learn from, {len(photographs.validation)} to check "
            f"with, {len(photographs.unreadable)} files that are not images"
        )
        if count < ENOUGH:
            tell(f"         {ENOUGH} or more would be better")
    schedule = job.preset.training
    parameters = sum(p.numel() for p in job.model.network.parameters())
    known = f", from {job.known.name}" if job.known else ""
    tell(
        f"network  {job.preset.generator.kind}{known}, {parameters} parameters; {schedule.steps} "
        f"steps of {schedule.batch} crops of {schedule.crop} pixels"
    )
    together = f", {job.processes.count} processes" if job.processes.count > 1 else ""
    tell(f"device   {describe(job.device)}{together}")
