"""What a picture has taken: its patches from the paintings, its fine detail from the photo.

A patch is what one position of a layer's features sees of an image. Each patch of the picture is
held against the one of the paintings that is most like it: the coherence of Simakov et al. 2008
("Summarizing Visual Data Using Bidirectional Similarity"), with features for pixels and, for the
squared difference, the centered cosine of Kolkin et al. 2022 ("Neural Neighbor Style Transfer",
section 4.1). SIFID (Shaham et al. 2019) also compares two pictures' patches, but as two normal
distributions, which do not tell a mixture of two patches from either.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from styleforge.losses import Features
from styleforge.neighbors import Matches, nearest, rows_of

PATCH_LAYERS = ("conv3_4", "conv4_4", "conv5_1")
"""None is in the default's objective or in ``gram``'s; two presets have Gram matrices of conv5_1.

After their ReLUs, a position has 4, 8 and 16 pixels of its own and sees 100, 196 and 228 or so.
"""

USAGE_LAYER = "conv3_4"

DETAIL_SIGMA = 2.0
"""Pixels. Half of a wave of 11 pixels is fine detail, of one of 24 pixels a tenth.

Narrower, grain and traces of JPEG decide; at 8 pixels the photo's shapes do, which every
transfer keeps.
"""

_LEAST_VARIANCE = 1e-12
"""Of a picture without any fine detail, but for rounding."""


def closest(features: Tensor, paintings: Sequence[Tensor]) -> Matches:
    """For each position of (1, N, H, W), the most similar of those of all the paintings.

    The similarity of f and s is cos(f - mean f, s - mean s), with the means over the picture's
    positions and over all the paintings' together. Of Q x K similarities only a block is ever in
    memory.
    """
    queries, keys = rows_of(features), torch.cat([rows_of(own) for own in paintings])
    return nearest(queries, keys - keys.mean(0), queries.mean(0))


def nearness(features: Features, paintings: Sequence[Features]) -> tuple[dict[str, float], float]:
    """How far the patches are from the nearest of the paintings' by layer, and the usage.

    A layer's figure is mean_i min_j (1 - cos_ij), see :func:`closest`, in [0, 2]: 0 if each patch
    is some patch of a painting, and about 1 if none is like any. See :func:`usage` for the other.
    """
    found = {
        layer: closest(features[layer], [own[layer] for own in paintings])
        for layer in PATCH_LAYERS
    }
    distances = {layer: mean_distance(matches) for layer, matches in found.items()}
    positions = sum(own[USAGE_LAYER][0, 0].numel() for own in paintings)
    return distances, usage(found[USAGE_LAYER], positions)


def mean_distance(matches: Matches) -> float:
    """mean_i (1 - cos_i), in [0, 2]."""
    return (1 - matches.similarity).clamp(min=0).mean().item()


def usage(matches: Matches, positions: int) -> float:
    """The share of the paintings' K ``positions`` that are the nearest of any of the Q patches.

    |{nearest of i}| / min(Q, K), in (0, 1], as Q patches cannot have more than Q nearest ones:
    1 if all are used or all patches have different ones, 1 / min(Q, K) if all have the same.
    """
    return len(matches.places.unique()) / min(len(matches.places), positions)


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
