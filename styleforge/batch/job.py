"""A batch made ready: what the user asked for, its styles and its tasks."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from styleforge.batch.batch import Batch
from styleforge.batch.sources import Source, find_sources, plan_tasks
from styleforge.cli.parsing import with_weight
from styleforge.core.devices import pick_device, pick_precision
from styleforge.core.errors import UsageError
from styleforge.images.load import load_image
from styleforge.images.save import Depth
from styleforge.jobs.painters import OptimizedStyle, Style, TrainedStyle, stylizing_model
from styleforge.jobs.stylize import check_choices
from styleforge.networks.models import find_model, find_style
from styleforge.presets.transfer import INITIAL_IMAGES, Preset, load_preset

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
