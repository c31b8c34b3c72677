"""A batch made ready, carried out by an engine, and reported."""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import typer
from PIL import Image
from tqdm import tqdm

from styleforge.allocator import keep_freed_memory
from styleforge.batch.batch import Batch, Painters
from styleforge.batch.local import Split, fastest_split, first_paintable, run_local
from styleforge.batch.on_ray import run_on_ray
from styleforge.batch.sources import Source, find_sources, plan_tasks
from styleforge.batch.torchrun import gathered, joined
from styleforge.batch.work import Outcome, is_finished
from styleforge.cli.naming import duration, printable, with_weight
from styleforge.cli.signals import StopRequest
from styleforge.cli.stylize_job import check_choices
from styleforge.devices import describe, pick_device, pick_precision
from styleforge.errors import INTERRUPTED, StyleforgeError, UsageError
from styleforge.files import file_sha256, remove_remains
from styleforge.images import load_image
from styleforge.models import find_model, find_style
from styleforge.output import Depth
from styleforge.painters import OptimizedStyle, Painter, Style, TrainedStyle, stylizing_model
from styleforge.presets import INITIAL_IMAGES, Preset, load_preset
from styleforge.recipe import Input

Engine = Literal["local", "torchrun", "ray"]


@dataclass(frozen=True)
class BatchRequest:
    """What the user asked for."""

    inputs: list[str]
    output: Path
    styles: list[str]
    model: str | None
    recursive: bool
    name: str
    preset_name: str
    overrides: dict[str, Any]
    strength: float
    colors: str
    sequence: bool
    engine: str
    address: str
    workers: int | None
    threads: int | None
    device: str
    memory: int | None
    depth: Depth
    fail_fast: bool
    force: bool

    @cached_property
    def preset(self) -> Preset:
        given = {key: value for key, value in self.overrides.items() if value is not None}
        return load_preset(self.preset_name, given)


@dataclass(frozen=True)
class BatchJob:
    """A request whose styles can be read and whose results have places."""

    request: BatchRequest
    sources: list[Source]
    batch: Batch
    device: torch.device

    @classmethod
    def prepare(cls, request: BatchRequest) -> BatchJob:
        """Check everything but the photos. Raises :class:`StyleforgeError`."""
        _check_options(request)
        device = pick_device(request.device)
        styles = _styles(request, device)
        sources = find_sources(request.inputs, request.output, recursive=request.recursive)
        names = [style.name for style in styles]
        tasks = plan_tasks(sources, names, request.output, name=request.name)
        _check_inputs_are_safe(styles, [task.target for task in tasks])
        batch = Batch(
            styles,
            tasks,
            force=request.force,
            memory=request.memory,
            sequence=request.sequence,
        )
        return cls(request, sources, batch, device)

    @property
    def devices(self) -> list[torch.device]:
        """All GPUs, unless one was named."""
        if self.device.type == "cuda" and self.device.index is None and not self.request.sequence:
            return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
        return [self.device]


def run(request: BatchRequest, *, quiet: bool, verbose: bool, as_json: bool) -> None:
    """Carry a batch out and say what became of it; exit with 1 if anything failed."""
    keep_freed_memory()
    engines = {"local": _locally, "torchrun": _with_torchrun, "ray": _with_ray}
    with StopRequest() as stop:
        job = BatchJob.prepare(request)
        _make_folder(request.output)
        report = _Report(job, quiet=quiet, verbose=verbose, as_json=as_json)
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
    print(json.dumps(plan) if as_json else _plan_in_words(plan))


