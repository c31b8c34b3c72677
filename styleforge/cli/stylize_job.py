"""A photo and a trained network made ready, and carried out."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor

from styleforge.cli.job import STDOUT, output_path
from styleforge.colors import keep_colors
from styleforge.devices import describe, out_of_memory_as_error, pick_device
from styleforge.errors import ModelError, UsageError
from styleforge.estimate import available_memory, working_memory
from styleforge.images import Picture, fit_size, load_image, resize
from styleforge.models import Model, default_model, find_model, find_style, load_model
from styleforge.networks.settings import TextureSettings
from styleforge.output import Depth, check_output, encode_image, save_image
from styleforge.recipe import Input, StylizeRecipe, versions
from styleforge.stylize import stylize

Colors = Literal["style", "keep"]


@dataclass(frozen=True)
class StylizeRequest:
    """What the user asked for. No styles: the model's first."""

    photo: Path
    styles: dict[str, float]
    model: str | None = None
    output: str | None = None
    size: int = 0
    strength: float = 1.0
    colors: str = "style"
    seed: int = 0
    device: str = "auto"
    memory: int | None = None
    depth: Depth = 8
    force: bool = False
    model_sha256: str = ""
    """Of the model that a recipe names; empty: any."""


@dataclass(frozen=True)
class StylizeJob:
    """A request whose inputs are in memory and whose output can be written."""

    request: StylizeRequest
    photo: Picture
    model: Model
    styles: dict[str, float]
    output: Path | None
    device: torch.device

    @classmethod
    def prepare(cls, request: StylizeRequest) -> StylizeJob:
        """Check and load. Raises :class:`UsageError` or :class:`ModelError`."""
        if not 0 <= request.strength <= 1:
            raise UsageError(f"--strength is from 0 to 1 (not {request.strength:g})")
        if request.colors not in get_args(Colors):
            raise UsageError(f"--colors is style or keep (not {request.colors!r})")
        if not 0 <= request.size <= 32768:
            raise UsageError(f"--size is from 0 to 32768 (not {request.size})")
        photo = load_image(request.photo, min_side=1)
        model, styles = _chosen_model(request)
        model.mixture(styles)
        output = output_path(request.output, [request.photo, *map(Path, styles)])
        job = cls(request, photo, model, styles, output, pick_device(request.device))
        if output is not None:
            width, height = job.size
            check_output(
                output,
                inputs=[request.photo, model.path],
                force=request.force,
                depth=request.depth,
                pixels=width * height,
            )
        return job

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the result."""
        return fit_size(self.photo.size, self.request.size)

    def pastiche(self) -> Tensor:
        """(1, 3, H, W) in [0, 1] on the CPU."""
        request = self.request
        memory = working_memory(request.memory or available_memory(self.device), self.device)
        photo = resize(self.photo.pixels, self.size).to(self.device)
        with out_of_memory_as_error(self.size):
            result = stylize(
                self.model.network.to(self.device),
                photo,
                self.model.mixture(self.styles).to(self.device),
                memory=memory,
                seed=request.seed,
            )
        if request.colors == "keep":
            result = keep_colors(result, photo)
        return torch.lerp(photo, result, request.strength).cpu()

    def save(self, image: Tensor) -> bytes:
        """Write the pastiche, or return its bytes where the output is standard output."""
        alpha = None if self.photo.alpha is None else resize(self.photo.alpha, self.size)
        recipe, exif, depth = self.recipe().to_json(), self.photo.exif, self.request.depth
        if self.output is None:
            return encode_image(image, "PNG", alpha=alpha, exif=exif, recipe=recipe, depth=depth)
        save_image(self.output, image, alpha=alpha, exif=exif, recipe=recipe, depth=depth)
        return b""

    def recipe(self) -> StylizeRecipe:
        request = self.request
        return StylizeRecipe(
            model=Input(str(self.model.path), self.model.sha256),
            styles=self.styles,
            content=Input.of(self.photo),
            size=request.size,
            strength=request.strength,
            colors=request.colors,
            seed=request.seed,
            device=self.device.type,
            depth=request.depth,
            versions=versions(),
        )


def run(job: StylizeJob, *, quiet: bool, as_json: bool, started: float) -> None:
    """Carry a job out to its file and say so."""
    png = job.save(job.pastiche())
    if png:
        sys.stdout.buffer.write(png)
        sys.stdout.buffer.flush()
    seconds = time.perf_counter() - started
    width, height = job.size
    report = {
        "output": str(job.output or STDOUT),
        "width": width,
        "height": height,
        "device": describe(job.device),
        "model": str(job.model.path),
        "styles": job.styles,
        "seconds": round(seconds, 2),
    }
    if as_json:
        print(json.dumps(report))
    if not quiet:
        styles = ", ".join(
            name if len(job.styles) == 1 else f"{name}:{weight:g}"
            for name, weight in job.styles.items()
        )
        line = f"Saved {report['output']} ({width} x {height}) in {seconds:.1f} s"
        print(f"{line}\nmodel {job.model.name}, style {styles}", file=sys.stderr)


def _chosen_model(request: StylizeRequest) -> tuple[Model, dict[str, float]]:
    """The model that is named, or that carries the first style, or ships; and its styles."""
    named = ""
    if request.model is not None:
        path, named = find_model(request.model)
    elif request.styles:
        path = find_style(next(iter(request.styles)))
    else:
        path = default_model()
    model = load_model(path)
    if request.model_sha256 not in ("", model.sha256):
        raise ModelError(f"{path} is not the model that the picture was made with")
    settings = model.info.generator
    if isinstance(settings, TextureSettings) and not settings.content:
        raise UsageError(f"{model.name} makes textures: use styleforge texture --model {path}")
    first = named or model.style_names[0]
    return model, request.styles or {first: 1.0}
