"""A training made ready, and carried out, with everything kept that it learned."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch

from styleforge.core.allocator import keep_freed_memory
from styleforge.core.devices import describe, out_of_memory_as_error, pick_device
from styleforge.core.errors import StyleforgeError, UsageError, WorkError
from styleforge.core.files import check_place
from styleforge.core.processes import restarts
from styleforge.core.signals import StopRequest
from styleforge.images.load import load_image
from styleforge.jobs.recipe import versions
from styleforge.jobs.spelling import named_path, with_size
from styleforge.networks.model_file import (
    Model,
    ModelInfo,
    ModelStyle,
    based_on,
    build,
    check_model_output,
    load_model,
    save_model,
    widened,
)
from styleforge.networks.registry import find_model
from styleforge.networks.transformer import TransformerNetwork
from styleforge.presets.networks import TextureSettings
from styleforge.presets.training import TrainingPreset
from styleforge.training.distributed import Processes, joined, own_device
from styleforge.training.folder import TrainingFolder
from styleforge.training.photographs import Photographs
from styleforge.training.training import Training, TrainingProgress
from styleforge.vgg.weights import load_weights

_PROBE_STEPS = 3
_MOST_WORKERS = 8
_COPIES = 12
"""Of a network's numbers: two models, and a checkpoint, old and new, with the optimizer's."""


class Lesson(NamedTuple):
    """A painting to learn, and the name of its style.

    ``size`` is its longest side in pixels, which decides how large strokes are; 0: the preset's.
    """

    name: str
    path: Path
    size: int = 0

    @classmethod
    def of(cls, text: str) -> Lesson:
        """``[NAME=]FILE[@PIXELS]``. Raises :class:`UsageError`."""
        text, size = with_size(text)
        return cls(*named_path(text), size)


@dataclass(frozen=True)
class TrainingRequest:
    """What is wanted. No data: a texture, which needs none."""

    styles: list[Lesson]
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
        pictures = [load_image(lesson.path) for lesson in request.styles]
        self.pictures = pictures
        names = [lesson.name for lesson in request.styles]
        new = [ModelStyle.of(name, picture) for name, picture in zip(names, pictures, strict=True)]
        self.first_style: int | None = None
        self.known: Model | None = None
        self.model = self._model(new)
        self.preset = request.preset.model_copy(update={"generator": self.model.info.generator})
        self.photographs = _photographs(self.preset, request.data)
        self._check_space()

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
            sizes=[0] * known + [lesson.size for lesson in request.styles],
            first_style=self.first_style,
            known=None if request.resume else self._known_network(),
            workers=self._workers(),
            processes=self.processes,
        )
        if request.resume:
            go_on(self.folder, training)
        return training

    def info(self, training: Training) -> ModelInfo:
        """What the model file says of itself at this point."""
        recipe: dict[str, Any] = {
            "preset": self.request.preset_name,
            "settings": self.preset.model_dump(
                exclude={"generator"} if self.preset.base else set()
            ),
            "steps": training.trainer.step_count,
            "photographs": len(self.photographs.training) if self.photographs else 0,
            "hours": round(training.seconds / 3600, 2),
            "device": describe(self.device),
            "processes": self.processes.count,
            "versions": versions(),
        }
        if self.known is not None:
            kind = "based_on" if self.first_style is None else "added_to"
            recipe[kind] = self.known.info.recipe
        licence = self.request.licence or self.model.info.licence
        return self.model.info.model_copy(update={"recipe": recipe, "licence": licence})

    def _model(self, new: list[ModelStyle]) -> Model:
        """With random weights, with those of a base, or a network that is added to."""
        name = self.request.add_to or self.request.preset.base
        underpainting = self.request.preset.underpainting
        if not name:
            torch.manual_seed(self.request.preset.seed)
            generator = self.request.preset.generator
            if underpainting:
                generator = generator.model_copy(update={"underpainting": True})
            info = ModelInfo(generator=generator, styles=new)
            return Model(info, build(info.generator, len(new)), self.request.output)
        self.known = known = load_model(find_model(name)[0])
        if self.request.add_to is None:
            return based_on(known, new, underpainting=underpainting)
        taken = set(known.style_names) & {style.name for style in new}
        if taken:
            raise UsageError(f"{known.name} has a style {taken.pop()!r} already; give another name")
        self.first_style = len(known.info.styles)
        return widened(known, new, underpainting=underpainting)

    def _known_network(self) -> TransformerNetwork | None:
        known = self.known and self.known.network
        return known if isinstance(known, TransformerNetwork) else None

    def _check_outputs(self) -> None:
        request = self.request
        inputs = [lesson.path for lesson in request.styles]
        inputs += [find_model(name)[0] for name in (request.add_to, request.preset.base) if name]
        force = request.force or request.resume
        check_model_output(request.output, inputs=inputs, force=force)
        if self.folder.checkpoint.exists() and not (request.resume or request.force):
            raise UsageError(
                f"{self.folder.path} holds a training; use `resume` to go on with it or `force` "
                "to start anew"
            )

    def _check_space(self) -> None:
        """Raise :class:`UsageError` where there is none for models and checkpoint."""
        parameters = sum(p.numel() for p in self.model.network.parameters())
        place = self.folder.checkpoint if self.folder.path.exists() else self.request.output
        check_place(place, inputs=[], force=True, needed=4 * parameters * _COPIES)

    def _workers(self) -> int:
        if self.request.workers is not None:
            return self.request.workers
        if self.device.type == "cpu":
            return 0  # they would take the time from the training
        return min(_MOST_WORKERS, os.cpu_count() or 1)


def go_on(folder: TrainingFolder, training: Training) -> None:
    """From the checkpoint. Raises :class:`UsageError` where that is not possible."""
    state = folder.load_checkpoint()
    try:
        training.load_state(state)
    except StyleforgeError:
        raise
    except Exception as error:  # torch raises many kinds for what is not of the same network
        raise folder.damaged() from error


class Listener:
    """Hears how a training goes on. This one does nothing with it."""

    def begin(self, job: TrainingJob) -> None:
        """The inputs can be read; now the long work comes."""

    def step(self, progress: TrainingProgress) -> None:
        """A step was taken."""

    def validate(self, progress: TrainingProgress, speed: float) -> None:
        """After a step that was validated and recorded; ``speed`` is images a second."""


@dataclass(frozen=True)
class TrainingOutcome:
    """How a training ended. ``validation`` is the least loss on unseen photos, if there was any."""

    output: Path
    interrupted: bool
    steps: int
    seconds: float
    validation: float | None
    styles: list[str]
    folder: Path


def run(request: TrainingRequest, listener: Listener | None = None) -> TrainingOutcome | None:
    """Train to the end, or to the first Ctrl-C, which leaves a checkpoint.

    Processes that torchrun has started again go on from the last checkpoint. Of several processes
    only the first has an outcome, and a listener.
    """
    keep_freed_memory()
    if restarts() and TrainingFolder(request.output).checkpoint.exists():
        request = replace(request, resume=True)
    with joined(request.device) as processes, StopRequest() as stop:
        job = TrainingJob(request, processes)
        listener = (listener if processes.is_first else None) or Listener()
        listener.begin(job)
        with out_of_memory_as_error(
            (job.preset.training.crop,) * 2, advice="use a smaller `batch` or `crop`"
        ):
            training = job.start()
            with job.folder.held() if processes.is_first else contextlib.nullcontext():
                if processes.is_first:
                    job.folder.forget_after(training.trainer.step_count)
                    job.folder.save_checkpoint(training.state())
                interrupted = _follow(job, training, stop, listener)
                return _finish(job, training, interrupted) if processes.is_first else None


def _follow(job: TrainingJob, training: Training, stop: StopRequest, listener: Listener) -> bool:
    """Iterate to the end; true if stopped before."""
    steps = job.preset.training.steps
    record = _Record(job, training, listener)
    try:
        for progress in training:
            listener.step(progress)
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

    def __init__(self, job: TrainingJob, training: Training, listener: Listener) -> None:
        self._job = job
        self._training = training
        self._listener = listener
        self._seen = Counter[str]()
        self._seconds = training.seconds

    def add(self, progress: TrainingProgress) -> None:
        self._seen["images"] += self._job.preset.training.batch
        self._seen["unreadable"] += progress.unreadable
        if progress.validation is not None and self._job.processes.is_first:
            self._write(progress)

    def _write(self, progress: TrainingProgress) -> None:
        training, folder = self._training, self._job.folder
        network = training.network()
        if progress.is_best:
            folder.save_best(self._job.info(training), network)
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
        folder.save_sheet(training.sheet(network))
        folder.draw()
        folder.save_checkpoint(training.state())
        self._listener.validate(progress, speed)
        self._seen["images"] = 0
        self._seconds = training.seconds


def _finish(job: TrainingJob, training: Training, interrupted: bool) -> TrainingOutcome:
    """Save the checkpoint, or, at the end, the best model under its own name."""
    folder, output = job.folder, job.request.output
    if interrupted:
        folder.save_checkpoint(training.state())
    elif folder.best.exists():
        best = load_model(folder.best)
        save_model(output, best.info, best.network)
    else:
        save_model(output, job.info(training), training.network())
    return TrainingOutcome(
        output=output,
        interrupted=interrupted,
        steps=training.trainer.step_count,
        seconds=training.seconds,
        validation=training.best if math.isfinite(training.best) else None,
        styles=[style.name for style in job.model.info.styles],
        folder=folder.path,
    )


@dataclass(frozen=True)
class Expected:
    """What a training would take: so many steps, of so many seconds each."""

    job: TrainingJob
    steps: int
    seconds_a_step: float

    @property
    def seconds(self) -> float:
        return self.steps * self.seconds_a_step


def measure(request: TrainingRequest, begin: Callable[[TrainingJob], None]) -> Expected:
    """Take a few steps of a training; ``begin`` hears of it first."""
    keep_freed_memory()
    if not request.resume:
        request = replace(request, preset=_without_identity(request.preset))
    job = TrainingJob(request, Processes())
    begin(job)
    training = job.start()
    left = job.preset.training.steps - training.trainer.step_count
    next(iter(training), None)  # the first also warms up
    started = time.perf_counter()
    taken = sum(1 for _ in itertools.islice(training, _PROBE_STEPS))
    return Expected(job, left, (time.perf_counter() - started) / max(taken, 1))


def _without_identity(preset: TrainingPreset) -> TrainingPreset:
    """Its first steps are quick and tell nothing of the others."""
    schedule = preset.training.model_copy(update={"identity": 0})
    return preset.model_copy(update={"training": schedule})


def _photographs(preset: TrainingPreset, data: Path | None) -> Photographs | None:
    """None for textures, which need none."""
    generator = preset.generator
    if isinstance(generator, TextureSettings) and not generator.content:
        return None
    if data is None:
        raise UsageError("say with `data` where photographs to learn from are")
    return Photographs.find(data)


def _check_styles(request: TrainingRequest) -> None:
    names = [lesson.name for lesson in request.styles]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UsageError(f"two styles are named {twice[0]!r}; name them: `style` NAME=FILE")
    if len(names) > 1 and isinstance(request.preset.generator, TextureSettings):
        raise UsageError("a texture network has one style; use -p multi for several")
