"""The core of each command, small, on a GPU and on the CPU: what to report of a new machine."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from styleforge.api import batch, stylize, texture, train, transfer
from styleforge.core.devices import pick_device
from styleforge.core.errors import UsageError, WorkError
from styleforge.core.resources import resource
from styleforge.images.load import load_image
from styleforge.jobs import dream, reconstruct
from styleforge.jobs.dream import DreamRequest
from styleforge.jobs.inspect import InspectRequest, inspect
from styleforge.jobs.reconstruct import ReconstructRequest

MOST_DIFFERENT = 0.02
"""Mean difference of pixels, of 0 to 1: about 5 of 255 levels."""

_SIDE, _STEPS = 64, 4
_SCALES = {"scales.steps": _STEPS, "scales.start": 32}
_PHOTO, _PAINTING = "content/chelsea.jpg", "style/vangogh_cafe_terrace_at_night.jpg"
_TRAINING = {
    "training.identity": 0,
    "training.steps": 2,
    "training.crop": 64,
    "training.batch": 2,
    "style.size": 64,
    "generator.width": 8,
}

Work = Callable[[str], Tensor]
"""The picture (1, 3, H, W) that a command makes on a device of this name."""


@dataclass(frozen=True)
class Trial:
    """How a command went on the device: seconds there and on the CPU, and how far they differ.

    ``difference`` is the mean over pixels, of 0 to 1. ``error`` is why there is none.
    """

    command: str
    cpu_seconds: float | None = None
    seconds: float | None = None
    difference: float | None = None
    error: str = ""

    @property
    def passed(self) -> bool:
        return self.difference is not None and self.difference <= MOST_DIFFERENT


def pick_gpu() -> str:
    """Raises :class:`UsageError` where there is none."""
    device = pick_device().type
    if device == "cpu":
        raise UsageError("there is no GPU here that torch can use (neither cuda nor mps)")
    return device


def trials(device: str) -> Iterator[Trial]:
    """Each command in turn; one that fails is a finding."""
    with tempfile.TemporaryDirectory() as folder:
        for command, work in _works(Path(folder), device).items():
            yield _tried(command, work, device)


def _tried(command: str, work: Work, device: str) -> Trial:
    try:
        expected, cpu_seconds = _timed(work, "cpu")
        found, seconds = _timed(work, device)
    except Exception as error:  # whatever is broken is what was asked for
        reason = " ".join(str(error).split())[:300]
        return Trial(command, error=f"{type(error).__name__}: {reason}")
    difference = (found - expected).abs().mean().item()
    return Trial(command, round(cpu_seconds, 2), round(seconds, 2), round(difference, 5))


def _timed(work: Work, device: str) -> tuple[Tensor, float]:
    started = time.perf_counter()
    return work(device), time.perf_counter() - started


def _works(folder: Path, device: str) -> dict[str, Work]:
    """Each command by its name, as small as it can be."""
    small = _Small(folder)
    works: dict[str, Work] = {
        "transfer": small.transfer,
        "transfer -p gram": partial(small.transfer, preset="gram"),
        "transfer --optimizer adam": partial(small.transfer, optimizer="adam"),
        "stylize": small.stylize,
        "batch": small.batch,
        "texture": small.texture,
        "dream": small.dream,
        "reconstruct": small.reconstruct,
        "inspect": small.inspect,
        "train": small.train,
    }
    if device == "cuda":
        for name in ("tf32", "bf16"):
            works[f"transfer --precision {name}"] = partial(small.transfer, precision=name)
    return works


class _Small:
    """The commands on a small photo and a small painting, on a device; files go into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._photo = resource("sample_images") / _PHOTO
        self._painting = resource("sample_images") / _PAINTING

    def transfer(self, where: str, precision: str = "float32", **options: Any) -> Tensor:
        return transfer(
            self._photo,
            self._painting,
            settings=_SCALES,
            size=_SIDE,
            steps=_STEPS,
            device=where,
            precision="float32" if where == "cpu" else precision,
            **options,
        ).pixels

    def stylize(self, where: str) -> Tensor:
        return stylize(self._photo, size=_SIDE, device=where).pixels

    def batch(self, where: str) -> Tensor:
        folder = self._folder / f"batch-{where}"
        (done,) = batch(self._photo, "mosaic", output=folder, size=_SIDE, device=where, force=True)
        if done.reason:
            raise WorkError(done.reason)
        return load_image(done.task.target).pixels

    def texture(self, where: str) -> Tensor:
        return texture(self._painting, size=_SIDE, steps=_STEPS, device=where).pixels

    def dream(self, where: str) -> Tensor:
        size = (_SIDE, _SIDE)
        request = DreamRequest(image=self._photo, size=size, steps=_STEPS, device=where)
        return _result(dream.prepare(request))

    def reconstruct(self, where: str) -> Tensor:
        request = ReconstructRequest(
            of="content",
            picture=self._photo,
            layers=["conv2_1"],
            size=_SIDE,
            steps=_STEPS,
            device=where,
        )
        return _result(reconstruct.prepare(request))

    def inspect(self, where: str) -> Tensor:
        output = self._folder / f"inspect-{where}.png"
        request = InspectRequest(
            image=self._photo,
            layer="conv3_1",
            output=output,
            count=4,
            gram=None,
            size=_SIDE,
            device=where,
            force=True,
        )
        inspect(request)
        return load_image(output).pixels

    def train(self, where: str) -> Tensor:
        model = self._folder / f"{where}.safetensors"
        data = self._photo.parent
        train(
            self._painting,
            output=model,
            data=data,
            preset="johnson",
            settings=_TRAINING,
            device=where,
            force=True,
        )
        return stylize(self._photo, model=model, size=_SIDE, device="cpu").pixels


def _result(job: Any) -> Tensor:
    for _ in job:
        pass
    pixels: Tensor = job.result().pixels
    return pixels
