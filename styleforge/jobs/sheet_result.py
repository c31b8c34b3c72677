"""The contact sheet and its page, made of the pictures that are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from torch import Tensor

from styleforge.core.errors import StyleforgeError
from styleforge.core.files import remove_remains, write_atomically
from styleforge.images.contact_sheet import sheet
from styleforge.images.gallery_html import Figure, page
from styleforge.images.geometry import fit_size, resize
from styleforge.images.load import load_image
from styleforge.images.save import save_image
from styleforge.jobs.recipe import load_recipe
from styleforge.jobs.sheet import Cell, SheetJob


def save_sheet(job: SheetJob, made: Sequence[Cell]) -> None:
    """Write the sheet, and the page in its folder; nothing that was killed leaves a trace."""
    output = job.request.output
    save_image(output, contact_sheet(job, made))
    write_atomically(job.page, contact_page(job, made).encode())
    remove_remains([output, job.page, *(cell.path for cell in job.cells)])


def contact_sheet(job: SheetJob, made: Sequence[Cell]) -> Tensor:
    """The grid: the painting and its variations in a row, or the paintings' pictures alone."""
    cell = job.request.cell

    def small(path: Path) -> Tensor:
        try:
            picture = load_image(path)
        except StyleforgeError:
            return torch.ones(1, 3, 8, 8)
        return resize(picture.pixels, fit_size(picture.size, cell))

    def shown(other: Cell) -> Tensor:
        return small(other.path) if other in made else torch.ones(1, 3, 8, 8)

    if not job.varies:
        pictures = [[shown(other) for other in row] for row in job.rows]
        captions = [[other.caption for other in row] for row in job.rows]
        return sheet(pictures, cell=cell, captions=captions)
    return sheet(
        [[small(row[0].style), *map(shown, row)] for row in job.rows],
        cell=cell,
        columns=["style", *(other.labels[-1] for other in job.rows[0])],
        labels=[", ".join(row[0].labels[:-1]) for row in job.rows],
    )


def contact_page(job: SheetJob, made: Sequence[Cell]) -> str:
    """The page that goes into the pictures' folder."""
    rows = [
        [Figure(cell.path.name, cell.caption, _recipe(cell.path)) for cell in row if cell in made]
        for row in job.rows
    ]
    return page(job.request.photo.name, rows)


def _recipe(path: Path) -> str:
    recipe = load_recipe(path).to_dict()
    return yaml.safe_dump(recipe, sort_keys=False, default_flow_style=None)
