"""Contact sheets: a labelled grid of pictures as one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from styleforge.core.text import printable
from styleforge.images.geometry import Size, fit_size, resize, size_of
from styleforge.images.save import to_levels

GAP = 6
TEXT = 14
"""Pixels between cells, and of the labels' font."""


def sheet(
    rows: Sequence[Sequence[Tensor]],
    *,
    cell: int,
    columns: Sequence[str] = (),
    labels: Sequence[str] = (),
    captions: Sequence[Sequence[str]] = (),
) -> Tensor:
    """A grid of images (1, 3, H, W) in [0, 1], each within ``cell`` pixels a side: (1, 3, H, W).

    ``columns`` are written above the columns, ``labels`` under the rows, ``captions`` under the
    pictures of each row instead.
    """
    fitted = [[_fitted(image, cell) for image in row] for row in rows]
    widths = [max(row[i].width for row in fitted if i < len(row)) for i in range(_widest(fitted))]
    heights = [max(image.height for image in row) for row in fitted]
    top = TEXT + 2 * GAP if columns else GAP
    line = TEXT + GAP if labels or captions else 0
    width = sum(widths) + GAP * (len(widths) + 1)
    height = top + sum(heights) + (GAP + line) * len(heights)
    canvas = Image.new("RGB", (width, height), "white")
    lefts = [GAP + sum(widths[:i]) + GAP * i for i in range(len(widths))]
    _write(canvas, columns, lefts, GAP, widths)
    y = top
    for index, (row, space) in enumerate(zip(fitted, heights, strict=True)):
        for left, image in zip(lefts, row, strict=False):
            canvas.paste(image, (left, y))
        below = y + space + GAP // 2
        _write(canvas, labels[index : index + 1], [GAP], below, [width - 2 * GAP])
        _write(canvas, captions[index] if captions else (), lefts, below, widths)
        y += space + GAP + line
    pixels = torch.from_numpy(np.asarray(canvas).copy()).permute(2, 0, 1)[None]
    return pixels.float() / 255


def sheet_size(columns: int, rows: int, cell: int) -> Size:
    """(width, height) of a grid with all its labels, at most."""
    line = TEXT + 2 * GAP
    return columns * (cell + GAP) + GAP, rows * (cell + GAP + line) + line


def _fitted(image: Tensor, cell: int) -> Image.Image:
    size = fit_size(size_of(image), cell)
    return Image.fromarray(to_levels(resize(image.float().cpu(), size)))


def _widest(rows: Sequence[Sequence[Image.Image]]) -> int:
    return max(len(row) for row in rows)


def _write(
    canvas: Image.Image,
    texts: Sequence[str],
    lefts: Sequence[int],
    top: int,
    widths: Sequence[int],
) -> None:
    """Texts side by side on one line, each as far as its width goes."""
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(TEXT)
    for text, left, width in zip(texts, lefts, widths, strict=False):
        draw.text((left, top), _shortened(printable(text), width, font), fill="black", font=font)


def _shortened(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """As much of a label as there is room for."""
    while len(text) > 1 and font.getlength(text) > width:
        text = text[:-2] + "…"
    return text
