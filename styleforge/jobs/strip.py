"""A photo in every style that trained networks carry, side by side on one labelled sheet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from styleforge.core.devices import pick_device
from styleforge.core.errors import ModelError
from styleforge.images.contact_sheet import sheet, sheet_size
from styleforge.images.geometry import fit_size, resize
from styleforge.images.load import ImageSource, Picture, load_image, stem_of
from styleforge.images.save import check_output, save_image
from styleforge.jobs.look import Look
from styleforge.jobs.mistakes import check_photo
from styleforge.jobs.naming import free_path, shortened
from styleforge.jobs.painters import NetworkPainter
from styleforge.jobs.styles import TrainedStyle, repaints
from styleforge.networks.model_file import ModelInfo, load_info
from styleforge.networks.registry import find_model, known_models
from styleforge.transfers.estimate import available_memory

PAINTED = 640
"""Longest side at which a photo is painted, before it is made small: strokes have sizes."""


@dataclass(frozen=True)
class StripRequest:
    """What is wanted; no ``model``: all that are known. ``size`` is of a picture on the sheet."""

    photo: ImageSource
    model: str | None = None
    output: Path | None = None
    size: int = 320
    device: str = "auto"
    force: bool = False


@dataclass(frozen=True)
class StripJob:
    """A photo in memory, the styles that there are, and a place for the sheet."""

    request: StripRequest
    photo: Picture
    styles: Sequence[tuple[Path, str]]
    output: Path
    device: torch.device

    @classmethod
    def prepare(cls, request: StripRequest) -> StripJob:
        """Raises :class:`UsageError`, and :class:`ModelError` where there is no style."""
        check_photo(request.photo)
        photo = load_image(request.photo, min_side=1)
        styles = [
            (path, style.name)
            for path, info in _models(request.model)
            if repaints(info)
            for style in info.styles
        ]
        if not styles:
            raise ModelError("no trained network repaints photos here; train makes one")
        usual = Path(f"{shortened(stem_of(request.photo))}_styles.png")
        output = request.output or free_path(usual, force=request.force)
        check_output(
            output,
            inputs=[photo.path, *(path for path, _ in styles)],
            force=request.force,
            depth=8,
            size=sheet_size(*_grid(len(styles) + 1), request.size),
        )
        return cls(request, photo, styles, output, pick_device(request.device))

    @property
    def painted(self) -> int:
        """Longest side at which the photo is painted."""
        return max(self.request.size, min(PAINTED, max(self.photo.size)))

    def pictures(self) -> Iterator[tuple[str, Tensor]]:
        """The photo, and what becomes of it in one style after the other, by name."""
        small = resize(self.photo.pixels, fit_size(self.photo.size, self.request.size))
        yield "photo", small
        painter: NetworkPainter | None = None
        for path, name in self.styles:
            style = TrainedStyle(name, path, {name: 1.0}, Look(self.painted))
            painter = style.painter(self.device, available_memory(self.device), painter)
            yield name, painter.paint(self.photo)

    def save(self, pictures: Sequence[tuple[str, Tensor]]) -> None:
        """Write the sheet of these."""
        columns, _ = _grid(len(pictures))
        rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
        pixels = sheet(
            [[image for _, image in row] for row in rows],
            cell=self.request.size,
            captions=[[name for name, _ in row] for row in rows],
        )
        save_image(self.output, pixels)


def _grid(count: int) -> tuple[int, int]:
    """Columns and rows, about as many of both."""
    columns = math.ceil(math.sqrt(count))
    return columns, math.ceil(count / columns)


def _models(name: str | None) -> Iterator[tuple[Path, ModelInfo]]:
    if name is None:
        yield from known_models()
        return
    path, _ = find_model(name)
    yield path, load_info(path)
