"""A training carried out under the user's eyes, with everything kept that it learned."""

from __future__ import annotations

import itertools
import json
import math
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import typer
from tqdm import tqdm

from styleforge.cli.parsing import duration
from styleforge.cli.signals import StopRequest
from styleforge.core.allocator import keep_freed_memory
from styleforge.core.devices import describe, out_of_memory_as_error, pick_device
from styleforge.core.errors import INTERRUPTED, UsageError, WorkError
from styleforge.core.processes import restarts
from styleforge.images.load import load_image
from styleforge.jobs.recipe import versions
from styleforge.networks.models import (
    Model,
    ModelInfo,
    ModelStyle,
    build,
    check_model_output,
    find_model,
    load_model,
    save_model,
    widened,
)
from styleforge.presets.networks import TextureSettings
from styleforge.presets.training import TrainingPreset
from styleforge.training.distributed import Processes, joined, own_device
from styleforge.training.folder import TrainingFolder
from styleforge.training.photographs import ENOUGH, Photographs
from styleforge.training.training import Training, TrainingProgress
from styleforge.vgg.weights import load_weights

_PROBE_STEPS = 3
_MOST_WORKERS = 8


@dataclass(frozen=True)
class TrainingRequest:
    """What the user asked for."""

    styles: list[tuple[str, Path]]
    data: Path | None
    output: Path
    preset_name: str
    preset: TrainingPreset
    add_to: str | None = None
    workers: int | None = None
    licence: str = ""
    device: str = "auto"
    resume: bool = False
    force: bool = False


class TrainingJob:
    """A request whose inputs are in memory and whose outputs can be written."""

    def __init__(self, request: TrainingRequest, processes: Processes) -> None:
        self.request = request
        self.folder = TrainingFolder(request.output)
        self._check_outputs()
        _check_styles(request)
        self.processes = processes
        self.device = pick_device(own_device(request.device, processes))
        pictures = [load_image(path) for _, path in request.styles]
        self.pictures = pictures
        names = [name for name, _ in request.styles]
        new = [ModelStyle.of(name, picture) for name, picture in zip(names, pictures, strict=True)]
        self.first_style: int | None = None
        self.model = self._model(new)
        self.preset = request.preset.model_copy(update={"generator": self.model.info.generator})
        self.photographs = _photographs(self.preset, request.data)

    def start(self) -> Training:
        """The training, ready to iterate over, from its beginning or from a checkpoint."""
        request = self.request
        images = [picture.pixels for picture in self.pictures]
        known = len(self.model.info.styles) - len(images)
        training = Training(
            self.model,
            [images[0]] * known + images,  # the styles that are there already are not trained
            self.photographs,
            self.preset,
            weights=load_weights(self.preset.network.weights),
            device=self.device,
            first_style=self.first_style,
            workers=self._workers(),
            processes=self.processes,
        )
        if request.resume:
            training.load_state(self.folder.load_checkpoint())
        return training

    def info(self, training: Training) -> ModelInfo:
        """What the model file says of itself at this point."""
        recipe: dict[str, Any] = {
            "preset": self.request.preset_name,
            "settings": self.preset.model_dump(),
            "steps": training.trainer.step_count,
            "photographs": len(self.photographs.training) if self.photographs else 0,
            "hours": round(training.seconds / 3600, 2),
            "device": describe(self.device),
            "processes": self.processes.count,
            "versions": versions(),
        }
        if self.first_style:
            recipe["added_to"] = self.model.info.recipe
        licence = self.request.licence or self.model.info.licence
        return self.model.info.model_copy(update={"recipe": recipe, "licence": licence})

    def _model(self, new: list[ModelStyle]) -> Model:
        if self.request.add_to is None:
            torch.manual_seed(self.request.preset.seed)
            info = ModelInfo(generator=self.request.preset.generator, styles=new)
            return Model(info, build(info.generator, len(new)), self.request.output)
        path, _ = find_model(self.request.add_to)
        model = load_model(path)
        taken = set(model.style_names) & {style.name for style in new}
        if taken:
            raise UsageError(f"{model.name} has a style {taken.pop()!r} already; give another name")
        self.first_style = len(model.info.styles)
        return widened(model, new)

    def _check_outputs(self) -> None:
        request = self.request
        check_model_output(request.output, force=request.force or request.resume)
        if self.folder.checkpoint.exists() and not (request.resume or request.force):
            raise UsageError(
                f"{self.folder.path} holds a training; use --resume to go on with it or --force "
                "to start anew"
            )

    def _workers(self) -> int:
        if self.request.workers is not None:
            return self.request.workers
        if self.device.type == "cpu":
            return 0  # they would take the time from the training
        return min(_MOST_WORKERS, os.cpu_count() or 1)