class _Report:
    """Follows the outcomes: bar, lines and summary."""

    def __init__(self, job: BatchJob, *, quiet: bool, verbose: bool, as_json: bool) -> None:
        self.failures: list[Outcome] = []
        self._styles = job.batch.styles
        self._counts: Counter[str] = Counter()
        self._total = len(job.batch.tasks)
        self._quiet = quiet
        self._verbose = verbose
        self._as_json = as_json

    def follow(self, outcomes: Iterator[Outcome], total: int, *, show: bool = True) -> None:
        """Count, and show unless it is another process that does."""
        bar = tqdm(
            total=total,
            disable=self._quiet or not sys.stderr.isatty() or not show,
            unit="picture",
            file=sys.stderr,
            leave=False,
        )
        with bar:
            for outcome in outcomes:
                self.add(outcome, show=show)
                bar.update()

    def add(self, outcome: Outcome, *, show: bool = True) -> None:
        self._counts[outcome.status] += 1
        if outcome.status == "failed":
            self.failures.append(outcome)
        if not show:
            return
        if self._as_json:
            print(json.dumps(self._line(outcome)), flush=True)
        if self._verbose and not self._quiet:
            tqdm.write(_in_words(outcome), file=sys.stderr)

    def finish(self, *, interrupted: bool) -> None:
        """The summary, with what failed and why."""
        for reason in dict.fromkeys(map(_named_reason, self.failures)):  # once for all styles
            print(f"Error: {reason}", file=sys.stderr)
        if self._quiet:
            return
        counts = self._counts
        left = self._total - sum(counts.values())
        parts = [f"{counts['done']} done", f"{counts['failed']} failed"]
        parts += [f"{counts['skipped']} skipped"] + ([f"{left} left"] if left else [])
        print(", ".join(parts) + (", interrupted" if interrupted else ""), file=sys.stderr)

    def _line(self, outcome: Outcome) -> dict[str, Any]:
        task = outcome.task
        return {
            "source": str(task.source),
            "target": str(task.target),
            "style": self._styles[task.style].name,
            "status": outcome.status,
            "seconds": round(outcome.seconds, 3),
            "reason": outcome.reason,
        }


class _Stopped:
    """Whether no more tasks are to be begun: after Ctrl-C, or the first failure if so wished."""

    def __init__(self, stop: StopRequest, report: _Report, *, fail_fast: bool) -> None:
        self._stop = stop
        self._report = report
        self._fail_fast = fail_fast

    def __call__(self) -> bool:
        return self._stop.made or (self._fail_fast and bool(self._report.failures))


def _locally(job: BatchJob, report: _Report, stopped: Callable[[], bool]) -> None:
    split = _split(job)
    painters = [Painters(job.batch, device, workers=split.workers) for device in job.devices]
    painters[0].of(job.batch.tasks[0])  # a style that cannot be used is known before the start
    outcomes = run_local(job.batch, painters, split, is_stopped=stopped)
    report.follow(outcomes, len(job.batch.tasks))


def _with_torchrun(job: BatchJob, report: _Report, stopped: Callable[[], bool]) -> None:
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


def _with_ray(job: BatchJob, report: _Report, stopped: Callable[[], bool]) -> None:
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


def _styles(request: BatchRequest, device: torch.device) -> list[Style]:
    """Every style that was named, by painting or by network. Raises :class:`StyleforgeError`."""
    if request.model is not None:
        path, named = find_model(request.model)
        carried = stylizing_model(path).style_names
        texts = request.styles or [named or carried[0]]
        styles: list[Style] = [_trained(text, path, request) for text in texts]
    elif request.styles:
        styles = [_style(text, request, device) for text in request.styles]
    else:
        raise UsageError("say in which style: --style painting.jpg, or --style NAME of a network")
    twice = [name for name, n in Counter(style.name for style in styles).items() if n > 1]
    if twice:
        raise UsageError(f"two styles are named {twice[0]}; name it once, or rename a file")
    return styles


def _style(text: str, request: BatchRequest, device: torch.device) -> Style:
    """A blend of files is optimised; names are of styles that known networks carry."""
    named = _blend(text)
    if not any(_is_file_name(part) for part, _ in named):
        return _trained(text, find_style(named[0][0]), request)
    for path, _ in named:
        load_image(path)  # so that a bad one is known before the start
    if request.preset.init not in INITIAL_IMAGES:
        choices = ", ".join(INITIAL_IMAGES)
        raise UsageError(f"init: a batch starts from {choices} (not {request.preset.init!r})")
    return OptimizedStyle(
        name="+".join(Path(path).stem for path, _ in named),
        images=[(Path(path), weight) for path, weight in named],
        preset_name=request.preset_name,
        preset=request.preset,
        precision=pick_precision("auto", device),
        depth=request.depth,
    )


