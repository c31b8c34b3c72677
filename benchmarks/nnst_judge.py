"""The loss of Neural Neighbor Style Transfer's final pass, of a picture that is a file.

Written anew from the paper (Kolkin et al. 2022, section 4) and what its authors' code computes:
ten layers of VGG-19 with max pooling and zero padding, each by itself, one minus the cosine to the
most similar place of the painting or its rotations, after each side's own mean is taken off. Theirs
is of a random sample of places, and takes layers of at most 64 pixels a side with the wrong sample;
here the mean is over all places of the picture. The painting's places, which are to be searched for
each of those, are all of them up to 65536 a layer, and beyond that every second, fourth, ... row
and column. That makes losses a little too large, of every tool alike.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from styleforge.losses.neighbors import nearest
from styleforge.vgg.network import VGG19
from styleforge.vgg.weights import load_weights

LAYERS = tuple(
    f"relu{block}_{number}"
    for block, count in {1: 2, 2: 2, 3: 3, 4: 3}.items()
    for number in range(1, count + 1)
)
KEYS = 65536
"""Places of the painting and its rotations that are searched at a layer, at most."""

_AT_ONCE = 8192
"""Of them, so that many places of the picture fit into one matrix product."""


def final_pass_loss(picture: Path, painting: Path, size: int) -> float:
    """Sum over layers of the mean cosine distance; both images with this longest side."""
    return sum(layer_losses(picture, painting, size).values())


@torch.no_grad()
def layer_losses(picture: Path, painting: Path, size: int) -> dict[str, float]:
    """What each layer adds to it."""
    features = _network()(loaded(picture, size))
    views = [_network()(torch.rot90(loaded(painting, size), k, (2, 3))) for k in range(4)]
    losses = {}
    for layer in LAYERS:
        queries = _rows(features.pop(layer))
        found = [view.pop(layer) for view in views]
        center = torch.cat([_rows(own) for own in found]).mean(0)
        step = _step(4 * found[0].shape[2:].numel())
        keys = torch.cat([_rows(own[:, :, ::step, ::step]) for own in found]) - center
        losses[layer] = _distance(queries, keys)
    return losses


def loaded(path: Path, size: int) -> Tensor:
    """(1, 3, H, W) in [0, 1], resized as the authors' code does it."""
    pixels = np.asarray(Image.open(path).convert("RGB"), dtype=np.float32) / 255
    image = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    factor = size / max(pixels.shape)
    shape = [int(side * factor) for side in pixels.shape[:2]]
    return F.interpolate(image, shape, mode="bilinear", align_corners=True)


@cache
def _network() -> VGG19:
    return VGG19(load_weights("original"), LAYERS, pooling="max", padding="zeros")


def _rows(features: Tensor) -> Tensor:
    """(1, N, H, W) to (H W, N)."""
    return features[0].flatten(1).mT.contiguous()


def _step(places: int) -> int:
    """Every how manieth row and column leaves at most so many places."""
    step = 1
    while places > KEYS * step**2:
        step *= 2
    return step


def _distance(queries: Tensor, keys: Tensor) -> float:
    mean = queries.mean(0)
    best = torch.full((len(queries),), -1.0)
    for part in keys.split(_AT_ONCE):
        best = torch.maximum(best, nearest(queries, part, mean).similarity)
    return float(1 - best.mean())


if __name__ == "__main__":
    own = layer_losses(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
    for name, value in own.items():
        print(f"{name:8s} {value:.4f}")
    print(f"{'all':8s} {sum(own.values()):.4f}")
