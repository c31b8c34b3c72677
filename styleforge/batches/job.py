"""A batch made ready: what is wanted, its styles and its tasks."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from styleforge.batches.engines import Engine, Split
from styleforge.batches.local import fastest_split, first_paintable, run_local
from styleforge.batches.plan import Batch, Painters
from styleforge.batches.sources import DEFAULT_NAME, Source, find_sources, plan_tasks
from styleforge.batches.work import Outcome
from styleforge.core.devices import pick_device, pick_precision
from styleforge.core.errors import UsageError
from styleforge.images.save import Depth
from styleforge.jobs.look import Look
from styleforge.jobs.result import EVERYTHING, Kept
from styleforge.jobs.spelling import with_weight
from styleforge.jobs.styles import OptimizedStyle, Painting, Style, TrainedStyle, stylizing_model
from styleforge.networks.registry import find_model, find_style
from styleforge.presets.transfer import DEFAULT_PRESET, INITIAL_IMAGES, Preset, load_preset


@dataclass(frozen=True)
class BatchRequest:
    """What is wanted. ``preset_name`` and ``settings``, by dotted names, are for paintings alone.

    ``size``, ``strength`` and ``colors`` are for paintings and trained styles; None: the preset's,
    or all of it. ``memory`` is the bytes that all pictures in work may take; None: what is free.
    """

    inputs: Sequence[str]
    output: Path
    styles: Sequence[str]
    model: str | None = None
    recursive: bool = False
    name: str = DEFAULT_NAME
    preset_name: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    size: int | None = None
    strength: float | None = None
    colors: str | None = None
    masks: Sequence[Path] = ()
    style_masks: Sequence[Path] = ()
    sequence: bool = False
    engine: str = "local"
    address: str = ""
    workers: int | None = None
    threads: int | None = None
    device: str = "auto"
    precision: str = "auto"
    memory: int | None = None
    depth: Depth = 8
    fail_fast: bool = False
    force: bool = False
    kept: Kept = EVERYTHING

    @cached_property
    def preset(self) -> Preset:
        """Raises :class:`UsageError`."""
        common = {"size": self.size, "strength": self.strength, "colors": self.colors}
        given = {key: value for key, value in common.items() if value is not None}
        return load_preset(self.preset_name or DEFAULT_PRESET, {**self.settings, **given})


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
        _check_paintings_options(request, styles)
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
            kept=request.kept,
        )
        return cls(request, sources, batch, device)

    def run(
        self,
        split: Split | None = None,
        *,
        is_stopped: Callable[[], bool] = lambda: False,
    ) -> Iterator[Outcome]:
        """Paint on this machine, in the fastest split if none is given; yields outcomes.

        Raises :class:`StyleforgeError` before the start where no style can be used.
        """
        make_folder(self.request.output)
        split = split or self.split()
        painters = [Painters(self.batch, device, workers=split.workers) for device in self.devices]
        painters[0].of(self.batch.tasks[0])  # a style that cannot be used is known before the start
        yield from run_local(self.batch, painters, split, is_stopped=is_stopped)

    def run_share(
        self, rank: int, count: int, *, is_stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[Outcome]:
        """Paint what falls to one of several processes, one picture at a time; yields outcomes."""
        own = self.batch.share(rank, count)
        workers, threads = self.request.workers or 1, self.request.threads
        split = Split(workers, threads or torch.get_num_threads())
        painters = [Painters(own, self._gpu_of(rank), workers=workers)]
        yield from run_local(own, painters, split, is_stopped=is_stopped)

    def split(self) -> Split:
        """As it is wished, or the fastest."""
        workers, threads = self.request.workers, self.request.threads
        available = torch.get_num_threads()
        if workers or threads or self.request.sequence:
            workers = workers or (
                1 if self.request.sequence else max(1, available // (threads or 1))
            )
            return Split(workers, threads or max(1, available // workers))
        painter = Painters(self.batch, self.device).of(self.batch.tasks[0])
        to_do = [task for task in self.batch.tasks if self.batch.force or not task.is_there]
        photo = first_paintable(to_do, painter)
        return fastest_split(painter, photo, len(to_do)) if photo else Split(1, available)

    def _gpu_of(self, rank: int) -> torch.device:
        if self.device.type != "cuda" or self.device.index is not None:
            return self.device
        return torch.device("cuda", rank % torch.cuda.device_count())

    @property
    def devices(self) -> list[torch.device]:
        """All GPUs, unless one was named."""
        if self.device.type == "cuda" and self.device.index is None and not self.request.sequence:
            return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
        return [self.device]


def make_folder(folder: Path) -> None:
    """Raise :class:`UsageError` where there can be no such folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made a folder ({error.strerror})") from None


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
        raise UsageError("say in which style: `style` painting.jpg, or `style` NAME of a network")
    twice = [name for name, n in Counter(style.name for style in styles).items() if n > 1]
    if twice:
        raise UsageError(f"two styles are named {twice[0]}; name it once, or rename a file")
    return styles