def run(request: TrainingRequest, *, quiet: bool, as_json: bool) -> None:
    """Train to the end, or to the first Ctrl-C, which leaves a checkpoint; exit with 130 then.

    Processes that torchrun has started again go on from the last checkpoint.
    """
    keep_freed_memory()
    if restarts() and TrainingFolder(request.output).checkpoint.exists():
        request = replace(request, resume=True)
    with joined(request.device) as processes, StopRequest() as stop:
        job = TrainingJob(request, processes)
        quiet = quiet or not processes.is_first
        if not quiet:
            _announce(job)
        with out_of_memory_as_error(
            (job.preset.training.crop,) * 2, advice="use a smaller --batch or --crop"
        ):
            training = job.start()
            if processes.is_first:
                job.folder.path.mkdir(exist_ok=True)
                job.folder.forget_after(training.trainer.step_count)
                job.folder.save_checkpoint(training.state())
            interrupted = _follow(job, training, stop, quiet=quiet)
        if not processes.is_first:
            return
        _finish(job, training, interrupted=interrupted, quiet=quiet, as_json=as_json)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _follow(job: TrainingJob, training: Training, stop: StopRequest, *, quiet: bool) -> bool:
    """Iterate to the end; true if stopped before."""
    steps = job.preset.training.steps
    bar = tqdm(
        total=steps,
        initial=training.trainer.step_count,
        disable=quiet or not sys.stderr.isatty(),
        file=sys.stderr,
        leave=False,
    )
    record = _Record(job, training, quiet=quiet)
    with bar:
        try:
            for progress in training:
                bar.update(progress.step - bar.n)
                bar.set_postfix_str(f"loss {progress.loss.total:.4g}", refresh=False)
                record.add(progress)
                if job.processes.agree(int(stop.made)):
                    return progress.step < steps
        except FloatingPointError as error:
            if job.processes.is_first:
                job.folder.save_checkpoint(training.state())
            raise WorkError(f"{error}; the last checkpoint is {job.folder.checkpoint}") from error
    return False


class _Record:
    """Writes what a training should leave behind at every validation."""

    def __init__(self, job: TrainingJob, training: Training, *, quiet: bool) -> None:
        self._job = job
        self._training = training
        self._quiet = quiet
        self._seen = Counter[str]()
        self._seconds = training.seconds

    def add(self, progress: TrainingProgress) -> None:
        self._seen["images"] += self._job.preset.training.batch
        self._seen["unreadable"] += progress.unreadable
        if progress.note and not self._quiet:
            tqdm.write(progress.note, file=sys.stderr)
        if progress.validation is not None and self._job.processes.is_first:
            self._write(progress)

    def _write(self, progress: TrainingProgress) -> None:
        training, folder = self._training, self._job.folder
        if progress.is_best:
            folder.save_best(self._job.info(training), training.trainer.average)
        speed = self._seen["images"] / max(training.seconds - self._seconds, 1e-9)
        validation = progress.validation
        assert validation is not None
        record = {
            "step": progress.step,
            "loss": progress.loss._asdict(),
            "validation": validation._asdict(),
            "best": progress.is_best,
            "seconds": round(training.seconds, 1),
            "images_per_second": round(speed, 2),
            "unreadable": self._seen["unreadable"],
        }
        folder.append(record)
        folder.save_sheet(training.sheet())
        folder.draw()
        folder.save_checkpoint(training.state())
        if not self._quiet:
            tqdm.write(
                f"step {progress.step}: validation loss {validation.total:.4g} (content "
                f"{validation.content:.4g}, style {validation.style:.4g}), "
                f"{speed:.1f} images/s" + (", the best so far" if progress.is_best else ""),
                file=sys.stderr,
            )
        self._seen["images"] = 0
        self._seconds = training.seconds


