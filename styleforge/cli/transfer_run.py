"""A transfer under the user's eyes: progress, Ctrl-C, and the last word."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, NamedTuple, Self

from styleforge.cli.progress import bar, say
from styleforge.cli.report import Manner, conclude, deliver
from styleforge.core.devices import describe
from styleforge.core.errors import OutOfMemoryError, StyleforgeError, UsageError
from styleforge.core.files import STDOUT
from styleforge.core.signals import StopRequest
from styleforge.jobs.transfer import TransferJob, TransferRun
from styleforge.optimize.coarse_to_fine import Progress
from styleforge.optimize.minimize import STALL_STEPS


def run(job: TransferJob, manner: Manner) -> None:
    """Carry a job out to its file; after Ctrl-C, save what there is and exit with 130."""
    transfer = job.start()
    _announce(transfer, manner)
    with _Bar(job, manner) as shown:
        ended = _follow(transfer, shown)
    result = transfer.result()
    with StopRequest():
        deliver(result, job.output)
        transfer.save_beside(result)
    if isinstance(ended.stopped, StyleforgeError):
        where = job.output or "standard output"
        raise type(ended.stopped)(f"{ended.stopped}; the picture so far was saved as {where}")
    seconds = time.perf_counter() - manner.started
    report = _report(transfer, ended, seconds)
    conclude(
        manner,
        report,
        seconds=seconds,
        details=_details(report),
        finished=ended.stopped is None,
        recipe=job.request.kept.recipe,
    )


class _Ended(NamedTuple):
    """How far a run came, and what stopped it before its end, if anything did."""

    last: Progress
    stopped: KeyboardInterrupt | StyleforgeError | None


def _follow(transfer: TransferRun, shown: _Bar) -> _Ended:
    """Take all steps. What stops it before the first loss is known is raised."""
    last: Progress | None = None
    stopped: KeyboardInterrupt | StyleforgeError | None = None
    try:
        for last in transfer:
            shown.show(last)
    except (KeyboardInterrupt, OutOfMemoryError, UsageError) as reason:
        stopped = reason
    if last is None:
        assert stopped is not None
        raise stopped
    return _Ended(last, stopped)


def _announce(transfer: TransferRun, manner: Manner) -> None:
    if manner.quiet:
        return
    job, studio = transfer.job, transfer.painter.studio
    manner.place(job.output, describe(job.device))
    tiling = studio.tiling(job.size)
    if tiling is not None:
        say(
            f"{job.size[0]} x {job.size[1]} pixels do not fit into the memory at once: "
            f"evaluating in tiles of {tiling.side}"
        )
    if manner.verbose:
        say(f"device {describe(job.device)}, weights {studio.weights.source}")


def _report(transfer: TransferRun, ended: _Ended, seconds: float) -> dict[str, Any]:
    """What ``--json`` prints."""
    job, last = transfer.job, ended.last
    width, height = job.size
    return {
        "output": str(job.output or STDOUT),
        "width": width,
        "height": height,
        "device": describe(job.device),
        "weights": transfer.painter.studio.weights.source,
        "preset": job.request.preset_name,
        "steps": transfer.step_count,
        "evaluations": last.evaluations,
        "seconds": round(seconds, 2),
        "loss": {
            "total": last.loss.total,
            "content": last.loss.content,
            "style": last.loss.style,
        },
    }


def _details(report: dict[str, Any]) -> str:
    loss = report["loss"]
    return (
        f"preset {report['preset']}, {report['evaluations']} evaluations on {report['device']}, "
        f"loss {loss['total']:.4g} (content {loss['content']:.4g}, style {loss['style']:.4g})"
    )


class _Bar:
    """The bar, and what there is to say of steps.

    What has to be read from a GPU is read every few steps: each reading makes it wait.
    """

    def __init__(self, job: TransferJob, manner: Manner) -> None:
        self._work = [s.size[0] * s.size[1] * (s.steps + 1) for s in job.scales]
        self._manner = manner
        self._patience = 1 if job.device.type == "cpu" else STALL_STEPS
        self._unread: list[Progress] = []
        self._bar = bar(sum(self._work), quiet=manner.quiet)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            self._read()
        self._bar.close()

    def show(self, progress: Progress) -> None:
        width, height = progress.scale.size
        left = progress.scale_count - progress.scale_index  # as a turn leaves out those before
        passed = self._work[: max(0, len(self._work) - left)]
        done = sum(passed) + width * height * (progress.step + 1)
        self._bar.set_description_str(f"{width} x {height}", refresh=False)
        self._bar.update(done - self._bar.n)
        self._unread.append(progress)
        if len(self._unread) >= self._patience:
            self._read()

    def _read(self) -> None:
        if not self._unread:
            return
        self._bar.set_postfix_str(f"loss {self._unread[-1].loss.total:.4g}", refresh=False)
        if not self._manner.quiet:
            for progress in self._unread:
                self._tell(progress)
        self._unread.clear()

    def _tell(self, progress: Progress) -> None:
        """Print what there is to say of a step."""
        size = f"{progress.scale.size[0]} x {progress.scale.size[1]}"
        if progress.note:
            say(f"step {progress.step} at {size}: {progress.note}")
        if self._manner.verbose and progress.step % 10 == 0:
            loss = progress.loss
            say(
                f"{size}, step {progress.step}: loss {loss.total:.5g} "
                f"(content {loss.content:.5g}, style {loss.style:.5g}, tv {loss.tv:.5g})"
            )