def _style(text: str, request: BatchRequest, device: torch.device) -> Style:
    """A blend of files is optimised; names are of styles that known networks carry."""
    named = _blend(text)
    if not any(_is_file_name(part) for part, _ in named):
        return _trained(text, find_style(named[0][0]), request)
    if request.preset.init not in INITIAL_IMAGES:
        choices = ", ".join(INITIAL_IMAGES)
        raise UsageError(f"init: a batch starts from {choices} (not {request.preset.init!r})")
    style = OptimizedStyle(
        name="+".join(Path(path).stem for path, _ in named),
        paintings=[Painting(Path(path), weight) for path, weight in named],
        preset_name=request.preset_name or DEFAULT_PRESET,
        preset=request.preset,
        masks=request.masks,
        style_masks=request.style_masks,
        precision=pick_precision(request.precision, device),
        depth=request.depth,
    )
    style.load().check()  # so that what is bad is known before the start
    return style


def _trained(text: str, model: Path, request: BatchRequest) -> TrainedStyle:
    if request.sequence:
        raise UsageError(
            f"`sequence` is for paintings, and {text} is a trained style; leave it out"
        )
    styles = dict(_blend(text))
    stylizing_model(model).mixture(styles)
    look = Look(
        size=request.size or 0,
        strength=1.0 if request.strength is None else request.strength,
        colors=request.colors or "style",
        depth=request.depth,
    )
    return TrainedStyle(
        name="+".join(styles),
        model=model,
        styles=styles,
        look=look,
        masks=request.masks,
    )


def _check_paintings_options(request: BatchRequest, styles: Sequence[Style]) -> None:
    """Raise :class:`UsageError` for options that trained networks alone would ignore."""
    if any(isinstance(style, OptimizedStyle) for style in styles):
        return
    given = {
        "style_mask": request.style_masks,
        "preset": request.preset_name,
        **{key.split(".")[-1]: True for key in request.settings},
    }
    for option, value in given.items():
        if value:
            raise UsageError(
                f"`{option}` is for paintings, and {styles[0].name} is a trained style; "
                "leave it out"
            )


def _blend(text: str) -> list[tuple[str, float]]:
    """``a:0.7+b:0.3`` to names with weights; what names a file as it is, is one."""
    parts = [text] if os.path.exists(text) else text.split("+")  # noqa: PTH110 (long texts)
    return [with_weight(part) for part in parts]


def _is_file_name(name: str) -> bool:
    return "/" in name or os.path.exists(name) or bool(Path(name).suffix)  # noqa: PTH110


def _check_options(request: BatchRequest) -> None:
    """Raise :class:`UsageError` for values that do not go together."""
    Engine(request.engine, request.address, request.workers, request.threads).check()
    if request.sequence and (request.engine != "local" or (request.workers or 1) > 1):
        raise UsageError("`sequence` goes frame by frame: with `engine` local and one worker")


def _check_inputs_are_safe(styles: Sequence[Style], targets: Sequence[Path]) -> None:
    """A result may not take the place of a painting or a model."""
    inputs = {path.resolve() for style in styles for path in style.inputs}
    for target in targets:
        if target.resolve() in inputs:
            raise UsageError(f"{target} is one of the styles; choose another folder for the output")
