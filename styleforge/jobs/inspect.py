"""An inspection made ready and carried out: a sheet, a Gram matrix, and numbers."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from styleforge.core.devices import out_of_memory_as_error, pick_device
from styleforge.core.errors import UsageError
from styleforge.core.files import write_atomically
from styleforge.core.layers import rectified
from styleforge.images.load import Picture, load_image, resize
from styleforge.images.save import check_output, save_image
from styleforge.jobs.synthesis import fitting_size
from styleforge.losses.objective import gram_matrix
from styleforge.synthesis.inspection import FeatureMap, feature_sheet, gram_picture, strongest
from styleforge.transfer.loss_network import paper_network
from styleforge.vgg.weights import load_weights

CELL = 160
"""Pixels of a feature map's longest side in the sheet."""


@dataclass(frozen=True)
class Request:
    """What the user asked for."""

    image: Path
    layer: str
    output: Path
    count: int
    gram: Path | None
    size: int
    device: str
    force: bool

    def check_outputs(self) -> None:
        """Raise :class:`UsageError` where a picture could not be written."""
        if self.gram is not None and self.gram.suffix.lower() != ".png":
            raise UsageError(f"{self.gram}: the Gram matrix is drawn as a .png file")
        if self.gram == self.output:
            raise UsageError(f"{self.gram}: --gram and --output are the same file")
        for path in filter(None, (self.output, self.gram)):
            check_output(path, inputs=[self.image], force=self.force, depth=8, pixels=CELL**2)


@torch.no_grad()
def run(request: Request, *, quiet: bool, as_json: bool) -> None:
    """Look at the picture, save what there is to see, and print it."""
    device = pick_device(request.device)
    picture = load_image(request.image)
    size = fitting_size(picture, request.size)
    request.check_outputs()
    name = rectified(request.layer)
    with out_of_memory_as_error(size):
        network = paper_network(load_weights(), [name]).to(device)
        features = network(resize(picture.pixels, size).to(device))[name]
        gram = gram_matrix(features)[0]
    maps = strongest(features, request.count)
    save_image(request.output, feature_sheet(maps, cell=CELL))
    if request.gram is not None:
        title = f"Gram matrix of {request.layer}, {request.image.name}"
        write_atomically(request.gram, gram_picture(gram, title))
    if as_json:
        print(json.dumps(_report(request, picture, features.shape, maps)))
    if not quiet:
        for path in filter(None, (request.output, request.gram)):
            print(f"Saved {path}", file=sys.stderr)


def _report(
    request: Request, picture: Picture, shape: torch.Size, maps: list[FeatureMap]
) -> dict[str, Any]:
    return {
        "image": str(picture.path),
        "layer": request.layer,
        "channels": shape[1],
        "width": shape[3],
        "height": shape[2],
        "strongest": [
            {"channel": one.channel, "mean": one.mean, "maximum": one.maximum} for one in maps
        ],
        "output": str(request.output),
        "gram": None if request.gram is None else str(request.gram),
    }
