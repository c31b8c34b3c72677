"""An inspection made ready and carried out: a sheet, a Gram matrix, and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from styleforge.core.devices import free_memory, out_of_memory_as_error, pick_device
from styleforge.core.errors import UsageError
from styleforge.core.files import write_atomically
from styleforge.core.layers import known_layer, rectified
from styleforge.images.contact_sheet import sheet_size
from styleforge.images.elsewhere import is_elsewhere
from styleforge.images.geometry import resize
from styleforge.images.load import Picture, load_image
from styleforge.images.save import check_output, save_image
from styleforge.jobs.synthesis import fitting_size
from styleforge.losses.objective import gram_matrix
from styleforge.synthesis.inspection import (
    ACROSS,
    FeatureMap,
    feature_sheet,
    gram_picture,
    strongest,
)
from styleforge.transfers.estimate import ensure_fits
from styleforge.transfers.loss_network import paper_network
from styleforge.vgg.weights import load_weights

CELL = 160
"""Pixels of a feature map's longest side in the sheet."""

_FORWARD_BYTES = 700
"""Of a pass through VGG-19 that keeps one layer, per pixel (measured: 260 to 660)."""


@dataclass(frozen=True)
class InspectRequest:
    """What is wanted: ``count`` feature maps, and the Gram matrix where ``gram`` says."""

    image: str | Path
    layer: str
    output: Path
    count: int
    gram: Path | None
    size: int
    device: str
    force: bool

    @property
    def outputs(self) -> list[Path]:
        return [self.output] + ([] if self.gram is None else [self.gram])

    def check_outputs(self) -> None:
        """Raise :class:`UsageError` where a picture could not be written."""
        if self.gram is not None and self.gram.suffix.lower() != ".png":
            raise UsageError(f"{self.gram}: the Gram matrix is drawn as a .png file")
        if self.gram == self.output:
            raise UsageError(f"{self.gram}: `gram` and `output` are the same file")
        across, down = sheet_size(min(ACROSS, self.count), -(-self.count // ACROSS), CELL)
        inputs = [] if is_elsewhere(self.image) else [Path(self.image)]
        for path in self.outputs:
            check_output(path, inputs=inputs, force=self.force, depth=8, size=(across, down))


@dataclass(frozen=True)
class Inspection:
    """What there is to see: the strongest of so many channels of (width, height)."""

    picture: Picture
    channels: int
    width: int
    height: int
    strongest: list[FeatureMap]


@torch.no_grad()
def inspect(request: InspectRequest) -> Inspection:
    """Look at the picture, and save what there is to see. Raises :class:`StyleforgeError`."""
    name = rectified(known_layer(request.layer))
    device = pick_device(request.device)
    picture = load_image(request.image)
    size = fitting_size(picture, request.size)
    request.check_outputs()
    ensure_fits(free_memory(device), size, lambda pixels: pixels * _FORWARD_BYTES)
    with out_of_memory_as_error(size):
        network = paper_network(load_weights(), [name]).to(device)
        features = network(resize(picture.pixels, size).to(device))[name]
        gram = gram_matrix(features)[0]
    maps = strongest(features, request.count)
    save_image(request.output, feature_sheet(maps, cell=CELL))
    if request.gram is not None:
        title = f"Gram matrix of {request.layer}, {picture.path.name}"
        write_atomically(request.gram, gram_picture(gram, title))
    _, channels, height, width = features.shape
    return Inspection(picture, channels, width, height, maps)
