"""Run a job under the user's eyes: progress, Ctrl-C, snapshots, and the last word."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import torch
import typer
from tqdm import tqdm

from styleforge.cli.signals import interruptible
from styleforge.core.allocator import keep_freed_memory
from styleforge.core.devices import describe
from styleforge.core.errors import INTERRUPTED, OutOfMemoryError, StyleforgeError, UsageError
from styleforge.core.files import write_atomically
from styleforge.images.animation import Film, check_animation, encode_animation
from styleforge.jobs.transfer import STDOUT, Job
from styleforge.optimize.minimize import STALL_STEPS
from styleforge.transfer.estimate import ensure_memory
from styleforge.transfer.run import Progress, StyleTransfer


def run(
    job: Job,
    *,
    quiet: bool,
    verbose: bool,
    as_json: bool,
    started: float,
    animate: Path | None = None,
) -> None:
    """Carry a job out to its file; after Ctrl-C, save what there is and exit with 130.

    ``animate`` is where to show how the picture came about.
    """
    film = None if animate is None else _film(job, animate)
    transfer = _start(job)
    if not quiet:
        _announce(job, transfer, verbose=verbose)
    with interruptible(), _Bar(job, quiet=quiet, verbose=verbose) as bar:
        ended = _follow(job, transfer, bar, film)
    image = transfer.image()
    png = job.save(image, transfer.studio.weights)
    job.save_source_map(transfer.sources)
    if film is not None and animate is not None:
        film.add(image)
        write_atomically(animate, encode_animation(film.frames, animate.suffix))
    if png:
        sys.stdout.buffer.write(png)
        sys.stdout.buffer.flush()
    if isinstance(ended.stopped, StyleforgeError):
        where = job.output or "standard output"
        raise type(ended.stopped)(f"{ended.stopped}; the picture so far was saved as {where}")
    report = _summary(job, transfer, ended, seconds=time.perf_counter() - started)
    if as_json:
        print(json.dumps(report))
    if not quiet:
        _print_summary(report, interrupted=ended.stopped is not None)
    if ended.stopped is not None:
        raise typer.Exit(INTERRUPTED)


class _Ended(NamedTuple):
    """How far a run came, and what stopped it before its end, if anything did."""

    last: Progress
    steps: int
    stopped: KeyboardInterrupt | StyleforgeError | None


def _start(job: Job) -> StyleTransfer:
    """The run, with the process made ready for it. Raises :class:`OutOfMemoryError`."""
    torch.backends.cudnn.allow_tf32 = job.precision != "float32"
    transfer = job.start()
    if transfer.studio.tiling(job.size) is None:
        keep_freed_memory()  # which takes more of it where pictures are large
    ensure_memory(job.memory, transfer.studio.network, job.size, device=job.device)
    return transfer


def _follow(job: Job, transfer: StyleTransfer, bar: _Bar, film: Film | None) -> _Ended:
    """Take all steps, with what is shown and saved on the way.

    What stops it before the first loss is known is raised.
    """
    last: Progress | None = None
    steps = 0
    stopped: KeyboardInterrupt | StyleforgeError | None = None
    try:
        for last in transfer:
            steps += last.step > 0
            bar.show(last)
            if film is not None and film.wants(last.evaluations - 1):
                film.add(last.iterate.image())
            if _snapshot_due(job, last, steps):
                job.save(transfer.image(), transfer.studio.weights, path=job.snapshot_path(steps))
    except (KeyboardInterrupt, OutOfMemoryError) as reason:
        stopped = reason
    except FloatingPointError as error:
        stopped = UsageError(f"{error}; use smaller weights")
    if last is None:
        assert stopped is not None
        raise stopped
    return _Ended(last, steps, stopped)


def _film(job: Job, path: Path) -> Film:
    """An empty film of the job. Raises :class:`UsageError` where it could not be written."""
    if path == job.output:
        raise UsageError(f"{path}: --animate and --output are the same file")
    inputs = [picture.path for picture in job.inputs]
    check_animation(path, inputs=inputs, force=job.request.force)
    return Film(job.size, job.total_steps + len(job.scales))


def _announce(job: Job, transfer: StyleTransfer, *, verbose: bool) -> None:
    tiling = transfer.studio.tiling(job.size)
    if tiling is not None:
        _say(
            f"{job.size[0]} x {job.size[1]} pixels do not fit into the memory at once: "
            f"evaluating in tiles of {tiling.side}"
        )
    if verbose:
        _say(f"device {describe(job.device)}, weights {transfer.studio.weights.source}")


def _summary(job: Job, transfer: StyleTransfer, ended: _Ended, *, seconds: float) -> dict[str, Any]:
    """What ``--json`` prints."""
    width, height = job.size
    last = ended.last
    return {
        "output": str(job.output or STDOUT),
        "width": width,
        "height": height,
        "device": describe(job.device),
        "weights": transfer.studio.weights.source,
        "preset": job.request.preset_name,
        "steps": ended.steps,
        "evaluations": last.evaluations,
        "seconds": round(seconds, 2),
        "loss": {
            "total": last.loss.total,
            "content": last.loss.content,
            "style": last.loss.style,
        },
    }


def _print_summary(report: dict[str, Any], *, interrupted: bool) -> None:
    from rich.console import Console
    from rich.markup import escape

    loss, preset = report["loss"], escape(report["preset"])
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    verb = "Interrupted: saved what there is as" if interrupted else "Saved"
    console.print(
        f"[bold]{verb} {escape(report['output'])}[/bold] "
        f"({report['width']} x {report['height']}) in {report['seconds']:.0f} s"
    )
    console.print(
        f"preset {preset}, {report['evaluations']} evaluations on {report['device']}, "
        f"loss {loss['total']:.4g} (content {loss['content']:.4g}, style {loss['style']:.4g})"
    )


def _snapshot_due(job: Job, progress: Progress, steps: int) -> bool:
    every = job.request.save_every
    return bool(every) and progress.step > 0 and steps % every == 0


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stderr)


class _Bar:
    """A tqdm bar in units of pixels evaluated, so that the time left is right at every scale.

    What has to be read from a GPU is read every few steps: each reading makes it wait.
    """

    def __init__(self, job: Job, *, quiet: bool, verbose: bool) -> None:
        self._work = [s.size[0] * s.size[1] * (s.steps + 1) for s in job.scales]
        self._quiet = quiet
        self._verbose = verbose
        self._patience = 1 if job.device.type == "cpu" else STALL_STEPS
        self._unread: list[Progress] = []
        self._bar = tqdm(
            total=sum(self._work),
            disable=quiet or not sys.stderr.isatty(),
            bar_format="{desc} {percentage:3.0f}%|{bar}| {elapsed}, {remaining} left{postfix}",
            file=sys.stderr,
            leave=False,
        )

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
        done = sum(self._work[: progress.scale_index]) + width * height * (progress.step + 1)
        self._bar.set_description_str(f"{width} x {height}", refresh=False)
        self._bar.update(done - self._bar.n)
        self._unread.append(progress)
        if len(self._unread) >= self._patience:
            self._read()

    def _read(self) -> None:
        if not self._unread:
            return
        self._bar.set_postfix_str(f"loss {self._unread[-1].loss.total:.4g}", refresh=False)
        for progress in self._unread:
            if not self._quiet:
                self._tell(progress)
        self._unread.clear()

    def _tell(self, progress: Progress) -> None:
        """Print what there is to say of a step."""
        size = f"{progress.scale.size[0]} x {progress.scale.size[1]}"
        if progress.note:
            _say(f"step {progress.step} at {size}: {progress.note}")
        if self._verbose and progress.step % 10 == 0:
            loss = progress.loss
            _say(
                f"{size}, step {progress.step}: loss {loss.total:.5g} "
                f"(content {loss.content:.5g}, style {loss.style:.5g}, tv {loss.tv:.5g})"
            )