def _trained(text: str, model: Path, request: BatchRequest) -> TrainedStyle:
    if request.sequence:
        raise UsageError(
            f"--sequence is for paintings, and {text} is a trained style; leave it out"
        )
    styles = dict(_blend(text))
    stylizing_model(model).mixture(styles)
    return TrainedStyle(
        name="+".join(styles),
        model=model,
        styles=styles,
        size_limit=request.overrides["size"] or 0,
        strength=request.strength,
        colors=request.colors,
        depth=request.depth,
    )


def _blend(text: str) -> list[tuple[str, float]]:
    """``a:0.7+b:0.3`` to names with weights; what names a file as it is, is one."""
    parts = [text] if os.path.exists(text) else text.split("+")  # noqa: PTH110 (long texts)
    return [with_weight(part) for part in parts]


def _is_file_name(name: str) -> bool:
    return "/" in name or os.path.exists(name) or bool(Path(name).suffix)  # noqa: PTH110


def _check_options(request: BatchRequest) -> None:
    """Raise :class:`UsageError` for values that do not go together."""
    check_choices(request.strength, request.colors, request.overrides["size"] or 0)
    if request.engine not in get_args(Engine):
        raise UsageError(f"--engine is {', '.join(get_args(Engine))} (not {request.engine!r})")
    if request.address and request.engine != "ray":
        raise UsageError("--address is of a Ray cluster; use it with --engine ray")
    if request.sequence and (request.engine != "local" or (request.workers or 1) > 1):
        raise UsageError("--sequence goes frame by frame: with --engine local and one worker")


def _check_inputs_are_safe(styles: Sequence[Style], targets: Sequence[Path]) -> None:
    """A result may not take the place of a painting or a model."""
    inputs = {path.resolve() for style in styles for path in style.inputs}
    for target in targets:
        if target.resolve() in inputs:
            raise UsageError(f"{target} is one of the styles; choose another folder for the output")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made a folder ({error.strerror})") from None


def _own_gpu(device: torch.device, rank: int) -> torch.device:
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", rank % torch.cuda.device_count())


def _is_done(job: BatchJob, source: Path, target: Path, painter: Painter) -> bool:
    if job.request.force or job.request.sequence:
        return False
    try:
        return is_finished(target, painter.recipe(Input(str(source), file_sha256(source)), None))
    except (StyleforgeError, OSError):
        return False


def _can_paint(painter: Painter, size: tuple[int, int]) -> bool:
    try:
        painter.size(size)
    except StyleforgeError:
        return False
    return min(size) >= painter.min_side


def _size_of(path: Path) -> tuple[int, int] | None:
    """(width, height) by the file's header; None where it cannot be read."""
    try:
        with Image.open(path) as image:
            return image.size
    except Exception:  # Pillow raises many kinds for a damaged file
        return None


def _plan_in_words(plan: dict[str, Any]) -> str:
    unreadable = f", {plan['unreadable']} cannot be read" if plan["unreadable"] else ""
    lines = [f"photos   {plan['pictures']}{unreadable}"]
    if plan["smallest"]:
        (a, b), (c, d) = plan["smallest"], plan["largest"]
        lines.append(f"sizes    {a} x {b}" + (f" to {c} x {d}" if (a, b) != (c, d) else ""))
    lines.append(f"styles   {', '.join(plan['styles'])}")
    lines.append(f"output   {plan['output']}: {plan['to_do']} to do, {plan['finished']} finished")
    lines.append(f"device   {plan['device']}")
    lines.append(f"takes    about {duration(plan['seconds'])} one after the other")
    return "\n".join(map(printable, lines))


def _in_words(outcome: Outcome) -> str:
    task = outcome.task
    if outcome.status == "failed":
        return printable(f"failed   {_named_reason(outcome)}")
    return printable(f"{outcome.status:8} {task.target} in {outcome.seconds:.1f} s")


def _named_reason(outcome: Outcome) -> str:
    """The reason, with the picture's name where it does not say it."""
    name = str(outcome.task.source)
    return printable(outcome.reason if name in outcome.reason else f"{name}: {outcome.reason}")
