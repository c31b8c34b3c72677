"""A training under the user's eyes."""

from __future__ import annotations

import json
import shlex
import sys
from typing import Any, NoReturn, TextIO

import typer
from tqdm import tqdm

from styleforge.cli.parsing import duration
from styleforge.cli.progress import bar, say, suggest
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
        print(json.dumps(_report(outcome)))
    if not quiet:
        _print_summary(outcome)
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)


def print_plan(request: TrainingRequest, *, as_json: bool) -> None:
    """What a training would take, from a few steps of it; on standard output."""

    def begin(job: TrainingJob) -> None:
        if not as_json:
            _announce(job, file=sys.stdout)

    found = training_job.measure(request, begin)
    if as_json:
        photographs = found.job.photographs
        plan = {
            "output": str(request.output),
            "photographs": len(photographs.training) if photographs else 0,
            "steps": found.steps,
            "seconds": round(found.seconds, 1),
        }
        print(json.dumps(plan))
    else:
        print(
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
        if not self._quiet:
            _announce(job, file=sys.stderr)
        self._steps = job.preset.training.steps

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


def _announce(job: TrainingJob, *, file: TextIO) -> None:
    """What was found, before the long work."""
    for name, path in job.request.styles:
        print(f"style    {name}: {path}", file=file)
    photographs = job.photographs
    if photographs is not None:
        count = len(photographs.training)
        print(
            f"data     {count} photographs to learn from, {len(photographs.validation)} to check "
            f"with, {len(photographs.unreadable)} files that are not images",
            file=file,
        )
        if count < ENOUGH:
            print(f"         {ENOUGH} or more would be better", file=file)
    schedule = job.preset.training
    parameters = sum(p.numel() for p in job.model.network.parameters())
    print(
        f"network  {job.preset.generator.kind}, {parameters} parameters; {schedule.steps} steps of "
        f"{schedule.batch} crops of {schedule.crop} pixels",
        file=file,
    )
    together = f", {job.processes.count} processes" if job.processes.count > 1 else ""
    print(f"device   {describe(job.device)}{together}", file=file)
