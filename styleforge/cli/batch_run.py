"""A batch carried out by an engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace

import typer

from styleforge.batches.engines import Engine
from styleforge.batches.job import BatchJob, BatchRequest, make_folder
from styleforge.batches.on_ray import run_on_ray
from styleforge.batches.plan import BatchWork
from styleforge.batches.torchrun import gathered, joined
from styleforge.cli.batch_report import Report
from styleforge.cli.progress import say
from styleforge.core.allocator import keep_freed_memory
from styleforge.core.errors import INTERRUPTED
from styleforge.core.files import remove_remains
from styleforge.core.signals import StopRequest


def run(request: BatchRequest, *, quiet: bool, verbose: bool, as_json: bool) -> None:
    """Carry a batch out and say what became of it; exit with 1 if anything failed."""
    keep_freed_memory()
    engines = {"local": _locally, "torchrun": _with_torchrun, "ray": _with_ray}
    with StopRequest() as stop:
        job = BatchJob.prepare(request)
        make_folder(request.output)
        report = Report(job.batch, request.output, quiet=quiet, verbose=verbose, as_json=as_json)
        stop.heard = report.tell_stop
        stopped = _Stopped(stop, report, fail_fast=request.fail_fast)
        try:
            engines[request.engine](job, report, stopped)
        except KeyboardInterrupt:  # the second: threads compute, and would make Python's end abort
            say("Interrupted.")
            sys.stderr.flush()
            os._exit(INTERRUPTED)
        remove_remains(task.target for task in job.batch.tasks)
        interrupted = stop.made
    report.finish(interrupted=interrupted)
    if interrupted:
        raise typer.Exit(INTERRUPTED)
    if report.failures:
        raise typer.Exit(1)


class _Stopped:
    """Whether no more tasks are to be begun: after Ctrl-C, or the first failure if so wished."""

    def __init__(self, stop: StopRequest, report: Report, *, fail_fast: bool) -> None:
        self._stop = stop
        self._report = report
        self._fail_fast = fail_fast

    def __call__(self) -> bool:
        return self._stop.made or (self._fail_fast and bool(self._report.failures))


def _locally(job: BatchJob, report: Report, stopped: Callable[[], bool]) -> None:
    split = job.split()
    report.workers = split.workers * len(job.devices)
    report.follow(job.run(split, is_stopped=stopped), len(job.batch.tasks))


def _with_torchrun(job: BatchJob, report: Report, stopped: Callable[[], bool]) -> None:
    """Each process paints its share; the first one reports."""
    with joined() as (rank, count):
        outcomes = []
        for outcome in job.run_share(rank, count, is_stopped=stopped):
            outcomes.append(outcome)
            report.add(outcome, show=rank == 0)
        everyones = gathered(outcomes)
    for outcome in everyones[len(outcomes) :]:
        report.add(outcome)
    if rank:
        raise typer.Exit(1 if report.failures else 0)


def _with_ray(job: BatchJob, report: Report, stopped: Callable[[], bool]) -> None:
    request = job.request
    engine = Engine("ray", request.address, request.workers, request.threads)
    work = BatchWork(replace(job.batch, tasks=()))  # Ray's store may be gone when an actor restarts
    outcomes = run_on_ray(work, job.batch.tasks, job.device, engine, is_stopped=stopped)
    report.follow(outcomes, len(job.batch.tasks))
