"""The same files for both tools, and pastiche's own loss of what they made of them."""

from __future__ import annotations

from pathlib import Path

import torch
from pastiche.pastiche import PasticheArtist
from pastiche.pastiche import load_image as load_bgr
from PIL import Image


def resized(path: Path, folder: Path, size: int) -> Path:
    """The image with this longest side, as one file that both tools read."""
    image = Image.open(path).convert("RGB")
    factor = size / max(image.size)
    shape = (round(image.width * factor), round(image.height * factor))
    target = folder / f"{path.stem}_{size}.png"
    image.resize(shape, Image.Resampling.LANCZOS).save(target)
    return target


def artist_for(content: Path, style: Path) -> PasticheArtist:
    """Pastiche's optimiser and loss on these two files, at their own sizes."""
    sizes = {path: Image.open(path).size[::-1] for path in (content, style)}
    return PasticheArtist(
        str(content), [str(style)], device="cpu", size=sizes[content], style_size=sizes[style]
    )


@torch.no_grad()
def score(artist: PasticheArtist, picture: Path) -> float:
    """Pastiche's own loss of a PNG."""
    artist.pastiche = load_bgr(str(picture))
    return float(artist._calc_loss())
