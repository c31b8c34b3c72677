"""A batch carried out by an engine."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import typer

from styleforge.batch.batch import Painters
from styleforge.batch.job import BatchJob, BatchRequest
from styleforge.batch.local import Split, fastest_split, first_paintable, run_local
from styleforge.batch.on_ray import run_on_ray
from styleforge.batch.torchrun import gathered, joined
from styleforge.cli.batch_report import Report
from styleforge.core.allocator import keep_freed_memory
from styleforge.core.errors import INTERRUPTED, UsageError
from styleforge.core.files import remove_remains
from styleforge.core.signals import StopRequest


def run(request: BatchRequest, *, quiet: bool, verbose: bool, as_json: bool) -> None:
    """Carry a batch out and say what became of it; exit with 1 if anything failed."""
    keep_freed_memory()
    engines = {"local": _locally, "torchrun": _with_torchrun, "ray": _with_ray}
    with StopRequest() as stop:
        job = BatchJob.prepare(request)
        _make_folder(request.output)
        report = Report(job.batch, quiet=quiet, verbose=verbose, as_json=as_json)
        stopped = _Stopped(stop, report, fail_fast=request.fail_fast)
        try:
            engines[request.engine](job, report, stopped)
        except KeyboardInterrupt:  # the second: threads compute, and would make Python's end abort
            print("Interrupted.", file=sys.stderr, flush=True)
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
    split = _split(job)
    painters = [Painters(job.batch, device, workers=split.workers) for device in job.devices]
    painters[0].of(job.batch.tasks[0])  # a style that cannot be used is known before the start
    outcomes = run_local(job.batch, painters, split, is_stopped=stopped)
    report.follow(outcomes, len(job.batch.tasks))


def _with_torchrun(job: BatchJob, report: Report, stopped: Callable[[], bool]) -> None:
    """Each process paints its share, one picture at a time; the first one reports."""
    with joined() as (rank, count):
        own = job.batch.share(rank, count)
        device = _own_gpu(job.device, rank)
        split = Split(job.request.workers or 1, job.request.threads or torch.get_num_threads())
        outcomes = []
        painters = [Painters(own, device, workers=split.workers)]
        for outcome in run_local(own, painters, split, is_stopped=stopped):
            outcomes.append(outcome)
            if rank:
                report.add(outcome, show=False)
            else:
                report.add(outcome)
        everyones = gathered(outcomes)
    for outcome in everyones[len(outcomes) :]:
        report.add(outcome)
    if rank:
        raise typer.Exit(1 if report.failures else 0)


def _with_ray(job: BatchJob, report: Report, stopped: Callable[[], bool]) -> None:
    outcomes = run_on_ray(
        job.batch,
        job.device,
        threads=job.request.threads or 1,
        workers=job.request.workers,
        address=job.request.address,
        is_stopped=stopped,
    )
    report.follow(outcomes, len(job.batch.tasks))


def _split(job: BatchJob) -> Split:
    """As the user wishes, or the fastest."""
    workers, threads = job.request.workers, job.request.threads
    available = torch.get_num_threads()
    if workers or threads or job.request.sequence:
        workers = workers or (1 if job.request.sequence else max(1, available // (threads or 1)))
        return Split(workers, threads or max(1, available // workers))
    painter = Painters(job.batch, job.device).of(job.batch.tasks[0])
    to_do = [task for task in job.batch.tasks if job.batch.force or not task.target.exists()]
    photo = first_paintable(to_do, painter)
    return fastest_split(painter, photo, len(to_do)) if photo else Split(1, available)


def _own_gpu(device: torch.device, rank: int) -> torch.device:
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", rank % torch.cuda.device_count())


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made a folder ({error.strerror})") from None