def _finish(
    job: TrainingJob, training: Training, *, interrupted: bool, quiet: bool, as_json: bool
) -> None:
    """Save the checkpoint, and, at the end, the best model under its own name."""
    folder, output = job.folder, job.request.output
    step = training.trainer.step_count
    if interrupted:
        folder.save_checkpoint(training.state())
    elif folder.best.exists():
        best = load_model(folder.best)
        save_model(output, best.info, best.network)
    else:
        save_model(output, job.info(training), training.trainer.average)
    report = {
        "output": str(output),
        "interrupted": interrupted,
        "steps": step,
        "seconds": round(training.seconds, 1),
        "validation": training.best if math.isfinite(training.best) else None,
        "styles": [style.name for style in job.model.info.styles],
    }
    if as_json:
        print(json.dumps(report))
    if quiet:
        return
    if interrupted:
        print(f"Interrupted at step {step}: --resume goes on from there", file=sys.stderr)
    else:
        print(f"Saved {output} after {step} steps in {duration(training.seconds)}", file=sys.stderr)
        print(f"log, plot and sheet are in {folder.path}", file=sys.stderr)


def plan(request: TrainingRequest, *, as_json: bool) -> None:
    """Print what a training would take, from a few steps of it."""
    keep_freed_memory()
    if not request.resume:
        request = replace(request, preset=_without_identity(request.preset))
    job = TrainingJob(request, Processes())
    if not as_json:
        _announce(job, file=sys.stdout)
    training = job.start()
    left = job.preset.training.steps - training.trainer.step_count
    next(iter(training), None)  # the first also warms up
    started = time.perf_counter()
    taken = sum(1 for _ in itertools.islice(training, _PROBE_STEPS))
    seconds = (time.perf_counter() - started) / max(taken, 1)
    if as_json:
        photographs = len(job.photographs.training) if job.photographs else 0
        plan = {"output": str(request.output), "photographs": photographs, "steps": left}
        print(json.dumps({**plan, "seconds": round(left * seconds, 1)}))
    else:
        print(f"takes    {left} steps, about {duration(left * seconds)} ({seconds:.2f} s a step)")


def _without_identity(preset: TrainingPreset) -> TrainingPreset:
    """Its first steps are quick and tell nothing of the others."""
    schedule = preset.training.model_copy(update={"identity": 0})
    return preset.model_copy(update={"training": schedule})


def _announce(job: TrainingJob, *, file: Any = None) -> None:
    """What was found, before the long work."""

    def say(line: str) -> None:
        print(line, file=file or sys.stderr)

    for name, path in job.request.styles:
        say(f"style    {name}: {path}")
    photographs = job.photographs
    if photographs is not None:
        count = len(photographs.training)
        say(
            f"data     {count} photographs to learn from, {len(photographs.validation)} to check "
            f"with, {len(photographs.unreadable)} files that are not images"
        )
        if count < ENOUGH:
            say(f"         {ENOUGH} or more would be better")
    schedule = job.preset.training
    parameters = sum(p.numel() for p in job.model.network.parameters())
    say(
        f"network  {job.preset.generator.kind}, {parameters} parameters; {schedule.steps} steps of "
        f"{schedule.batch} crops of {schedule.crop} pixels"
    )
    say(f"device   {describe(job.device)}" + _together(job.processes))


def _together(processes: Processes) -> str:
    return f", {processes.count} processes" if processes.count > 1 else ""


def _photographs(preset: TrainingPreset, data: Path | None) -> Photographs | None:
    """None for textures, which need none."""
    generator = preset.generator
    if isinstance(generator, TextureSettings) and not generator.content:
        return None
    if data is None:
        raise UsageError("say with --data where photographs to learn from are")
    return Photographs.find(data)


def _check_styles(request: TrainingRequest) -> None:
    names = [name for name, _ in request.styles]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(f"two styles are named {twice[0]!r}; name them: --style NAME=FILE")
    if len(names) > 1 and isinstance(request.preset.generator, TextureSettings):
        raise UsageError("a texture network has one style; use -p multi for several")
