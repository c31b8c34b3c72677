"""A photo and a trained network made ready, and carried out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from torch import Tensor

from styleforge.core.devices import describe, pick_device
from styleforge.core.errors import ModelError, UsageError
from styleforge.images.load import Picture, load_image, resize
from styleforge.images.save import Depth, check_output, encode_image, save_image
from styleforge.jobs.painters import NetworkPainter, stylizing_model
from styleforge.jobs.recipe import Input, StylizeRecipe
from styleforge.jobs.transfer import STDOUT, check_same, output_path
from styleforge.losses.masks import check_masks, mask_of
from styleforge.networks.models import default_model, find_model, find_style
from styleforge.transfer.estimate import available_memory

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
    masks: Sequence[Path] = ()
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
    painter: NetworkPainter
    output: Path | None

    @classmethod
    def prepare(cls, request: StylizeRequest) -> StylizeJob:
        """Check and load. Raises :class:`UsageError` or :class:`ModelError`."""
        check_choices(request.strength, request.colors, request.size)
        photo = load_image(request.photo, min_side=1)
        painter = _painter(request)
        masks = [(str(mask.path), mask_of(mask)) for mask in painter.masks]
        check_masks(masks, styles=len(painter.styles), size=photo.size)
        output = output_path(request.output, [request.photo, *map(Path, painter.styles)])
        if output is not None:
            width, height = painter.size(photo.size)
            check_output(
                output,
                inputs=[request.photo, painter.model.path, *request.masks],
                force=request.force,
                depth=request.depth,
                pixels=width * height,
            )
        return cls(request, photo, painter, output)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the result."""
        return self.painter.size(self.photo.size)

    def check_inputs(self, recipe: StylizeRecipe) -> None:
        """Raise :class:`UsageError` where an input is not the one that the recipe was made from."""
        named = [("--content", [recipe.content]), ("--mask", recipe.masks)]
        check_same([self.photo, *self.painter.masks], named)

    def save(self, image: Tensor) -> bytes:
        """Write the pastiche, or return its bytes where the output is standard output."""
        alpha = None if self.photo.alpha is None else resize(self.photo.alpha, self.size)
        recipe = self.painter.recipe(Input.of(self.photo)).to_json()
        exif, depth = self.photo.exif, self.request.depth
        if self.output is None:
            return encode_image(image, "PNG", alpha=alpha, exif=exif, recipe=recipe, depth=depth)
        save_image(self.output, image, alpha=alpha, exif=exif, recipe=recipe, depth=depth)
        return b""


def check_choices(strength: float, colors: str, size: int) -> None:
    """Raise :class:`UsageError` for what no network could do."""
    if not 0 <= strength <= 1:
        raise UsageError(f"--strength is from 0 to 1 (not {strength:g})")
    if colors not in get_args(Colors):
        raise UsageError(f"--colors is style or keep (not {colors!r})")
    if not 0 <= size <= 32768:
        raise UsageError(f"--size is from 0 to 32768 (not {size})")


def run(job: StylizeJob, *, quiet: bool, as_json: bool, started: float) -> None:
    """Carry a job out to its file and say so."""
    painter = job.painter
    png = job.save(painter.paint(job.photo))
    if png:
        sys.stdout.buffer.write(png)
        sys.stdout.buffer.flush()
    seconds = time.perf_counter() - started
    width, height = job.size
    report = {
        "output": str(job.output or STDOUT),
        "width": width,
        "height": height,
        "device": describe(painter.device),
        "model": str(painter.model.path),
        "styles": painter.styles,
        "seconds": round(seconds, 2),
    }
    if as_json:
        print(json.dumps(report))
    if not quiet:
        styles = ", ".join(
            name if len(painter.styles) == 1 else f"{name}:{weight:g}"
            for name, weight in painter.styles.items()
        )
        line = f"Saved {report['output']} ({width} x {height}) in {seconds:.1f} s"
        print(f"{line}\nmodel {painter.model.name}, style {styles}", file=sys.stderr)


def _painter(request: StylizeRequest) -> NetworkPainter:
    """Of the model that is named, or that carries the first style, or ships."""
    named = ""
    if request.model is not None:
        path, named = find_model(request.model)
    elif request.styles:
        path = find_style(next(iter(request.styles)))
    else:
        path = default_model()
    model = stylizing_model(path)
    if request.model_sha256 not in ("", model.sha256):
        raise ModelError(f"{path} is not the model that the picture was made with")
    styles = request.styles or {named or model.style_names[0]: 1.0}
    model.mixture(styles)
    device = pick_device(request.device)
    return NetworkPainter(
        model=model,
        styles=styles,
        device=device,
        memory=request.memory or available_memory(device),
        size_limit=request.size,
        strength=request.strength,
        colors=request.colors,
        seed=request.seed,
        depth=request.depth,
        masks=[load_image(path, min_side=1) for path in request.masks],
    )
