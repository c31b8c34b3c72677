"""A photo and a trained network made ready, and carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import torch

from styleforge.core.devices import pick_device
from styleforge.core.errors import ModelError, UsageError
from styleforge.images.geometry import Size
from styleforge.images.load import ImageSource, Picture, load_image
from styleforge.images.save import Depth, check_output
from styleforge.jobs.mistakes import check_photo, check_style
from styleforge.jobs.naming import output_path
from styleforge.jobs.painters import NetworkPainter
from styleforge.jobs.recipe import Input
from styleforge.jobs.result import Result
from styleforge.jobs.styles import named_masks, stylizing_model
from styleforge.losses.masks import check_masks
from styleforge.networks.models import default_model, find_model, find_style
from styleforge.presets.transfer import ColorChoice
from styleforge.transfers.estimate import available_memory

LARGEST = 32768
"""Longest side in pixels."""


@dataclass(frozen=True)
class StylizeRequest:
    """What is wanted. No styles: the model's first. No model: the one that carries the first."""

    photo: ImageSource
    styles: dict[str, float]
    model: str | None = None
    output: str | None = None
    size: int = 0
    strength: float = 1.0
    colors: str = "style"
    masks: Sequence[ImageSource] = ()
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
        colors = check_choices(request.strength, request.colors, request.size)
        check_photo(request.photo)
        for style in request.styles:
            check_style(style)
        photo = load_image(request.photo, min_side=1)
        painter = _painter(request, colors)
        check_masks(named_masks(painter.masks), styles=len(painter.styles), size=photo.size)
        output = output_path(
            request.output, [request.photo, *map(Path, painter.styles)], force=request.force
        )
        if output is not None:
            width, height = painter.size(photo.size)
            check_output(
                output,
                inputs=[photo.path, painter.model.path, *(mask.path for mask in painter.masks)],
                force=request.force,
                depth=request.depth,
                pixels=width * height,
            )
        return cls(request, photo, painter, output)

    @property
    def size(self) -> Size:
        """(width, height) of the result."""
        return self.painter.size(self.photo.size)

    @property
    def device(self) -> torch.device:
        return self.painter.device

    @property
    def inputs(self) -> list[Picture]:
        """The photo and the masks."""
        return [self.photo, *self.painter.masks]

    def result(self) -> Result:
        """Paint. Raises :class:`OutOfMemoryError`."""
        recipe = self.painter.recipe(Input.of(self.photo))
        return Result.of(
            self.painter.paint(self.photo), recipe, self.photo, depth=self.request.depth
        )


def check_choices(strength: float, colors: str, size: int) -> ColorChoice:
    """The colors' name. Raises :class:`UsageError` for what no network could do."""
    if not 0 <= strength <= 1:
        raise UsageError(f"`strength` is from 0 to 1 (not {strength:g})")
    if not 0 <= size <= LARGEST:
        raise UsageError(f"`size` is from 0 to {LARGEST} (not {size})")
    for known in get_args(ColorChoice):
        if colors == known:
            chosen: ColorChoice = known
            return chosen
    raise UsageError(f"`colors` is {', '.join(get_args(ColorChoice))} (not {colors!r})")


def _painter(request: StylizeRequest, colors: ColorChoice) -> NetworkPainter:
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
        colors=colors,
        seed=request.seed,
        depth=request.depth,
        masks=[load_image(path, min_side=1) for path in request.masks],
    )
