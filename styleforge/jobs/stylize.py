"""A photo and a trained network made ready, and carried out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from styleforge.core.devices import pick_device
from styleforge.images.geometry import Print, Size
from styleforge.images.load import ImageSource, Picture, load_image
from styleforge.images.save import check_output
from styleforge.jobs.look import Look
from styleforge.jobs.mistakes import check_photo, check_style
from styleforge.jobs.naming import output_path
from styleforge.jobs.painters import NetworkPainter
from styleforge.jobs.recipe import Input
from styleforge.jobs.result import Kept, Result
from styleforge.jobs.styles import TrainedStyle, named_masks, trained_style
from styleforge.losses.masks import check_masks
from styleforge.transfers.estimate import available_memory


@dataclass(frozen=True)
class StylizeRequest:
    """What is wanted. No styles: the model's first. No model: the one that carries the first.

    ``printed`` is the paper that the picture is to fill, whatever its look says. Without an
    output, the picture goes into the ``folder`` under a name that is found for it.
    """

    photo: ImageSource
    styles: dict[str, float]
    model: str | None = None
    output: str | None = None
    folder: Path = field(default_factory=Path)
    look: Look = field(default_factory=Look)
    masks: Sequence[ImageSource] = ()
    device: str = "auto"
    memory: int | None = None
    printed: Print = field(default_factory=Print)
    force: bool = False
    kept: Kept = field(default_factory=Kept)
    model_sha256: str = ""
    """Of the model that a recipe names; empty: any."""

    @property
    def style(self) -> TrainedStyle:
        """Raises :class:`ModelError` where no model carries it."""
        style = trained_style(self.styles, self.model, self.look)
        return replace(style, masks=self.masks, model_sha256=self.model_sha256)

    def sized(self, photo: Size) -> StylizeRequest:
        """With the size that fills the paper, where there is one."""
        size = self.printed.longest_side(photo, self.look.size)
        return replace(self, look=replace(self.look, size=size))


@dataclass(frozen=True)
class StylizeJob:
    """A request whose inputs are in memory and whose output can be written."""

    request: StylizeRequest
    photo: Picture
    painter: NetworkPainter
    output: Path | None

    @classmethod
    def prepare(cls, request: StylizeRequest, painter: NetworkPainter | None = None) -> StylizeJob:
        """Check and load. ``painter`` is another job's that differs by its photo alone.

        Raises :class:`UsageError` or :class:`ModelError`.
        """
        check_photo(request.photo)
        for style in request.styles:
            check_style(style)
        photo = load_image(request.photo, min_side=1)
        request = request.sized(photo.size)
        painter = replace(painter or _painter(request), look=request.look)
        check_masks(named_masks(painter.masks), styles=len(painter.styles), size=photo.size)
        output = output_path(
            request.output,
            [request.photo, *map(Path, painter.styles)],
            force=request.force,
            folder=request.folder,
        )
        if output is not None:
            check_output(
                output,
                inputs=[photo.path, painter.model.path, *(mask.path for mask in painter.masks)],
                force=request.force,
                depth=painter.depth,
                size=painter.size(photo.size),
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
        request = self.request
        recipe = replace(self.painter.recipe(Input.of(self.photo)), dpi=request.printed.dpi)
        pixels = self.painter.paint(self.photo)
        made = Result.of(pixels, recipe, self.photo, depth=self.painter.depth)
        return made.with_only(request.kept).at_resolution(request.printed.dpi)


def _painter(request: StylizeRequest) -> NetworkPainter:
    device = pick_device(request.device)
    return request.style.painter(device, request.memory or available_memory(device))
